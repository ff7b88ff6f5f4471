"""The lease on a history: waited for, kept, and, where it is a short one, the runners told how long they may run on."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from math import inf

from kilowait.core.errors import Occupied, StoreError
from kilowait.core.hardware import GPU_TYPES
from kilowait.history.lease import RENEWALS, Claim
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies import Policy

from ..runner.gang import Gang
from .settings import SchedulerSettings

SAY_S = 60.0
"""How often it is logged what is waited for."""

_log = logging.getLogger(__name__)


async def opened(
    settings: SchedulerSettings, policy: Policy, claim: Callable[[], Claim], replaced: Callable[[], None]
) -> Controller:
    """The controller, once the history can be read and written and no other living cluster has it.

    An actor that cannot start is not started again, so this waits, as a standby does; `replaced` is called whenever
    another cluster has the history.
    """
    said_s = -SAY_S
    while True:
        try:
            return Controller(Store(settings.url), policy, order=tuple(GPU_TYPES), claim=claim())
        except (Occupied, StoreError) as error:
            if isinstance(error, Occupied):
                replaced()
            if time.monotonic() - said_s >= SAY_S:
                said_s = time.monotonic()
                _log.warning("waiting: %s", error)
        await asyncio.sleep(settings.look_s)


class HeldLease:
    """Renews the claim of a scheduler that has the lease; `fenced_s` is until when its jobs may run on, None for ever.

    `gangs` are the runners by token, as they come and go: those of a short lease are told at every renewal.
    """

    def __init__(self, store: Store, claim: Callable[[], Claim], gangs: Mapping[int, Gang]) -> None:
        self._store, self._claim, self._gangs = store, claim, gangs
        self._renewed_s, self.fenced_s = -inf, claim().fenced_s  # renewed at once, for runners from before

    def keep(self) -> None:
        """Renew the lease where it is time to; raises as `renew`."""
        if time.monotonic() - self._renewed_s >= self._claim().lease_s / RENEWALS:
            self.renew()

    def renew(self) -> None:
        """Say that this scheduler lives; raises Superseded where another has taken over, StoreError."""
        claim = self._claim()
        self._store.renew(claim)
        self._renewed_s, self.fenced_s = time.monotonic(), claim.fenced_s
        if claim.fenced_s is not None:
            for gang in self._gangs.values():
                gang.go_on(claim.fenced_s)
