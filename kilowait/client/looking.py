"""Looking at a job again and again: at once while something happens, and more seldom while nothing does."""

import time
from collections.abc import Callable, Iterator
from typing import Any

LOOK_S, SELDOM_S = 0.5, 3.0
"""Seconds between two looks at a job: soon after something happened, and after a while of silence."""


def pauses() -> Iterator[float]:
    """Seconds to wait before each next look at a job in which nothing happens."""
    pause_s = LOOK_S
    while True:
        yield pause_s
        pause_s = min(SELDOM_S, pause_s * 1.3)


def growing_log(ask: Callable[[int], Any]) -> Iterator[bytes]:
    """A log until its job is over, in whole characters; `ask` gives the piece of it from a byte on."""
    offset, silent = 0, pauses()
    while True:
        piece = ask(offset)
        if missing := piece.get("missing", 0):
            yield f"[kilowait: {missing:,} bytes of it are no longer kept]\n".encode()
        if piece["text"]:
            yield piece["text"].encode()
            silent = pauses()
        if piece["next"] > offset:
            offset = piece["next"]
        elif piece["ended"]:
            return
        else:
            time.sleep(next(silent))
