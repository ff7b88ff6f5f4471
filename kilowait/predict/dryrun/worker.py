"""The process that has PyTorch loaded and forks a child for every dry run; child/bootstrap.py starts it.

It talks over the two file descriptors it is given, in the messages of child/worker_messages.py: requests come in, and
answers go out with what the child wrote. Nothing of the answer is trusted here: the other side checks it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from kilowait.isolation.kernel import die_with_parent
from kilowait.predict.dryrun.child.loaded_modules import MOST_LETTERS, MOST_NAMES, installed_modules
from kilowait.predict.dryrun.child.waiting_child import ENTERED, READY, WaitingChild
from kilowait.predict.dryrun.child.worker_messages import ChildAnswer, DryRunRequest, receive_request, send_answer
from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.dryrun.sandbox import (
    ROOT,
    SCRATCH,
    WALL,
    SandboxLimits,
    VisiblePaths,
    by_the_clock,
    enter,
    limit,
    sandbox_available,
)

PIPE, ORDERS = 3, 4
"""The file descriptor that a child writes its record to, the only one it has; and where one that waits is told."""
GRACE_S = 3.0
"""So long after its budget a child may still write; then it is killed."""
MAX_ANSWER_BYTES = 32_000_000
"""More than this is no record of a dry run."""


def serve(requests: IO[bytes], answers: IO[bytes], *, sandboxed: bool) -> None:
    """Answer requests until the other side closes the pipe."""
    waiting: WaitingChild | None = None
    while True:
        try:
            request = receive_request(requests)
        except EOFError:
            return  # a child that waits ends with this process
        if request.ahead is not None:
            if sandboxed and not (waiting and waiting.made_for == request and waiting.lives):
                if waiting:
                    waiting.end()
                waiting = _have_waiting(request)
            send_answer(answers, ChildAnswer())
        elif waiting and waiting.fits(request):
            chosen, waiting = waiting, None
            send_answer(answers, _run_in(chosen, request) or _run_in_new(request, sandboxed))
        else:
            send_answer(answers, _run_in_new(request, sandboxed))


def _have_waiting(request: DryRunRequest) -> WaitingChild | None:
    """A child that imports what is named; None where it does not come into its sandbox."""
    orders, write_orders = os.pipe()
    record, write_record = os.pipe()
    with TemporaryDirectory(prefix="kilowait-") as folder:  # once it is inside, its root has no name out here
        child = os.fork()
        if child == 0:
            _child_ahead(request, Path(folder), write_record, orders)
        os.close(orders)
        os.close(write_record)
        found = WaitingChild(request, child, write_orders, record)
        if found.entered():
            return found
    found.end()
    return None


def _run_in(waiting: WaitingChild, request: DryRunRequest) -> ChildAnswer | None:
    """The answer of a child that waits; None where it takes no program any more."""
    request = _timed(request)
    if not waiting.give(request):
        waiting.end()
        return None
    os.close(waiting.orders)
    return _answer_of(waiting.process, waiting.record, _until_s(request))


def _run_in_new(request: DryRunRequest, sandboxed: bool) -> ChildAnswer:
    request = _timed(request)
    until_s = _until_s(request)
    read_end, write_end = os.pipe()
    with TemporaryDirectory(prefix="kilowait-") as folder:
        child = os.fork()
        if child == 0:
            _child(request, Path(folder), write_end, sandboxed)
        os.close(write_end)
        return _answer_of(child, read_end, until_s)


def _timed(request: DryRunRequest) -> DryRunRequest:
    return replace(request, wall=by_the_clock(os.getloadavg()[0], os.cpu_count() or 1))


def _until_s(request: DryRunRequest) -> float:
    return time.monotonic() + (request.budget_s + request.imports_s / WALL) * request.wall + GRACE_S


def _answer_of(child: int, record: int, until_s: float) -> ChildAnswer:
    """What a child writes until it ends, or is ended."""
    try:
        data, failure = _read(record, until_s)
    finally:
        os.close(record)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    data, _, names = data.partition(b"\n")  # a record is one line
    return ChildAnswer(data=data, failure=failure or ("" if data else _ended(status)), loaded=_names(names))


def _names(text: bytes) -> tuple[str, ...]:
    """Names of modules as a child told them; none where they are none."""
    with suppress(ValueError, RecursionError):
        names = json.loads(text) if len(text) <= MOST_NAMES * MOST_LETTERS else None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return tuple(name[:MOST_LETTERS] for name in names[:MOST_NAMES])
    return ()


def _child(request: DryRunRequest, folder: Path, pipe: int, sandboxed: bool) -> None:
    """Run the program and write its record to the pipe; never returns."""
    from kilowait.predict.dryrun.execute import execute

    try:
        os.setpgid(0, 0)
        _keep_only(pipe)
        if sandboxed:
            enter(folder, _limits(request), _seen(request.program))
            folder = Path(SCRATCH)
        else:
            _link_data(request.program, folder)
            limit(_limits(request))
        execute(request, folder, _hand_in(request.program))
    finally:
        os._exit(0)


def _child_ahead(request: DryRunRequest, folder: Path, pipe: int, orders: int) -> None:
    """Import what is named, wait for the program and run it; never returns."""
    from kilowait.predict.dryrun.execute import execute_ahead

    def awaited() -> DryRunRequest:
        os.write(PIPE, READY)
        with os.fdopen(ORDERS, "rb") as stream:
            return receive_request(stream)

    try:
        os.setpgid(0, 0)
        die_with_parent()
        _keep_only(pipe, orders)
        enter(folder, _limits(request), _seen(request.program))
        os.write(PIPE, ENTERED)
        execute_ahead(request, Path(SCRATCH), awaited, _hand_in(request.program))
    finally:
        os._exit(0)


def _limits(request: DryRunRequest) -> SandboxLimits:
    return SandboxLimits(cpu_s=request.budget_s + GRACE_S, more_cpu_s=request.imports_s)


def _hand_in(program: DryProgram) -> Callable[[DryRun], None]:
    """Write a record, and the modules that were imported where another run of the program may come."""
    before = frozenset(sys.modules)

    def hand_in(run: DryRun) -> None:
        names: list[str] = []
        with suppress(Exception):  # a program may have put anything among the modules
            names = installed_modules(before) if program.place else names
        _write(PIPE, b"\n".join((run.to_json(), json.dumps(names).encode())))

    return hand_in


def _seen(program: DryProgram) -> VisiblePaths:
    """What the program may see of the machine."""
    root = f"{SCRATCH}/{ROOT}"
    beside = {os.path.normpath(f"{root}/{name}"): path for name, path in program.here.items()}
    here = {name: path for name, path in beside.items() if name.startswith(f"{SCRATCH}/") and name != root}
    paths = {path: path for path in program.data if path != "/"}
    return VisiblePaths(paths={**paths, **here}, hidden=program.hidden)


def _link_data(program: DryProgram, folder: Path) -> None:
    """Without a sandbox everything is where it is; what has a relative name is found by links."""
    for name, path in program.here.items():
        place = Path(os.path.normpath(folder / ROOT / name))
        if folder in place.parents:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)


def _keep_only(pipe: int, orders: int | None = None) -> None:
    """Close every file of the worker but the pipe, which becomes PIPE, and another, which becomes ORDERS."""
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    kept = [os.dup(file) for file in (pipe, orders) if file is not None]
    for place, file in enumerate(kept, PIPE):
        os.dup2(file, place)
    os.closerange(PIPE + len(kept), os.sysconf("SC_OPEN_MAX"))


def _write(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def _read(pipe: int, deadline: float) -> tuple[bytes, str]:
    """Everything until the child closes its end; nothing and the reason when it is too late or too much."""
    parts: list[bytes] = []
    while (remaining_s := deadline - time.monotonic()) > 0:
        if not select.select([pipe], [], [], remaining_s)[0]:
            break
        part = os.read(pipe, 1 << 20)
        if not part:
            return b"".join(parts), ""
        parts.append(part)
        if sum(map(len, parts)) > MAX_ANSWER_BYTES:
            return b"", f"it wrote more than {MAX_ANSWER_BYTES:,} bytes of record"
    return b"", "it did not stop when its budget was spent and was killed"


def _ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return f"the process ended without a record ({cause})"


def warm_up(target: str, *, once: bool) -> None:
    """Load PyTorch and run the first operator on fake tensors, which costs a second, before any request."""
    from kilowait.predict.dryrun.warm import warm

    warm(target, once=once)


def _write_no_bytecode() -> None:
    """From here on, in programs and what they start, nothing that is compiled is kept."""
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def main() -> None:
    """Serve on stdin and stdout; the program's own output never reaches them.

    A third argument names another target and the files of its requests and answers: once PyTorch is loaded, a process
    that is forked for it serves there.
    """
    target, mode, *seconds = sys.argv[1:]
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    quiet = os.open(os.devnull, os.O_RDONLY)
    os.dup2(quiet, 0)
    os.dup2(2, 1)
    refusal = sandbox_available() if mode == "sandboxed" else None
    if refusal is None:
        warm_up(target, once=bool(seconds))
    _write_no_bytecode()
    for second in seconds:
        name, *files = second.split(":")
        second_requests, second_answers = os.fdopen(int(files[0]), "rb"), os.fdopen(int(files[1]), "wb")
        forked = os.fork() == 0
        left = (requests, answers) if forked else (second_requests, second_answers)
        for pipe in left:  # whoever waits at the other end is to hear when the one that serves it is gone
            pipe.close()
        if forked:
            requests, answers = second_requests, second_answers
            if refusal is None:
                warm_up(name, once=True)
            break
    send_answer(answers, ChildAnswer(failure=refusal or ""))
    serve(requests, answers, sandboxed=mode == "sandboxed")
