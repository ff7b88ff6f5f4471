"""One process that loads PyTorch once and then serves dry runs for two targets, each over pipes of its own.

Loading takes two seconds and more of a core, so two workers side by side would take as long again. The process ends
when both pipes are closed, and at the latest with `close`.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

from kilowait.predict.dryrun.dry_runner import WorkerLine, worker_command, worker_environment
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def serves(self, interpreter: Interpreter, *, unsafe: bool) -> bool:
        """Whether a runner that is to be like this may use it."""
        return interpreter == self.interpreter and unsafe == self.unsafe and not interpreter.contained

    def take(self, target: str) -> WorkerLine | None:
        """The pipes of a target; None when they were taken before: whoever wants others starts a worker of its own."""
        with self._lock:
            if self._lines is None:
                self._lines = self._start()
            return self._lines.pop(target, None)

    def close(self) -> None:
        """End the process and what it forked."""
        with self._lock:
            for line in (self._lines or {}).values():
                line.close()
            self._lines = {}
            if self._process is not None:
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
