"""The correction in force as one replica applies it, on top of the base predictions; and the base predictions to keep.

Base predictions are computed and remembered without it (serve.desk.forecasts), so a change of what is in force is a
change of one reference: no request waits for it, and no embedding is computed again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from kilowait.core.errors import KilowaitError
from kilowait.core.jobs import Prediction
from kilowait.history import bases, models
from kilowait.history.store import Store
from kilowait.live.learning.observed import measured_types
from kilowait.live.learning.refit import read
from kilowait.predict.correction.correction import Correction

MOST_PENDING = 20_000
"""Base predictions that wait to be written while the history cannot be; beyond that the oldest are let go."""

Ask = Callable[..., Coroutine[Any, Any, Any]]


class Corrections:
    """The correction in force, read from the history by `ask` (a function of an open store, and its arguments)."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.version: str | None = None
        self._correction: Correction | None = None
        self._real_types: frozenset[str] = frozenset()
        self._pending: dict[tuple[str, str, int], bases.Base] = {}
        self._looking = asyncio.Lock()

    async def look(self) -> None:
        """Take over what is in force now; a model that cannot be read leaves the one before in its place."""
        async with self._looking:
            version = await self._ask(models.current)
            if version is None:
                self.version, self._correction = None, None
                return
            correction = self._correction if version == self.version else await self._ask(_ready, version)
            if correction is not None and correction.pretended:
                self._real_types = await self._ask(measured_types)
            self.version, self._correction = version, correction

    def applies(self, base_version: str | None) -> bool:
        """Whether what is in force speaks of predictions by this base predictor."""
        return self._correction is not None and self._correction.base_version == base_version

    async def apply(self, base: bases.Base, owner: str) -> dict[str, Prediction]:
        """The predictions of a base as they are seen: corrected where a correction of that base is in force.

        One learnt from pretended measurements leaves every type alone on which anything was measured for real.
        """
        version, correction = self.version, self._correction
        if version is None or correction is None or correction.base_version != base.base_version:
            return dict(base.by_type)
        real_types = self._real_types if correction.pretended else frozenset()
        correctable = {t: p for t, p in base.by_type.items() if t not in real_types}
        corrected: Mapping[str, Prediction] = await asyncio.to_thread(
            lambda: correction.apply(
                correctable, source=base.content_hash, owner=owner, vector=base.vector, version=version
            )
        )
        return {t: corrected.get(t, p) for t, p in base.by_type.items()}

    def keep(self, base: bases.Base) -> None:
        """Write this base prediction down soon, so that the job can teach when it has ended."""
        self._pending[base.content_hash, base.base_version, base.milli] = base
        while len(self._pending) > MOST_PENDING:
            self._pending.pop(next(iter(self._pending)))

    async def flush(self) -> None:
        """Write down what waits for it; what cannot be written now waits on."""
        waiting, self._pending = self._pending, {}
        if not waiting:
            return
        try:
            await self._ask(bases.keep, list(waiting.values()), time.time())
        except BaseException as error:
            self._pending = waiting | self._pending
            if not isinstance(error, KilowaitError):
                raise
            logging.getLogger("ray.serve").warning("base predictions cannot be kept now: %s", error)


def _ready(store: Store, version: str) -> Correction:
    """The correction, with all prepared that its first prediction would wait for; runs in a thread."""
    return read(store, version).ready()
