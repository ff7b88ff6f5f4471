"""From a source to a prediction on every device type: the embedder and the probes in a row, the dry run beside them.

Device types of the bundle are predicted by probes on the embedding; GPU types that it lacks by the device model on
the dry run. Either half is there without the other.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from kilowait.errors import ModelError
from kilowait.jobs import JOULES_PER_KWH, Prediction
from kilowait.predict.bundle import Bundle
from kilowait.predict.dry_runs import DryRunOutcome, DryRuns
from kilowait.predict.features import FeatureConfiguration
from kilowait.program.job_source import JobSource
from kilowait.program.text import as_source
from kilowait.source import Source

if TYPE_CHECKING:
    from kilowait.predict.gpu_types import GpuPredictor

REMEMBERED = 256
"""Sources whose vector and dry run are kept: a source that is asked for again costs milliseconds."""
SCALED = "; {gpus} GPUs by a model of data parallelism"
PARTIAL = "; from a partial dry run"


class Vector(Protocol):
    """What a language model makes of a source under one feature configuration."""

    @property
    def vector(self) -> NDArray[np.float32]:
        """The numbers (d,)."""


class SourceEmbedder(Protocol):
    """The language model seen from here: tests have one that needs no weights."""

    def embed(self, source: Source, configurations: Sequence[FeatureConfiguration]) -> Sequence[Vector]:
        """One vector a configuration, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Predictions by device type, how each was had, and which types have too little memory and why.

    A GPU type that was asked for and is not among the predictions needed a dry run that `dry_run` says is not there.
    """

    predictions: Mapping[str, Prediction]
    provenance: Mapping[str, str]
    dry_run: DryRunOutcome
    memory: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GpuSide:
    """What predicts GPU types that the bundle lacks: dry runs, and the device model of `folder` (None: kilowait's own).

    The model loads when it is first needed, while a dry run is under way; raises ModelError then.
    """

    dry_runs: DryRuns
    folder: Path | None = None

    @cached_property
    def model(self) -> "GpuPredictor":
        """The device model with its intervals."""
        from kilowait.predict.gpu_types import GpuPredictor

        return GpuPredictor.load(self.folder) if self.folder else GpuPredictor.load_default()


class Predictor:
    """Predicts the metrics of a source: with the probes of `bundle` on the vectors of `embedder`, and `gpu` beside.

    Raises ModelError when the bundle has no probe for run time or energy.
    """

    def __init__(self, bundle: Bundle, embedder: SourceEmbedder, gpu: GpuSide | None = None) -> None:
        for metric in ("runtime_s", "energy_j"):
            if metric not in bundle.metrics:
                raise ModelError(f"the bundle has no probe for {metric}; it has {', '.join(bundle.metrics)}")
        self.bundle = bundle
        self.embedder = embedder
        self.gpu = gpu
        self.version = bundle.version
        self.features = bundle.features
        self.feature_names = "+".join(feature.key for feature in self.features)
        self._remembered: OrderedDict[str, tuple[NDArray[np.float32], DryRunOutcome]] = OrderedDict()

    def predict(
        self, source: Source | JobSource, gpu_types: Sequence[str] = (), gpus: int = 1
    ) -> dict[str, Prediction]:
        """The expected run time, energy and other metrics of `source`, as in `forecast`."""
        return dict(self.forecast(source, gpu_types, gpus).predictions)

    def forecast(self, source: Source | JobSource, gpu_types: Sequence[str] = (), gpus: int = 1) -> Forecast:
        """Predictions on each device type of the bundle and on the `gpu_types` (canonical names) that it lacks.

        The bundle's are for the job as its labels were: `gpus` counts for the others.
        """
        lacking = [name for name in gpu_types if name not in self.bundle.device_types]
        vector, dry_run = self._read(source, dry=bool(lacking))
        predictions = self.predict_vector(vector)
        provenance = {device: self._how(device) for device in predictions}
        run = dry_run.usable
        if run is None or self.gpu is None:
            return Forecast(predictions=predictions, provenance=provenance, dry_run=dry_run)
        model = self.gpu.model
        beside = (SCALED.format(gpus=gpus) if gpus > 1 else "") + ("" if dry_run.whole else PARTIAL)
        return Forecast(
            predictions=predictions | model.predict(run, lacking, gpus),
            provenance=provenance | {name: model.provenance(name) + beside for name in lacking},
            dry_run=dry_run,
            memory={name: lack for name in lacking if (lack := model.memory_lack(run, name))},
        )

    def _how(self, device_type: str) -> str:
        labels = self.bundle.metrics["runtime_s"].provenance.get(device_type, "unnamed")
        return f"modelled (probe on the embedding; run times of its training {labels} on this type)"

    def _read(self, source: Source | JobSource, *, dry: bool) -> tuple[NDArray[np.float32], DryRunOutcome]:
        """The vector (d,) and the dry run of a source, side by side, or from memory; one of no use is made again."""
        key = source.content_hash
        known = self._remembered.get(key)
        if known and (known[1].usable or not dry):
            self._remembered.move_to_end(key)
            return known
        coming = self.gpu.dry_runs.submit(source) if self.gpu and dry else None
        vector = known[0] if known else self._vector(source)
        if self.gpu and coming:
            _ = self.gpu.model  # loads beside the dry run
        self._remembered[key] = vector, _outcome(coming)
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return self._remembered[key]

    def _vector(self, source: Source | JobSource) -> NDArray[np.float32]:
        text = as_source(source) if isinstance(source, JobSource) else source
        return np.concatenate([found.vector for found in self.embedder.embed(text, self.features)])

    def predict_vector(self, vector: NDArray[np.float32]) -> dict[str, Prediction]:
        """Predictions of the probes from the embedding itself (d,), for sources that were embedded before."""
        x = torch.from_numpy(np.asarray(vector, dtype=np.float32)).unsqueeze(0)
        columns = {metric: part.predict(x)[0].tolist() for metric, part in self.bundle.metrics.items()}
        return {
            device_type: self._prediction({metric: values[at] for metric, values in columns.items()})
            for at, device_type in enumerate(self.bundle.device_types)
        }

    def _prediction(self, values: dict[str, float]) -> Prediction:
        other = {metric: v for metric, v in values.items() if metric not in ("runtime_s", "energy_j")}
        return Prediction(
            runtime_s=values["runtime_s"],
            energy_kwh=values["energy_j"] / JOULES_PER_KWH,
            probe_version=self.version,
            features=self.feature_names,
            other=other,
        )


def _outcome(coming: "Future[DryRunOutcome] | None") -> DryRunOutcome:
    return DryRunOutcome(off="no GPU type was asked for that needs it") if coming is None else coming.result()
