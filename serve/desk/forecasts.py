"""Predictions as the service remembers them: by what was asked and the models' version, each computed once.

Nobody waits long for another's source: owners take turns at the predictor, and a question that meets another owner's
there is told nothing after PATIENCE_S. Its answer is computed all the same, and remembered.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from kilowait.predict.dry_run_access import DryRunAccess

from ..wire.problems import Refusal, busy
from .predictor_replica import MAX_ONGOING, MAX_QUEUED, PredictionQuestion, Told
from .turns import Turns

Key = tuple[str, tuple[str, ...], int, DryRunAccess]

KEPT = 20_000
"""Questions whose answers are remembered; about 120 MB, nearly all of it embeddings."""

LOOK_S = 10.0
"""How often the version of the probe is looked up: so long may a new probe go unnoticed."""

PATIENCE_S = 1.0
"""How long a question that meets another owner's at the predictor waits for its answer."""

ALONE_S = 30.0
"""How long a question waits that meets none, where nothing else is said: the budget of one source."""

SILENT_S = 60.0
"""After so long without an answer to anything, the predictor is said not to answer."""

AT_ONCE, EACH = 8, 2
"""Questions at the predictor together, and of one owner: two keep a replica busy, and are soon over for the next."""


class Forecasts:
    """Remembers what the predictor deployment answers. Two who ask for one text at once share one computation.

    Of one owner `room` questions may wait; `now` is the time in seconds since the epoch.
    """

    def __init__(
        self,
        predictor: Any,
        *,
        room: int = MAX_ONGOING + MAX_QUEUED,
        alone_s: float = ALONE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._predictor, self._alone_s, self._now = predictor, alone_s, now
        self.version: str | None = None
        self.well = False
        self._turns = Turns(at_once=AT_ONCE, each=EACH, room=room)
        self._forecasts: OrderedDict[Key, Told] = OrderedDict()
        self._tasks: dict[Key, asyncio.Task[Told]] = {}
        self._heard_s = 0.0
        self.hits = self.misses = self.refused = self.late = 0

    async def of(self, asked: PredictionQuestion, owner: str) -> tuple[Told, bool] | None:
        """(what is expected, whether it was remembered), None where that is not known in time.

        Raises Refusal when too many questions of this owner wait.
        """
        key = asked.key
        if (forecast := self._forecasts.get(key)) is not None:
            self._forecasts.move_to_end(key)
            self.hits += 1
            return forecast, True
        self.misses += 1
        patience_s = PATIENCE_S if self._turns.others(owner) else self._alone_s
        task = self._tasks.get(key) or self._started(asked, owner)
        await asyncio.wait((task,), timeout=patience_s)
        if task.done():
            return task.result(), False
        self.late += 1
        return None

    async def later(self, asked: PredictionQuestion, owner: str) -> Told:
        """What is expected, however long that takes; raises what the predictor raises, and Refusal as `of`."""
        if (forecast := self._forecasts.get(asked.key)) is not None:
            return forecast
        return await asyncio.shield(self._tasks.get(asked.key) or self._started(asked, owner))

    def problem(self) -> str | None:
        """What keeps the predictor from answering, None where it answers."""
        if not self.well:
            return "no answer yet" if self.version is None else "no answer"
        if not self._tasks or self._now() - self._heard_s < SILENT_S:
            return None
        since = datetime.fromtimestamp(self._heard_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"no answer since {since}; {len(self._tasks)} sources wait for it"

    async def watch(self) -> None:
        """Notice a new probe, and forget what the old one said; never returns."""
        while True:
            try:
                self._seen(await asyncio.wait_for(self._version(), LOOK_S))
                self.well = True
            except Exception:  # whatever it is, the next look may find it well again
                self.well = False
            await asyncio.sleep(LOOK_S if self.well else 1.0)

    async def _version(self) -> str:
        version: str = await self._predictor.version.remote()
        return version

    def _started(self, asked: PredictionQuestion, owner: str) -> asyncio.Task[Told]:
        if not self._tasks:
            self._heard_s = self._now()  # there was nothing to answer
        task = self._tasks[asked.key] = asyncio.create_task(self._compute(asked, owner))
        task.add_done_callback(lambda done: self._over(asked.key, done))
        return task

    def _over(self, key: Key, task: asyncio.Task[Told]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled():
            task.exception()  # who asked may have gone: nobody is left to be told

    async def _compute(self, question: PredictionQuestion, owner: str) -> Told:
        try:
            async with self._turns.of(owner):
                try:
                    forecast: Told = await self._predictor.predict.remote(question)
                finally:
                    self._heard_s = self._now()
        except Refusal:
            self.refused += 1
            raise
        except (BackPressureError, DeploymentUnavailableError) as error:  # which Serve would answer in its own words
            self.refused += 1
            raise busy() from error
        self._seen(forecast.version)
        self._forecasts[question.key] = forecast
        while len(self._forecasts) > KEPT:
            self._forecasts.popitem(last=False)
        return forecast

    def _seen(self, version: str) -> None:
        if self.version not in (None, version):
            self._forecasts.clear()
        self.version = version
