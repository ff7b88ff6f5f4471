"""A child that has entered its sandbox and imported what a program will, and waits for the program.

It serves one run, of a program from the same place with the same surroundings, and is gone with it: no run finds what
another has left. What it imports was named by an earlier run of that program, which nobody vouches for, and is imported
in the sandbox, where that program could have imported it itself.

Not covered: a program that finds other modules than before by changes of its own to the path of imports.
"""

from __future__ import annotations

import io
import os
import select
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from kilowait.predict.dryrun.child.worker_messages import DryRunRequest, send_request
from kilowait.predict.dryrun.dry_program import is_forward

ENTERED, READY = b"i", b"r"
"""What a child writes, before its record, once it is inside and once it has imported."""
ENTERS_S, IMPORTS_S = 10.0, 30.0
"""So long that is waited for; the second by whoever asks for a run while imports are under way."""


class WaitingChild:
    """Its process, what it was made for, and the ends of the pipes to it and from it."""

    def __init__(self, made_for: DryRunRequest, process: int, orders: int, record: int) -> None:
        self.made_for, self.process, self.orders, self.record = made_for, process, orders, record
        os.set_blocking(orders, False)

    @property
    def lives(self) -> bool:
        """Whether it has not ended, as it does when what it imports ends it."""
        return os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def fits(self, request: DryRunRequest) -> bool:
        """Whether a run that is asked for may be made in it."""
        made_for, asked = self.made_for.program, request.program
        alike: dict[str, Any] = {"files": {}, "entrypoint": "", "arguments": (), "content_hash": ""}
        if replace(made_for, **alike) != replace(asked, **alike):
            return False
        if (request.budget_s, request.imports_s) != (self.made_for.budget_s, self.made_for.imports_s):
            return False  # its limit of CPU time cannot be raised any more
        if self._hidden_by(set(asked.files) - set(made_for.files)):
            return False
        return not is_forward(asked.files[asked.entrypoint].decode("utf-8-sig", errors="replace"))

    def _hidden_by(self, new: Collection[str]) -> bool:
        """Whether a file that was not there before may be what an import finds now."""
        parts = {part for name in new for part in PurePosixPath(name).with_suffix("").parts}
        return not parts.isdisjoint(name.partition(".")[0] for name in self.made_for.ahead or ())

    def entered(self) -> bool:
        """Whether it came into its sandbox."""
        return _byte(self.record, ENTERS_S) == ENTERED

    def give(self, request: DryRunRequest) -> bool:
        """Let it run; False where it is not to be had, after all."""
        message = io.BytesIO()
        send_request(message, request)
        return _byte(self.record, IMPORTS_S) == READY and _written(self.orders, message.getvalue())

    def end(self) -> None:
        """End it where it waits."""
        for file in (self.orders, self.record):
            os.close(file)
        with suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)


def _byte(file: int, within_s: float) -> bytes:
    return os.read(file, 1) if select.select([file], [], [], within_s)[0] else b""


def _written(file: int, data: bytes) -> bool:
    """Whether all was taken before whoever reads was too slow."""
    end_s = time.monotonic() + ENTERS_S
    while data and (left_s := end_s - time.monotonic()) > 0:
        if select.select([], [file], [], left_s)[1]:
            try:
                data = data[os.write(file, data) :]
            except OSError:
                return False
    return not data
