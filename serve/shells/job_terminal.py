"""The far end of a job's terminal, in the runner of the job: keys go in here, and idle time is counted here.

What the terminal shows is the job's log: the guard of the job writes it down.
"""

import asyncio
import fcntl
import os
import select
import struct
import termios
import time
from pathlib import Path

PIECE_BYTES = 1024
"""So much is typed at once: the kernel has room for it whenever it says that there is room."""
STUCK_S = 5.0
"""So long keys wait for a program that does not read them."""
LOOK_S = 0.02
"""How often it is seen whether there is more to show: a fraction of what a key takes over HTTP."""
ABSENT_S = 60.0
"""Who has not looked for so long is gone."""


class Terminal:
    """A terminal whose output is written to `log_folder`; it is idle once nothing happens for `idle_s`.

    Something happens when a key is typed, when somebody comes to look, and when something is written while somebody
    looks. What is written while nobody looks does not count: a job of its own is the place for that.
    """

    def __init__(self, log_folder: Path, idle_s: float) -> None:
        self._far, self.near = os.openpty()
        self._log_folder, self._idle_s = log_folder, idle_s
        self._active_s = time.monotonic()
        self._looked_s = -ABSENT_S
        self._shown_bytes, self._is_over = 0, False

    @property
    def fds(self) -> tuple[int, int]:
        """Its two ends, for the guard of the job: where the output comes out, and the job's own."""
        return self._far, self.near

    def hand_over(self) -> None:
        """The guard has both ends now; here only the far one is needed."""
        os.close(self.near)

    def close(self) -> None:
        """The job is over: nobody waits for more."""
        self._is_over = True
        os.close(self._far)

    async def type_in(self, keys: bytes) -> None:
        """Type these keys; what is left of them once the job is over goes nowhere. Raises TimeoutError where the
        program takes none for STUCK_S."""
        self._active_s = time.monotonic()
        while keys:
            while not select.select((), (self._far,), (), 0)[1]:
                if time.monotonic() - self._active_s > STUCK_S:
                    raise TimeoutError
                await asyncio.sleep(LOOK_S)
                if self._is_over:  # what was open under this number is closed
                    return
            keys = keys[os.write(self._far, keys[:PIECE_BYTES]) :]
            self._active_s = time.monotonic()

    def resize(self, rows: int, columns: int) -> None:
        """It has this size from now on; programs that draw are told."""
        fcntl.ioctl(self._far, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def changed(self, offset: int, wait_s: float) -> None:
        """Return once more than `offset` bytes were shown or the job is over, at the latest after `wait_s`."""
        if time.monotonic() - self._looked_s > ABSENT_S:
            self._active_s = time.monotonic()
        until_s = time.monotonic() + wait_s
        while not self._is_over and self._written() <= offset and time.monotonic() < until_s:
            await asyncio.sleep(LOOK_S)
        self._looked_s = time.monotonic()

    async def until_idle(self) -> None:
        """Return once nothing has happened for so long."""
        while (left_s := self._active_s + self._idle_s - time.monotonic()) > 0:
            await asyncio.sleep(min(left_s, 1.0))
            shown, before = self._written(), self._shown_bytes
            self._shown_bytes = shown
            if shown > before and time.monotonic() - self._looked_s < ABSENT_S:
                self._active_s = time.monotonic()

    def _written(self) -> int:
        """Bytes that were ever shown: the newest segment of the log is named after its first byte."""
        newest = max(self._log_folder.glob("*.log"), default=None)
        return 0 if newest is None else int(newest.stem) + newest.stat().st_size


def idle_words(idle_s: float) -> str:
    """Why a shell was ended."""
    return f"idle for {idle_s:,.0f} s: nothing was typed or shown at its terminal; its GPUs are free again"
