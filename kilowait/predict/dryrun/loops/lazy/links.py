"""How a loop over a generator of the program and what that generator runs over itself find each other.

A loop knows the generator alone. When the generator begins its own loop, in which it yields once an item, the two are
linked: the loop then has as many items as that one, and asks for them by number.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import GeneratorType
from typing import Any

_waiting: dict[Any, GeneratorLink] = {}
"""By the frame of a generator that has not begun."""


class GeneratorLink:
    """From a loop over a generator: `number` is the item that is wanted, None when no more are."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.loop: Any = None
        self.number: int | None = 0
        self.holds = False

    def draw(self, generator: Iterator[Any], number: int, loop: Any) -> Any:
        """Item `number` of `loop`; raises StopIteration where there is none."""
        self.loop, self.number = loop, number
        try:
            return next(generator)
        finally:
            _waiting.pop(self.frame, None)
            self.frame = None

    def end(self, generator: Iterator[Any]) -> None:
        """Let the generator end."""
        self.number = None
        next(generator, None)


def link_of(iterable: Any) -> GeneratorLink | None:
    """A link that waits for what a generator runs over; None for anything else, and for one that has begun."""
    if type(iterable) is not GeneratorType or inspect.getgeneratorstate(iterable) != inspect.GEN_CREATED:
        return None
    frame = iterable.gi_frame
    _waiting[frame] = link = GeneratorLink(frame)
    return link


def waiting_for(frame: Any) -> GeneratorLink | None:
    """The link of the generator with this frame, where a loop is drawing from it."""
    link = _waiting.pop(frame, None)
    return link if link is not None and link.loop is not None else None
