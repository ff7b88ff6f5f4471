"""This terminal joined to that of a shell on a node: keys go there, what is shown there comes here.

What is shown is asked for by byte, so a connection that was lost for a while loses none of it.
"""

import codecs
import contextlib
import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

from kilowait.core.errors import InputError, ServiceError

if TYPE_CHECKING:
    from kilowait.client.client import Client

WAIT_S = 20.0
"""So long one question waits for something new to show."""
AGAIN_S, PATIENCE_S = 2.0, 120.0
"""How often, and how long, a connection that was lost is tried again."""
RECENT = 4096
"""Characters that are shown to who comes back."""
FIRST_S = 5.0
"""What standard input has for the shell waits so long for it to show something, which means that it reads."""
END_OF_INPUT = "\x04"


class End(Enum):
    """How it ended: the shell is OVER, the user LEFT it, or the service was LOST."""

    OVER, LEFT, LOST = range(3)


class LeaveKeys:
    """Finds `~.` at the beginning of a line, as ssh does, in keys that come in pieces."""

    def __init__(self) -> None:
        self._begins, self._held = True, ""

    def passed(self, keys: str) -> tuple[str, bool]:
        """The keys to type, and whether to leave."""
        typed = ""
        for key in keys:
            if self._held:
                if key == ".":
                    return typed, True
                typed, self._held = typed + self._held, ""
            elif self._begins and key == "~":
                self._held, self._begins = key, False
                continue
            typed += key
            self._begins = key in "\r\n"
        return typed, False


class AttachedTerminal:
    """Standard input and output joined to a shell; `keys` is a client that types while the other one reads."""

    def __init__(self, client: "Client", keys: "Client", job_id: str, *, recent: bool = False) -> None:
        self._client, self._keys, self._job_id, self._recent = client, keys, job_id, recent
        self._input = sys.stdin.fileno()
        self._has_shown, self._left = threading.Event(), threading.Event()
        self._wake, self._waker = os.pipe()

    def until_end(self) -> End:
        """Go on until the shell is over, the user leaves it, or the service cannot be reached for long."""
        typing = threading.Thread(target=self._type, daemon=True)
        with self._raw(), self._resizes():
            typing.start()
            try:
                return self._show()
            finally:
                self._left.set()
                os.write(self._waker, b".")
                typing.join(AGAIN_S)

    def _show(self) -> End:
        offset, reached_s = self._behind_what_was() if self._recent else 0, time.monotonic()
        while not self._left.is_set():
            try:
                piece = self._client.terminal(self._job_id, offset=offset, wait_s=WAIT_S)
            except ServiceError:
                if time.monotonic() - reached_s > PATIENCE_S:
                    return End.LOST
                self._left.wait(AGAIN_S)
                continue
            reached_s, offset = time.monotonic(), piece["next"]
            self._write(piece["text"])
            if piece["ended"]:
                return End.OVER
        return End.LEFT

    def _behind_what_was(self) -> int:
        """Show the last of what was shown before, and say where it ends."""
        text, piece = "", self._client.terminal(self._job_id)
        while piece["text"]:
            text = (text + piece["text"])[-RECENT:]
            piece = self._client.terminal(self._job_id, offset=piece["next"])
        self._write(text.partition("\n")[2] if len(text) == RECENT else text)
        return int(piece["next"])

    def _write(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(sys.stdout.fileno(), data) :]
        if text and not self._has_shown.is_set():
            self._has_shown.set()
            os.write(self._waker, b"s")  # it was perhaps not there yet when its size was said

    def _type(self) -> None:
        decoder, leave = codecs.getincrementaldecoder("utf-8")("replace"), LeaveKeys()
        terminal = os.isatty(self._input)
        if not terminal:
            self._has_shown.wait(FIRST_S)
        self._send("")
        while not self._left.is_set():
            ready, _, _ = select.select((self._input, self._wake), (), ())
            if self._wake in ready:
                os.read(self._wake, 1024)
                self._send("")
                continue
            data = os.read(self._input, 4096)
            keys, leaves = leave.passed(decoder.decode(data)) if terminal else (decoder.decode(data), False)
            self._send(keys if data else END_OF_INPUT)
            if leaves:
                self._left.set()
            if not data:
                return

    def _send(self, keys: str) -> None:
        """Type these, and say how large this terminal is; what does not arrive is not typed again."""
        if self._left.is_set():
            return
        size = None
        if os.isatty(self._input):
            columns, rows = os.get_terminal_size(self._input)
            size = (rows, columns) if rows and columns else None
        if keys or size:
            with contextlib.suppress(ServiceError, InputError):  # whoever reads is told that it is over, or lost
                self._keys.type_in(self._job_id, keys, size)

    @contextlib.contextmanager
    def _raw(self) -> Iterator[None]:
        """Every key goes there, Ctrl-C too."""
        if not os.isatty(self._input):
            yield
            return
        before = termios.tcgetattr(self._input)
        try:
            tty.setraw(self._input)
            yield
        finally:
            termios.tcsetattr(self._input, termios.TCSADRAIN, before)

    @contextlib.contextmanager
    def _resizes(self) -> Iterator[None]:
        """Say how large this terminal is whenever that changes."""

        def tell(*_: Any) -> None:
            os.write(self._waker, b"s")

        before = signal.signal(signal.SIGWINCH, tell)
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, before)
