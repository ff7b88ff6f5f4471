"""One process that loads PyTorch once and then serves dry runs for two targets, each over pipes of its own.

Loading takes two seconds and more of a core, so two workers side by side would take as long again. The process ends
when both pipes are closed, and at the latest with `close`.
"""

import os
import select
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

from kilowait.predict.dryrun.child.worker_messages import DryRunRequest
from kilowait.predict.dryrun.dry_runner import (
    WorkerLine,
    has_started,
    have_imported,
    worker_command,
    worker_environment,
)
from kilowait.predict.interpreter import OWN, Interpreter

FIRST, SECOND = "cpu", "cuda"
"""A GPU is pretended in the second alone: there is no way back from it."""


class WorkerPair:
    """A context manager; `take` gives the pipes of a target once, and starts the process when it is first asked.

    For interpreters that are not in a container, which would not hand on open files.
    """

    def __init__(self, interpreter: Interpreter = OWN, *, unsafe: bool = False) -> None:
        self.interpreter, self.unsafe = interpreter, unsafe
        self._lock = threading.Lock()
        self._lines: dict[str, WorkerLine] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lent = False
        self._noted: dict[str, DryRunRequest] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def serves(self, interpreter: Interpreter, *, unsafe: bool) -> bool:
        """Whether a runner that is to be like this may use it."""
        same = interpreter.command == self.interpreter.command
        return same and unsafe == self.unsafe and not interpreter.contained

    def start(self) -> None:
        """Start the process before anybody asks."""
        with self._lock:
            self._lines = self._start()

    def wait(self) -> None:
        """Wait until both targets can be served; raises InputError where they cannot."""
        with self._lock:
            lines = self._lines or {}
            self._lines = {target: has_started(line, self.interpreter, target) for target, line in lines.items()}

    def renew(self) -> None:
        """End the process and have another, with what the last one had imported; raises InputError."""
        self.close()
        self.start()
        self.wait()
        self.have_imported(list(self._noted.values()))

    @property
    def is_idle(self) -> bool:
        """Whether the process lives and nobody waits for an answer that came too late."""
        lines = list((self._lines or {}).values())
        alive = self._process is not None and self._process.poll() is None
        return alive and not select.select([line.answers for line in lines], [], [], 0)[0]

    def take(self, target: str) -> WorkerLine | None:
        """The pipes of a target; None when they were taken before: whoever wants others starts a worker of its own."""
        with self._lock:
            if self._lines is None:
                self._lines = self._start()
            return self._lines.pop(target, None)

    def have_imported(self, requests: Sequence[DryRunRequest]) -> None:
        """Let the workers import for the next run of a program what an earlier one imported."""
        with self._lock:
            for request in requests:
                self._noted[request.target] = request
                if line := (self._lines or {}).get(request.target):
                    have_imported(line, request)

    def note(self, target: str, request: DryRunRequest) -> None:
        """Remember what the next run of a program can have imported ahead, whoever will serve it."""
        self._noted[target] = request

    def before_closing(self, target: str, line: WorkerLine) -> None:
        """Where the process stays, it imports for the next run."""
        if self._lent and target in self._noted:
            with suppress(OSError, EOFError, ValueError):  # a worker that has gone is noticed by whoever lent it
                have_imported(line, self._noted[target])

    def close(self) -> None:
        """End the process and what it forked."""
        _noted.update(self._noted)
        with self._lock:
            for line in (self._lines or {}).values():
                line.close()
            self._lines = {}
            if self._process is not None and not self._lent:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
                self._process = None

    def _start(self) -> dict[str, WorkerLine]:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        self._process = subprocess.Popen(
            worker_command(self.interpreter, FIRST, self.unsafe, (SECOND, theirs_in, theirs_out)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=worker_environment(self.interpreter),
            pass_fds=(theirs_in, theirs_out),
            process_group=0,
        )
        for theirs in (theirs_in, theirs_out):
            os.close(theirs)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pipes: Sequence[tuple[str, IO[bytes], IO[bytes]]] = (
            (FIRST, self._process.stdin, self._process.stdout),
            (SECOND, os.fdopen(ours_out, "wb"), os.fdopen(ours_in, "rb")),
        )
        return {target: WorkerLine(requests=out, answers=answers) for target, out, answers in pipes}


_lent: WorkerPair | None = None
_noted: dict[str, DryRunRequest] = {}


def noted() -> Sequence[DryRunRequest]:
    """What the next runs of this process's programs can have imported ahead, by workers that it does not have."""
    return list(_noted.values())


def lend(pair: WorkerPair) -> None:
    """In a process forked from the one that keeps a pair: let predictions use it, and leave it alive."""
    global _lent
    pair._lent = True
    _lent = pair


def pair_for(interpreter: Interpreter) -> WorkerPair:
    """The pair that was lent, where it is one of this interpreter, else a new one."""
    return _lent if _lent is not None and _lent.serves(interpreter, unsafe=False) else WorkerPair(interpreter)
