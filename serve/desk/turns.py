"""Turns at something that serves few at once: owners in a circle, so that one who asks much makes only himself wait."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..wire.problems import busy


class Turns:
    """`at_once` have their turn together, of one owner `each`; of one owner `room` may wait, and more are refused."""

    def __init__(self, *, at_once: int, each: int, room: int) -> None:
        self._at_once, self._each, self._room = at_once, each, room
        self._taken: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def others(self, owner: str) -> int:
        """How many turns are had or waited for by others than this owner."""
        waiting = sum(len(queue) for name, queue in self._waiting.items() if name != owner)
        return waiting + self._taken.total() - self._taken[owner]

    @asynccontextmanager
    async def of(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn and have it; raises Refusal where too many of this owner wait."""
        queue = self._waiting.setdefault(owner, deque())
        if len(queue) >= self._room:
            raise busy()
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._call()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._taken[owner] -= 1
            elif turn in queue:
                queue.remove(turn)
            self._call()

    def _call(self) -> None:
        """Give out what turns there are, each to the owner whose last one is longest ago."""
        while self._taken.total() < self._at_once and (owner := self._next()) is not None:
            turn = self._waiting[owner].popleft()
            if turn.cancelled():  # who waited has gone, and is about to say so
                continue
            turn.set_result(None)
            self._taken[owner] += 1
            self._waiting.move_to_end(owner)
        for owner in [name for name, queue in self._waiting.items() if not queue and not self._taken[name]]:
            del self._waiting[owner], self._taken[owner]

    def _next(self) -> str | None:
        able = (name for name, queue in self._waiting.items() if queue and self._taken[name] < self._each)
        return next(able, None)
