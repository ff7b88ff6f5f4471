"""The predictor deployment: the local language model and the probes, loaded once a replica, behind a bounded queue.

No source leaves the cluster: the model's weights are on disk, and the model code is told to stay offline.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ray import serve

from kilowait.errors import KilowaitError
from kilowait.jobs import Prediction
from kilowait.source import Source

if TYPE_CHECKING:
    from kilowait.predict.predictor import Predictor as Probes

Predicted = tuple[str, dict[str, Prediction]]
"""Version of the probe, and what it expects by device type."""

MAX_BATCH = 8
MAX_ONGOING = 16
MAX_QUEUED = 64
"""Above MAX_ONGOING a replica and MAX_QUEUED waiting, a request is refused at once: 503, Retry-After."""


@serve.deployment(
    max_ongoing_requests=MAX_ONGOING,
    max_queued_requests=MAX_QUEUED,
    autoscaling_config={"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 8},
    ray_actor_options={"num_cpus": 0.5, "runtime_env": {"env_vars": {"HF_HUB_OFFLINE": "1"}}},
)
class Predictor:
    """One replica. `bundle` is a folder of probes, None for those of this installation."""

    def __init__(self, bundle: str | None = None, threads: int = 1) -> None:
        self._probes = load(bundle, threads)

    async def version(self) -> str:
        """Which probe this is."""
        return self._probes.version

    async def predict(self, source: Source) -> Predicted:
        """What `source` takes on each device type of the bundle; raises SourceError and ModelError."""
        found = await self._together(source)
        if isinstance(found, KilowaitError):
            raise found
        return self._probes.version, found

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0.005)
    async def _together(self, sources: list[Source]) -> list[dict[str, Prediction] | KilowaitError]:
        """A batch goes to the worker thread at once: the replica keeps answering meanwhile."""
        return await asyncio.to_thread(self._each, sources)

    def _each(self, sources: Sequence[Source]) -> list[dict[str, Prediction] | KilowaitError]:
        answers: list[dict[str, Prediction] | KilowaitError] = []
        for source in sources:
            try:
                answers.append(self._probes.predict(source))
            except KilowaitError as error:  # of one source; the others of the batch go on
                answers.append(error)
        return answers


def load(bundle: str | None, threads: int) -> "Probes":
    """The probes and the language model as deep as they read it; raises ModelError."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
    from kilowait.predict import bundle as bundles
    from kilowait.predict.embedding import Embedder
    from kilowait.predict.language_model import load_language_model
    from kilowait.predict.predictor import Predictor as Probes

    found = bundles.load(bundle) if bundle else bundles.load_default()
    depth = max(feature.layer for feature in found.features)
    model = load_language_model(found.features[0].model, depth=depth)
    return Probes(found, Embedder(model, threads=threads))
