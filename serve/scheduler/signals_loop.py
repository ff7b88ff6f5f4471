"""Follows the signals of a site, and lets the scheduler know what is new."""

import asyncio
import logging
import time
from collections.abc import Sequence

from kilowait.core.errors import KilowaitError, Superseded
from kilowait.live.controller import Controller
from kilowait.live.signalling.followed_signal import FollowedSignal
from kilowait.live.signalling.signal_source import SignalSource

_log = logging.getLogger(__name__)


class SignalsLoop:
    """Looks at each source every `every_s` seconds; `wake` is set when something new is known."""

    def __init__(
        self, controller: Controller, sources: Sequence[SignalSource], every_s: float, wake: asyncio.Event
    ) -> None:
        self._controller, self._every_s, self._wake = controller, every_s, wake
        self._followed = [FollowedSignal(source) for source in sources]

    @property
    def problem(self) -> str | None:
        """Why a signal could not be read when it was looked at last."""
        return next((f"signal {one.source.name}: {one.problem}" for one in self._followed if one.problem), None)

    async def run(self) -> None:
        """Never returns."""
        while self._followed:
            await asyncio.gather(*map(self._follow, self._followed))
            await asyncio.sleep(self._every_s)

    async def _follow(self, one: FollowedSignal) -> None:
        before = one.problem
        await asyncio.to_thread(one.look)
        if one.problem is not None and one.problem != before:
            _log.warning("signal %s: %s; what was known of it before stays in force", one.source.name, one.problem)
        try:
            known = self._controller.cluster.signals.get(one.source.name)
            if (signal := one.news(time.time(), known)) is not None:
                self._controller.signal_reported(signal, time.time())
                self._wake.set()
        except Superseded:
            raise
        except KilowaitError as error:  # the history cannot be written now: it is news at the next look too
            _log.warning("signal %s is not kept: %s", one.source.name, error)
