"""Follows how far running jobs are, and lets the scheduler expect their ends, and decide, by what is seen.

A job is asked after the sooner the less it has run, and at most after each twentieth of that: what it writes costs
nobody anything while it is not asked after.
"""

import asyncio
import time
from collections.abc import Mapping

from ray.exceptions import RayError

from kilowait.core.errors import KilowaitError, StaleAttempt, Superseded
from kilowait.live.controller import Controller

from ..runner.gang import Gang

TIMEOUT_S = 5.0
LATER = 1.05
AT_ONCE = 50
"""Jobs that are asked after at the same time."""


class StepsLoop:
    """`gangs` are the runners by token, as they come and go; `wake` is set when something new is expected."""

    def __init__(self, controller: Controller, gangs: Mapping[int, Gang], wake: asyncio.Event, look_s: float) -> None:
        self._controller, self._gangs, self._wake, self._look_s = controller, gangs, wake, look_s
        self._next_s: dict[int, float] = {}

    async def run(self) -> None:
        """Never returns."""
        while True:
            await asyncio.sleep(self._look_s)
            now_s = time.time()
            self._next_s = {token: at_s for token, at_s in self._next_s.items() if token in self._gangs}
            due = [gang for token, gang in self._gangs.items() if self._next_s.get(token, 0.0) <= now_s][:AT_ONCE]
            await asyncio.gather(*map(self._ask, due))

    async def _ask(self, gang: Gang) -> None:
        """Take in how far one job is; one that does not answer is asked again later."""
        attempt, now_s = gang.attempt, time.time()
        wait_s = max(2 * self._look_s, (LATER - 1) * (now_s - attempt.placed_s))
        self._next_s[attempt.token] = now_s + wait_s
        try:
            record = await asyncio.wait_for(gang.steps(), TIMEOUT_S)
            who = attempt.job_id, attempt.attempt, attempt.token
            if record is not None and self._controller.progressed(*who, record, time.time()):
                self._wake.set()
        except (RayError, TimeoutError, StaleAttempt):  # it has just ended, or its node is busy or gone
            return
        except Superseded:
            raise
        except KilowaitError:  # the history cannot be written now: what is seen later says as much
            return
