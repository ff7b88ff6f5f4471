"""Predictions as the service remembers them: by the text's hash and the probe's version, each computed once."""

import asyncio
from collections import OrderedDict
from typing import Any

from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from kilowait.jobs import Prediction
from kilowait.source import Source
from serve.problems import busy

KEPT = 20_000
"""Texts whose predictions are remembered; about 20 MB."""

LOOK_S = 10.0
"""How often the version of the probe is looked up: so long may a new probe go unnoticed."""


class Forecasts:
    """In front of the predictor deployment's handle. Two who ask for one text at once share one computation."""

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor
        self.version: str | None = None
        self.well = False
        self._known: OrderedDict[str, dict[str, Prediction]] = OrderedDict()
        self._coming: dict[str, asyncio.Task[dict[str, Prediction]]] = {}
        self.hits = self.misses = self.refused = 0

    async def of(self, source: Source) -> tuple[dict[str, Prediction], bool]:
        """(by device type, whether it was known); raises Refusal when the queue is full."""
        text = source.content_hash
        if (known := self._known.get(text)) is not None:
            self._known.move_to_end(text)
            self.hits += 1
            return known, True
        self.misses += 1
        task = self._coming.get(text)
        if task is None:
            task = self._coming[text] = asyncio.create_task(self._compute(source))
            task.add_done_callback(lambda _: self._coming.pop(text, None))
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

    async def _compute(self, source: Source) -> dict[str, Prediction]:
        try:
            version, found = await self._predictor.predict.remote(source)
        except (BackPressureError, DeploymentUnavailableError) as error:  # which Serve would answer in its own words
            self.refused += 1
            raise busy() from error
        self._seen(version)
        self._known[source.content_hash] = found
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return dict(found)

    def _seen(self, version: str) -> None:
        if self.version not in (None, version):
            self._known.clear()
        self.version = version
