"""The process that has PyTorch loaded and forks a child for every dry run; child/bootstrap.py starts it.

It talks over the two file descriptors it is given, in the messages of child/worker_messages.py: requests come in, and
answers go out with what the child wrote. Nothing of the answer is trusted here: the other side checks it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from kilowait.predict.dryrun.child.worker_messages import ChildAnswer, DryRunRequest, receive_request, send_answer
from kilowait.predict.dryrun.dry_program import DryProgram
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

PIPE = 3
"""The file descriptor that a child writes its record to, the only one it has."""
GRACE_S = 3.0
"""So long after its budget a child may still write; then it is killed."""
MAX_ANSWER_BYTES = 32_000_000
"""More than this is no record of a dry run."""


def serve(requests: IO[bytes], answers: IO[bytes], *, sandboxed: bool) -> None:
    """Answer requests until the other side closes the pipe."""
    while True:
        try:
            request = receive_request(requests)
        except EOFError:
            return
        with TemporaryDirectory(prefix="kilowait-") as folder:
            send_answer(answers, _fork(request, Path(folder), sandboxed))


def _fork(request: DryRunRequest, folder: Path, sandboxed: bool) -> ChildAnswer:
    request = replace(request, wall=by_the_clock(os.getloadavg()[0], os.cpu_count() or 1))
    until_s = time.monotonic() + (request.budget_s + request.imports_s / WALL) * request.wall + GRACE_S
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _child(request, folder, write_end, sandboxed)
    os.close(write_end)
    try:
        data, failure = _read(read_end, until_s)
    finally:
        os.close(read_end)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return ChildAnswer(data=data, failure=failure or ("" if data else _ended(status)))


def _child(request: DryRunRequest, folder: Path, pipe: int, sandboxed: bool) -> None:
    """Run the program and write its record to the pipe; never returns."""
    from kilowait.predict.dryrun.execute import execute

    try:
        os.setpgid(0, 0)
        _keep_only(pipe)
        limits = SandboxLimits(cpu_s=request.budget_s + GRACE_S, more_cpu_s=request.imports_s)
        if sandboxed:
            enter(folder, limits, _seen(request.program))
            folder = Path(SCRATCH)
        else:
            _link_data(request.program, folder)
            limit(limits)
        execute(request, folder, lambda run: _write(PIPE, run.to_json()))
    finally:
        os._exit(0)


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


def _keep_only(pipe: int) -> None:
    """Close every file of the worker but the pipe, which becomes PIPE."""
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    if pipe != PIPE:
        os.dup2(pipe, PIPE)
    os.closerange(PIPE + 1, os.sysconf("SC_OPEN_MAX"))


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
