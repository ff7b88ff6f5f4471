"""The loop of learning inside the service: when a refit is due, and the Ray task that does it, away from everybody.

Due is every `refit_every` finished measured jobs, or earlier when the model in force has drifted
(kilowait.live.learning. drift) and some new jobs are there to learn from. The task opens the history by its URL: with
SQLite on this node, where the file is. The scheduler actor has no part in it.
"""

import asyncio
import logging
import time
from collections import Counter

import ray

from kilowait.core.errors import KilowaitError
from kilowait.history import models
from kilowait.history.store import Store
from kilowait.live.learning.drift import WINDOW, Drift, drift
from kilowait.live.learning.observed import count, recent
from kilowait.live.learning.refit import RefitRound, refit

from ..scheduler.history_node import on_history_node
from .desk import Desk

LOOK_S = 5.0
"""How often it is asked whether a refit is due."""
FLUSH_S = 1.0
"""How often base predictions are written down, and what is in force is looked up: so old may either be."""
LEAST_NEW = 20
"""Jobs since the last round below which drift leads to none: a comparison needs half of them on either side."""
AGAIN_S = 60.0
"""A round that failed is tried again after so long."""


class Learner:
    """Over a desk. `every` jobs a refit, 0 for never; `pretended` learns from pretended GPUs, for a try-out."""

    def __init__(self, desk: Desk, every: int, *, pretended: bool = False) -> None:
        self._desk, self._every, self._pretended = desk, every, pretended
        self.refits: Counter[str] = Counter()
        self.drift: Drift | None = None
        self._since_s: float | None = None
        self._not_before_s = 0.0

    async def keep_up(self) -> None:
        """Write base predictions down and follow what is in force; never returns."""
        while True:
            try:
                await self._desk.corrections.flush()
                await self._desk.corrections.look()
            except Exception:  # the history may be on its way back; predictions go on as they were
                logging.getLogger("ray.serve").warning("what is in force cannot be looked up now", exc_info=True)
            await asyncio.sleep(FLUSH_S)

    async def run(self) -> None:
        """Refit when it is due; never returns."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if await self._due():
                    await self._refit()
            except Exception:  # of one round: the next may succeed
                self.refits["failed"] += 1
                logging.getLogger("ray.serve").warning("a refit failed", exc_info=True)

    async def _due(self) -> bool:
        """Look at drift, and say whether there is enough to learn from."""
        self.drift = await self._desk.ask(_drift, self._pretended)
        if not self._every or time.time() < self._not_before_s:
            return False
        if self._since_s is None:
            self._since_s = await self._desk.ask(_last_learnt)
        new = await self._desk.ask(_count, self._pretended, self._since_s)
        return new >= self._every or (self.drift is not None and bool(self.drift.beyond) and new >= LEAST_NEW)

    async def _refit(self) -> None:
        assert self._desk.settings is not None  # once something was asked
        began_s = time.time()
        self._not_before_s = began_s + AGAIN_S
        url, base = self._desk.settings.url, self._desk.forecasts.version
        options = {"num_cpus": 0, "max_retries": 0, **on_history_node(url)}
        refit_round: RefitRound | str = (
            await ray.remote(_round).options(**options).remote(url, base, began_s, self._pretended)
        )
        if isinstance(refit_round, str):
            self.refits["failed"] += 1
            logging.getLogger("ray.serve").warning("a refit failed: %s", refit_round)
            return
        self._since_s = began_s
        self.refits[refit_round.outcome.value] += 1
        logging.getLogger("ray.serve").warning("refit: %s: %s", refit_round.outcome, refit_round.reason)
        await self._desk.corrections.look()


def _round(url: str, base_version: str | None, now_s: float, pretended: bool) -> RefitRound | str:
    """One round of refitting, in a Ray task; or why there was none."""
    try:
        store = Store(url)
        try:
            return refit(store, now_s=now_s, base_version=base_version, pretended=pretended, who="service")
        finally:
            store.close()
    except KilowaitError as error:
        return str(error)


def _drift(store: Store, pretended: bool) -> Drift | None:
    version = models.current(store)
    if version is None:
        return None
    promised = next(model for model in models.listed(store) if model.version == version).scores.get("errors", ())
    return drift(recent(store, WINDOW, pretended=pretended), version, promised)


def _last_learnt(store: Store) -> float:
    """When the newest job of the newest model ended, 0 where there is none."""
    return max((model.newest_s for model in models.listed(store)), default=0.0)


def _count(store: Store, pretended: bool, after_s: float) -> int:
    return count(store, pretended=pretended, after_s=after_s)
