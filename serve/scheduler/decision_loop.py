"""The scheduler's decisions: whenever something happened, in a thread beside the actor's own loop."""

import asyncio
import logging
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import MappingProxyType

from kilowait.cluster.state import Cluster
from kilowait.core.errors import KilowaitError, Superseded
from kilowait.core.submission import Attempt
from kilowait.live.controller import Controller
from kilowait.policies.limiting.promised_watts import BUDGET

from ..runner.gang import Gang

LEAST_IDLE_S = 0.01
"""Between two decisions for which the clock alone is the reason."""
SLOW_S = 1.0
"""A decision that takes longer is logged."""
SWITCH_S = 0.0005
"""A policy written in Python lets the actor's loop run after so long: ten times as often as Python would by itself."""

_log = logging.getLogger(__name__)


class DecisionLoop:
    """Decides on a copy of the state (`kilowait.live.deciding`), so that nothing else waits for a slow policy.

    `wake` is set when there may be something to decide, `tend` is told of every attempt that starts. `seconds` are
    those of the last decisions, `problem` is why the last one came to nothing. `gangs` are the runners by token: those
    of attempts that are preempted are told.
    """

    def __init__(
        self,
        controller: Controller,
        look_s: float,
        tend: Callable[[Attempt], None],
        gangs: Mapping[int, Gang] = MappingProxyType({}),
    ) -> None:
        self._controller, self._look_s, self._tend, self._gangs = controller, look_s, tend, gangs
        self.wake = asyncio.Event()
        self.problem: str | None = None
        self.count, self.seconds = 0, deque[float](maxlen=10_000)
        self._limiting = list[Awaitable[None]]()
        self._thread = ThreadPoolExecutor(1, "decision")
        sys.setswitchinterval(SWITCH_S)

    async def run(self) -> None:
        """Decide whenever something happened, and when an estimate passes; never returns."""
        while True:
            self.wake.clear()
            idle_s = self._look_s
            try:
                while attempts := await self.decide():
                    for attempt in attempts:
                        self._tend(attempt)
                idle_s, self.problem = self.idle_s(), None
            except Superseded:
                raise
            except KilowaitError as error:  # a full disk, say: nothing has happened, and it may be well again
                self.problem = str(error)
                await asyncio.sleep(self._look_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), idle_s)

    def idle_s(self) -> float:
        """How long there is nothing to do, should nothing happen: until nodes are looked at, or a decision is due."""
        controller = self._controller
        if nothing_to_decide(controller.cluster):  # what the copy is yet to be told does not matter
            return self._look_s
        renewal_s = min(controller.cluster.next_renewal_s(), controller.deciding.next_renewal_s())
        return min(self._look_s, max(LEAST_IDLE_S, renewal_s - time.time()))

    async def decide(self) -> list[Attempt]:
        """Ask the policy once, and carry out what is still possible when it has answered; returns what starts."""
        controller = self._controller
        if nothing_to_decide(controller.cluster):
            return []
        began_s, ask = time.perf_counter(), controller.deciding.begin(controller.at(time.time()))
        try:
            decisions = await asyncio.get_running_loop().run_in_executor(self._thread, ask)
        except BaseException:
            controller.deciding.forget()
            raise
        taken_s = time.perf_counter() - began_s
        controller.at(time.time())
        attempts = controller.carry_out(decisions)
        for job_id in controller.deciding.leaving.take_new():
            self._gangs[controller.running(job_id).token].preempt()
        self._limit()
        self.count += 1
        self.seconds.append(taken_s)
        overtaken = 0 if controller.deciding.leaving else len(decisions) - len(attempts)
        if taken_s >= SLOW_S or overtaken:
            _log.warning("a decision took %.1f s; %d of %d starts were overtaken", taken_s, overtaken, len(decisions))
        return attempts

    def _limit(self) -> None:
        """Have the boards of running attempts limited anew; nothing starts before they are (`limits_set`)."""
        for job_id, limit_w in self._controller.deciding.take_limited().items():
            if job_id in self._controller.cluster.active:
                gang = self._gangs.get(self._controller.running(job_id).token)
                self._limiting += [] if gang is None else gang.limit(limit_w)

    async def limits_set(self) -> None:
        """Return once all limits are in force that were ordered before, or their runners are gone."""
        await asyncio.gather(*(ordered := list(self._limiting)), return_exceptions=True)
        self._limiting = [one for one in self._limiting if one not in ordered]


def nothing_to_decide(cluster: Cluster) -> bool:
    """Whether nobody waits, and nobody runs who might be stopped for a better hour, or is held to a power budget."""
    if cluster.waiting or (cluster.active and BUDGET in cluster.signals):
        return False
    return all(active.job.checkpoint_s is None for active in cluster.active.values())
