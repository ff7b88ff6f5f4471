"""What a generator of the program runs over, with one yield an item."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from kilowait.predict.dryrun.loops.lazy.links import GeneratorLink, waiting_for
from kilowait.predict.dryrun.loops.loop_views import View, view


class Streamed:
    """An iterable of the program's; made in the frame of the generator, which a loop of the program draws from."""

    def __init__(self, iterable: Any) -> None:
        self.iterable = iterable
        self._link = waiting_for(sys._getframe(1))

    def __iter__(self) -> Iterator[Any]:
        seen = None if self._link is None else view(self.iterable)
        if self._link is None or seen is None or seen.at is None:
            yield from self.iterable if seen is None or seen.rest is None else seen.rest
            return
        yield from _by_number(seen, self._link)


def _by_number(seen: View, link: GeneratorLink) -> Iterator[Any]:
    """The items that the loop asks for."""
    link.holds = True
    if seen.length is not None:
        link.loop.plan.cut(seen.length)
    for question in seen.questions:
        link.loop.plan.ask(question)
    while link.number is not None and (seen.length is None or link.number < seen.length):
        try:
            value = seen.item(link.number, link.loop)
        except (StopIteration, IndexError):
            return
        yield value
