"""What is expected of the waiting jobs, made anew as it grows old, and not while everybody waits where that takes long.

One that is soon made is made before it is shown, once it is old or something has happened. One that took longer than
SLOW_S is shown as it is while the next is made beside it, and rests as long as it took: a long queue would else keep a
core busy, and every page waiting.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from kilowait.simulate.outlook import Expected

GOOD_S = 2.0
"""How old an expectation may be that is shown, if it was soon made and nothing has happened."""

SLOW_S = 1.0
STALE = 10
"""An expectation that took long is shown at most for so many times as long as it took."""

Foresee = Callable[[], Awaitable[tuple[int, Mapping[str, Expected]]]]
"""Makes an expectation: the number of the last event that it knows, and what is expected by job id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What was expected by job id, at which event, when it was there, and how many seconds it took to make."""

    seq: int
    by_job: Mapping[str, Expected]
    made_s: float
    took_s: float


class Outlooks:
    """Remembers the last outlook that `foresee` made; `now` is a clock in seconds."""

    def __init__(self, foresee: Foresee, now: Callable[[], float] = time.monotonic) -> None:
        self._foresee, self._now, self._making = foresee, now, asyncio.Lock()
        self._last: Outlook | None = None
        self._beside: asyncio.Task[None] | None = None

    async def at(self, seq: int) -> Mapping[str, Expected]:
        """What is expected as of event number `seq`, or a little before where that takes long."""
        last = self._last
        if last is not None and last.took_s > SLOW_S and self._age_s(last) <= STALE * last.took_s:
            if not self._good(last, seq) and (self._beside is None or self._beside.done()):
                self._beside = asyncio.create_task(self._make())
            return last.by_job
        async with self._making:
            if self._last is None or not self._good(self._last, seq):
                await self._make()
            return self._last.by_job if self._last is not None else {}

    def _good(self, last: Outlook, seq: int) -> bool:
        """Whether nothing better is to be made yet."""
        age_s = self._age_s(last)
        if last.took_s > SLOW_S:
            return age_s <= last.took_s
        return last.seq == seq and age_s <= GOOD_S

    def _age_s(self, last: Outlook) -> float:
        return self._now() - last.made_s

    async def _make(self) -> None:
        begin_s = self._now()
        seq, by_job = await self._foresee()
        end_s = self._now()
        self._last = Outlook(seq=seq, by_job=by_job, made_s=end_s, took_s=end_s - begin_s)
