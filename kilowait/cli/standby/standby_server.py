"""The process that stands by: PyTorch and the workers of dry runs are loaded, and each command runs in a fork of it.

    python -m kilowait.cli.standby.standby_server TASK

One command at a time; one of another user is not taken. It ends when nobody asks for some minutes, and a command ends
when whoever asked for it goes. Nothing that a command loads, sets or changes outlives it.
"""

import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from kilowait.cli.main import main as run_command
from kilowait.cli.standby.standby_call import CODE, HEAD, TAKEN, TAKES_S, peer_of, stay
from kilowait.core.errors import KilowaitError
from kilowait.isolation.kernel import die_with_parent
from kilowait.predict.dry_runs import WAITING
from kilowait.predict.dryrun.child.worker_messages import DryRunRequest, receive_request
from kilowait.predict.interpreter import choose, rely_on
from kilowait.predict.worker_pair import WorkerPair, lend

LOADED = (
    "kilowait.cli.predict", "kilowait.cli.compare", "kilowait.predict.predictor", "kilowait.predict.gpu_types",
    "kilowait.predict.embed.embedding", "kilowait.predict.probe.bundle", "kilowait.program.effect",
)  # fmt: skip
MOST_BYTES = 16_000_000
"""Of a command with its variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyCommand:
    """A command as it was asked for: its words and surroundings, and the files that are its standard ones."""

    words: Sequence[str]
    folder: str
    variables: dict[str, str]
    umask: int
    encodings: Sequence[Sequence[str]]
    files: Sequence[int]


def main(words: Sequence[str] | None = None) -> int:
    """Serve until nobody asks any more; returns at once where another one does so already."""
    task = json.loads((sys.argv[1:] if words is None else words)[0])
    path = Path(task["socket"])
    os.umask(0o077)
    os.environ.update({**WAITING, **os.environ})
    with open(path.with_suffix(".lock"), "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 0
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            with WorkerPair(choose(**dict(task["interpreter"]))) as pair:
                _load(pair)
                with suppress(OSError, EOFError, ValueError):  # a worker that has gone is noticed below
                    pair.have_imported(list(_noted(sys.stdin.buffer)))
                os.chdir("/")
                _serve(path, pair, task["minutes"] * 60)
        except KilowaitError:
            return 1  # whoever asks next is told why, by the command itself
        finally:
            for name in (path, path.with_suffix(".lock")):
                name.unlink(missing_ok=True)
    return 0


def _noted(stream: IO[bytes]) -> Iterator[DryRunRequest]:
    """What whoever left this process had imported, by target."""
    with suppress(EOFError):
        while True:
            yield receive_request(stream)


def _load(pair: WorkerPair) -> None:
    """Everything that a prediction imports, while the workers do the same; no threads: forks would lack them."""
    stay()
    rely_on(pair.interpreter)  # whoever reaches this process by the name of its socket has the same
    gc.disable()
    pair.start()
    for name in LOADED:
        import_module(name)
    pair.wait()
    gc.freeze()
    gc.enable()


def _serve(path: Path, pair: WorkerPair, idle_s: float) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        listener.bind(os.fspath(new))
        listener.listen(4)
        new.rename(path)
        told = _told_to_end()
        while select.select([listener.fileno(), told], [], [], idle_s)[0] == [listener.fileno()]:
            line, _ = listener.accept()
            with line:
                clean = peer_of(line) != os.geteuid() or _answer(line, listener, pair)
            if not clean or not pair.is_idle:
                pair.renew()


def _told_to_end() -> int:
    """A file from which something can be read after SIGTERM, whichever thread the kernel gave it to."""
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return told


def _answer(line: socket.socket, listener: socket.socket, pair: WorkerPair) -> bool:
    """Run one command; returns whether the workers are as they were before."""
    line.settimeout(TAKES_S)
    try:
        command = _received(line)
    except (OSError, ValueError, TypeError, struct.error):  # whoever asked has gone, or that was no command
        return True
    try:
        line.sendall(TAKEN)
    except OSError:  # they asked while another command ran, and wait no more: a pipe of theirs must not stay open here
        _close(command.files)
        return True
    done, ours = os.pipe()
    child = os.fork()
    if not child:
        listener.close()
        line.close()
        os.close(done)
        _run(command, pair)
    with suppress(OSError):
        os.setpgid(child, child)  # as the child does: whichever is first
    os.close(ours)
    _close(command.files)
    gone = line.fileno() in select.select([line.fileno(), done], [], [])[0]  # nothing more is sent: its end is closed
    if gone:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    os.close(done)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code >= 0:
        with suppress(OSError):
            line.sendall(CODE.pack(code))
    return not gone and code >= 0


def _received(line: socket.socket) -> StandbyCommand:
    head, files, _, _ = socket.recv_fds(line, HEAD.size, 3)
    try:
        (size,) = HEAD.unpack(head)
        if size > MOST_BYTES or len(files) != len(("in", "out", "error")):
            raise ValueError("no command")
        request: dict[str, Any] = json.loads(_exactly(line, size))
        return StandbyCommand(**request, files=files)
    except BaseException:
        _close(files)
        raise


def _exactly(line: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer where there are no more; MSG_WAITALL does not wait on a socket with a timeout."""
    data = bytearray()
    while len(data) < size and (part := line.recv(size - len(data))):
        data += part
    return bytes(data)


def _close(files: Sequence[int]) -> None:
    for file in files:
        os.close(file)


def _run(command: StandbyCommand, pair: WorkerPair) -> None:
    """Become the command; never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _take_place(command)
        lend(pair)
        code = run_command(command.words)
        sys.stdout.flush()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
            sys.stdout.flush()
        os._exit(code)


def _take_place(command: StandbyCommand) -> None:
    """The files, the folder, the variables of whoever asked."""
    os.umask(command.umask)
    os.chdir(command.folder)
    os.environ.clear()
    os.environ.update(command.variables)
    time.tzset()
    for number, file in enumerate(command.files):
        os.dup2(file, number)
        os.close(file)
    streams = []
    for number, (encoding, errors) in enumerate(command.encodings):
        mode, buffering = ("w" if number else "r"), (1 if os.isatty(number) or number > 1 else -1)
        streams.append(open(number, mode, buffering, encoding=encoding, errors=errors, closefd=False))  # noqa: SIM115
    sys.stdin, sys.stdout, sys.stderr = streams
    sys.argv = ["kilowait", *command.words]


if __name__ == "__main__":
    sys.exit(main())
