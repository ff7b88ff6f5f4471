"""Inside the measured process: run a script as the main program and mark when it starts and finishes a step.

Marks are lines "name seconds" on file descriptor 3. The first step is the end of the first optimizer step, or of
the first outermost module call where there is no optimizer; each hook takes itself away after firing once, so
that the rest of the run pays nothing. Not covered: a script that waits for its own atexit handlers.
"""

import contextlib
import os
import runpy
import sys
import threading
import time
import traceback
from collections.abc import Callable

MARKS_FD = 3
STARTED, FORWARD, OPTIMIZER = "started", "forward", "optimizer"


def mark(name: str) -> None:
    """Write the time of an event for the launching process to read."""
    line = f"{name} {time.perf_counter()!r}\n"
    with contextlib.suppress(OSError):  # the script closed every descriptor: its times are lost, its run is not
        os.write(MARKS_FD, line.encode())


def watch_first_step() -> None:
    """Install the hooks that mark the first outermost module call and the first optimizer step."""
    from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
    from torch.optim.optimizer import register_optimizer_step_post_hook

    owner, depth = os.getpid(), 0
    removals: list[Callable[[], None]] = []

    def enter(*_: object) -> None:
        nonlocal depth
        depth += 1

    def leave(*_: object) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0:
            for remove in removals:
                remove()
            if os.getpid() == owner:  # a forked data worker is not the program
                mark(FORWARD)

    def stepped(*_: object) -> None:
        step.remove()
        if os.getpid() == owner:
            mark(OPTIMIZER)

    removals.append(register_module_forward_pre_hook(enter).remove)
    removals.append(register_module_forward_hook(leave, always_call=True).remove)
    step = register_optimizer_step_post_hook(stepped)


def run_as_main(script: str) -> int:
    """Run the file as the main program; returns the exit code that Python would give."""
    sys.argv = [script]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    mark(STARTED)
    try:
        runpy.run_path(script, run_name="__main__")
        _join_threads()
        code = 0
    except SystemExit as leaving:
        code = _code_of(leaving)
    except BaseException:  # the edge of the process: what Python prints before it exits with 1
        traceback.print_exc()
        code = 1
    _flush()
    return code


def _join_threads() -> None:
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def _code_of(leaving: SystemExit) -> int:
    if leaving.code is None:
        return 0
    if isinstance(leaving.code, int):
        return leaving.code & 0xFF
    print(leaving.code, file=sys.stderr)  # noqa: T201 - what Python itself does with sys.exit("text")
    return 1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # the script closed or replaced it
            continue


def warm_up_imports() -> None:
    """Import what nearly every training script imports; runs no operation and starts no thread."""
    import torch
    import torch._dynamo  # optimizers import it at their first step: seconds that belong to start-up
    import torch.nn.functional
    import torch.utils.data  # noqa: F401


def main() -> None:
    """Run the script named by the only argument in a fresh process (used for GPUs)."""
    warm_up_imports()
    watch_first_step()
    os._exit(run_as_main(sys.argv[1]))


if __name__ == "__main__":
    main()
