"""The predictor deployment: the local language model, the probes and the device model, loaded once a replica, behind a
bounded queue. Programs are run dry in a sandboxed worker of each replica.

No source leaves the cluster: the model's weights are on disk, and the model code is told to stay offline.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from ray import serve

from kilowait.core.jobs import Prediction
from kilowait.predict.board_memory.memory_need import MemoryNeed
from kilowait.predict.dry_run_access import NOTHING, DryRunAccess
from kilowait.predict.dry_runs import BUDGET_S, WAITING
from kilowait.predict.embed.features import MOST_TOKENS, THREADS
from kilowait.program.job_source import JobSource

if TYPE_CHECKING:
    from kilowait.predict.predictor import Predictor as Local


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionQuestion:
    """A source, and what it is to be predicted for besides the bundle's types: `gpus` GPUs of each canonical type."""

    source: JobSource
    gpu_types: tuple[str, ...] = ()
    gpus: int = 1
    access: DryRunAccess = NOTHING

    @property
    def key(self) -> tuple[str, tuple[str, ...], int, DryRunAccess]:
        """What is asked for, short; who may read other data is told other sizes."""
        return self.source.content_hash, self.gpu_types, self.gpus, self.access


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Predictions by device type, `version` of what made them, the embedding `vector` (d,), types with too little
    memory and why, what the dry run found, in a line, and what the program needs of each GPU type's memory."""

    version: str
    predictions: Mapping[str, Prediction]
    vector: NDArray[np.float32]
    memory: Mapping[str, str]
    dry_run: str
    memory_needs: Mapping[str, MemoryNeed] = field(default_factory=dict)


MAX_BATCH = 8
MAX_ONGOING = 16
MAX_QUEUED = 64
"""Above MAX_ONGOING and MAX_QUEUED that wait, a request of the same user is refused at once: 503, Retry-After."""


@serve.deployment(
    max_ongoing_requests=MAX_ONGOING,
    max_queued_requests=MAX_QUEUED,
    autoscaling_config={"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 2},
    ray_actor_options={"num_cpus": 0.5, "runtime_env": {"env_vars": {"HF_HUB_OFFLINE": "1", **WAITING}}},
)
class PredictorReplica:
    """One replica. `bundle` is a folder of probes and `device_model` one of a device model, None for kilowait's own.

    A program's dry run gets `dry_run_budget_s` CPU seconds; 0 switches it off.
    """

    def __init__(
        self,
        bundle: str | None = None,
        threads: int = THREADS,
        device_model: str | None = None,
        dry_run_budget_s: float = BUDGET_S,
    ) -> None:
        self._local = load(bundle, threads, device_model, dry_run_budget_s)
        assert self._local.gpu is not None
        own_versions = () if self._local.own is None else (self._local.own.model.version,)
        self._version = "+".join((self._local.version, self._local.gpu.model.version, *own_versions))

    async def version(self) -> str:
        """Which probe and which device model this has."""
        return self._version

    async def predict(self, asked: PredictionQuestion) -> Told:
        """What a source takes; raises SourceError and ModelError. A GPU type that needs a dry run may be missing."""
        answer = await self._together(asked)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0.005)
    async def _together(self, questions: list[PredictionQuestion]) -> list[Told | Exception]:
        """A batch goes to the worker thread at once: the replica keeps answering meanwhile."""
        return await asyncio.to_thread(self._each, questions)

    def _each(self, questions: Sequence[PredictionQuestion]) -> list[Told | Exception]:
        answers: list[Told | Exception] = []
        for question in questions:
            try:
                answers.append(self._one(question))
            except Exception as error:  # of one source, and raised for it: the others of the batch go on
                answers.append(error)
        return answers

    def _one(self, question: PredictionQuestion) -> Told:
        forecast = self._local.forecast(question.source, question.gpu_types, question.gpus, question.access)
        return Told(
            version=self._version,
            predictions=forecast.predictions,
            vector=forecast.vector,
            memory=forecast.memory,
            dry_run=forecast.summary,
            memory_needs=forecast.memory_needs,
        )


def load(bundle: str | None, threads: int, device_model: str | None, dry_run_budget_s: float) -> "Local":
    """The probes, the language model as deep as they read it, and the worker of dry runs; raises ModelError.

    A bundle whose own device model is for GPU types uses it; one for CPU types is of no use on a cluster of GPUs.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
    from kilowait.predict.device_model.specifications import is_cpu
    from kilowait.predict.dry_runs import DryRuns
    from kilowait.predict.embed.embedding import Embedder
    from kilowait.predict.embed.language_model import load_language_model
    from kilowait.predict.operations import labelled, of_bundle
    from kilowait.predict.predictor import GpuSide, OwnSide
    from kilowait.predict.predictor import Predictor as Local
    from kilowait.predict.probe import bundle as bundles

    dry_runs = DryRuns(dry_run_budget_s).__enter__()  # for as long as the replica lives
    gpu = GpuSide(dry_runs, Path(device_model) if device_model else None)
    predictor = bundles.load(bundle) if bundle else bundles.load_default()
    folder = of_bundle(Path(bundle) if bundle else None)
    own_side = OwnSide(dry_runs, folder) if folder and not any(map(is_cpu, labelled(folder))) else None
    depth = max(feature.layer for feature in predictor.features)
    model = load_language_model(predictor.features[0].model, depth=depth)
    return Local(predictor, Embedder(model, threads=threads, most_tokens=MOST_TOKENS), gpu, own_side)
