"""Predictions as the service remembers them: by what was asked and the models' version, each computed once."""

import asyncio
from collections import OrderedDict
from typing import Any

from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from ..wire.problems import busy
from .predictor_replica import PredictionQuestion, Told

Key = tuple[str, tuple[str, ...], int]

KEPT = 20_000
"""Questions whose answers are remembered; about 120 MB, nearly all of it embeddings."""

LOOK_S = 10.0
"""How often the version of the probe is looked up: so long may a new probe go unnoticed."""


class Forecasts:
    """Remembers what the predictor deployment answers. Two who ask for one text at once share one computation."""

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor
        self.version: str | None = None
        self.well = False
        self._forecasts: OrderedDict[Key, Told] = OrderedDict()
        self._tasks: dict[Key, asyncio.Task[Told]] = {}
        self.hits = self.misses = self.refused = 0

    async def of(self, asked: PredictionQuestion) -> tuple[Told, bool]:
        """(what is expected, whether it was remembered); raises Refusal when the queue is full."""
        key = asked.key
        if (forecast := self._forecasts.get(key)) is not None:
            self._forecasts.move_to_end(key)
            self.hits += 1
            return forecast, True
        self.misses += 1
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._compute(asked))
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return await asyncio.shield(task), False

    async def watch(self) -> None:
        """Notice a new probe, and forget what the old one said; never returns."""
        while True:
            try:
                self._seen(await self._predictor.version.remote())
                self.well = True
            except Exception:  # whatever it is, the next look may find it well again
                self.well = False
            await asyncio.sleep(LOOK_S if self.well else 1.0)

    async def _compute(self, question: PredictionQuestion) -> Told:
        try:
            forecast: Told = await self._predictor.predict.remote(question)
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
