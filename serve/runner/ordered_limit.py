"""The power limit of an attempt's boards, while its program runs."""

import asyncio

from kilowait.measure.allotment import Allotment


class OrderedLimit:
    """What was ordered last holds, also where it was ordered before there were boards; None is their own limit."""

    def __init__(self, limit_w: float | None) -> None:
        self._limit_w, self._changing = limit_w, asyncio.Lock()
        self._boards: Allotment | None = None

    async def order(self, limit_w: float | None) -> None:
        """Limit the boards to so many watts each; raises MeterError where that cannot be done."""
        self._limit_w = limit_w
        async with self._changing:
            if self._boards is not None:
                await asyncio.to_thread(self._boards.limit, self._limit_w)

    async def begin(self, boards: Allotment) -> None:
        """The program is about to start; raises as `order`, and then it must not."""
        async with self._changing:
            await asyncio.to_thread(boards.limit, self._limit_w)
            self._boards = boards

    async def end(self) -> None:
        """The program is over: the boards have their own limits again."""
        async with self._changing:
            boards, self._boards = self._boards, None
            if boards is not None:
                await asyncio.to_thread(boards.limit, None)
