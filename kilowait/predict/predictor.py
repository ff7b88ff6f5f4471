"""From a source to a prediction on every device type: the embedder and the probes in a row, dry runs beside them.

Device types of the bundle are predicted by probes on the embedding, and their run time by the bundle's own device model
where it has one and the program's dry run is usable; GPU types that the bundle lacks by kilowait's device model.
Each part is there without the others.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from kilowait.core.errors import ModelError
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import Prediction
from kilowait.core.units import JOULES_PER_KWH
from kilowait.predict.board_memory.memory_need import MemoryNeed, memory_need
from kilowait.predict.dry_run_access import NOTHING, DryRunAccess
from kilowait.predict.dry_runs import DryRunOutcome, DryRuns, memory_lack
from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.probe.bundle import Bundle
from kilowait.predict.time_limits import limited
from kilowait.predict.timed import timed
from kilowait.program.job_source import JobSource
from kilowait.program.source import Source
from kilowait.program.text import as_source

if TYPE_CHECKING:
    from kilowait.predict.gpu_types import GpuPredictor
    from kilowait.predict.operations import OperationsModel

REMEMBERED = 256
MOST_TOLD = 16
"""Answers that are kept for one source: other numbers of GPUs, other types."""
"""Sources whose vector, dry run and answers are kept: asking again costs less than a millisecond."""
RANKS = "; as one of {ranks} ranks, with a model of what they exchange"
SCALED = "; {gpus} GPUs by a model of data parallelism"
PARTIAL = "; from a partial dry run"
OWN = "modelled (the bundle's device model; run times of this type were in its training)"
NOT_ASKED = DryRunOutcome(off="nothing was asked for that needs it")


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
    """Predictions by device type, how each was had, which types have too little memory and why, and what is needed.

    A GPU type that was asked for and is not among the predictions needed a dry run that `dry_run` says is not there;
    `own_dry_run` is that for the bundle's own device model. `vector` (d,) is the embedding, and
    `distance` what `Predictor.distance` says of it.
    """

    predictions: Mapping[str, Prediction]
    provenance: Mapping[str, str]
    vector: NDArray[np.float32]
    distance: float | None = None
    dry_run: DryRunOutcome = NOT_ASKED
    own_dry_run: DryRunOutcome = NOT_ASKED
    memory: Mapping[str, str] = field(default_factory=dict)
    memory_needs: Mapping[str, MemoryNeed] = field(default_factory=dict)

    @property
    def ranks(self) -> int:
        """GPUs that the program was run dry for, as one of so many ranks."""
        run = self.dry_run.usable
        return 1 if run is None else run.world

    @property
    def summary(self) -> str:
        """One line on the dry run that was asked for; of two, on that for GPU types that the bundle lacks."""
        outcome = self.own_dry_run if self.dry_run is NOT_ASKED else self.dry_run
        return "; ".join([outcome.summary, *outcome.assumed])


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


@dataclass(frozen=True)
class OwnSide:
    """The bundle's own device model, in `folder`, with dry runs on what its device types are: a GPU or a CPU."""

    dry_runs: DryRuns
    folder: Path

    @cached_property
    def model(self) -> "OperationsModel":
        """The device model; raises ModelError."""
        from kilowait.predict.operations import OperationsModel

        return OperationsModel.load(self.folder)


class Predictor:
    """Predicts the metrics of a source: with the probes of `bundle` on the vectors of `embedder`, and beside them.

    Raises ModelError when the bundle has no probe for run time or energy.
    """

    def __init__(
        self, bundle: Bundle, embedder: SourceEmbedder, gpu: GpuSide | None = None, own: OwnSide | None = None
    ) -> None:
        for metric in ("runtime_s", "energy_j"):
            if metric not in bundle.metrics:
                raise ModelError(f"the bundle has no probe for {metric}; it has {', '.join(bundle.metrics)}")
        self.bundle = bundle
        self.embedder = embedder
        self.gpu, self.own = gpu, own
        self.version = bundle.version
        self.features = bundle.features
        self.feature_names = "+".join(feature.key for feature in self.features)
        self._remembered: OrderedDict[tuple[str, DryRunAccess], _Read] = OrderedDict()

    def predict(
        self, source: Source | JobSource, gpu_types: Sequence[str] = (), gpus: int = 1
    ) -> dict[str, Prediction]:
        """The expected run time, energy and other metrics of `source`, as in `forecast`."""
        return dict(self.forecast(source, gpu_types, gpus).predictions)

    def forecast(
        self, source: Source | JobSource, gpu_types: Sequence[str] = (), gpus: int = 1, access: DryRunAccess = NOTHING
    ) -> Forecast:
        """Predictions on each device type of the bundle and on the `gpu_types` (canonical names) that it lacks.

        The bundle's are for the job as its labels were: `gpus` counts for the others. `access` is for its dry run.
        """
        lacking = tuple(name for name in gpu_types if name not in self.bundle.device_types)
        readings = self._read(source, self.gpu if lacking else None, access)
        if (lacking, gpus) not in readings.told:
            if len(readings.told) >= MOST_TOLD:
                readings.told.clear()
            readings.told[lacking, gpus] = self._forecast(readings, lacking, gpus)
        return readings.told[lacking, gpus]

    def _forecast(self, readings: "_Read", lacking: Sequence[str], gpus: int) -> Forecast:
        predictions = self.predict_vector(readings.vector)
        provenance = {device: self._how(device) for device in predictions}
        if self.own and (run := readings.own.usable):
            own_predictions = limited(timed(self.own.model, run, predictions), run)
            predictions |= own_predictions
            provenance |= dict.fromkeys(own_predictions, OWN + ("" if readings.own.whole else PARTIAL))
        forecast = Forecast(
            predictions=predictions,
            provenance=provenance,
            vector=readings.vector,
            distance=self.distance(readings.vector),
            dry_run=readings.gpu,
            own_dry_run=readings.own,
            **_memory(readings.own.usable, predictions),
        )
        return self._beside(forecast, self.gpu, lacking, gpus) if self.gpu and lacking else forecast

    def _beside(self, forecast: Forecast, side: GpuSide, gpu_types: Sequence[str], gpus: int) -> Forecast:
        """The forecast with GPU types that the bundle lacks, where there is a dry run."""
        run = forecast.dry_run.usable
        if run is None:
            return forecast
        model = side.model
        ranks = RANKS.format(ranks=run.world) if run.world > 1 else ""
        remarks = ranks or (SCALED.format(gpus=gpus) if gpus > 1 else "")
        remarks += "" if forecast.dry_run.whole else PARTIAL
        return replace(
            forecast,
            predictions={**forecast.predictions, **limited(model.predict(run, gpu_types, gpus), run)},
            provenance={**forecast.provenance, **{name: model.provenance(name) + remarks for name in gpu_types}},
            **_memory(run, gpu_types, forecast),
        )

    def _how(self, device_type: str) -> str:
        labels = self.bundle.metrics["runtime_s"].provenance.get(device_type, "unnamed")
        return f"modelled (probe on the embedding; run times of its training {labels} on this type)"

    def _read(self, source: Source | JobSource, gpu: GpuSide | None, access: DryRunAccess) -> "_Read":
        """The vector and the dry runs of a source, side by side, or from memory; one of no use is made again."""
        key = source.content_hash, access
        remembered = self._remembered.get(key)
        runs_needed = {
            side.dry_runs
            for side, outcome in ((gpu, remembered and remembered.gpu), (self.own, remembered and remembered.own))
            if side and not (outcome and outcome.usable)
        }
        if remembered and not runs_needed:
            self._remembered.move_to_end(key)
            return remembered
        futures = {dry_runs: dry_runs.submit(source, access) for dry_runs in runs_needed}
        vector = remembered.vector if remembered else self._vector(source)
        for side in (gpu, self.own):
            if side and side.dry_runs in futures:
                _ = side.model  # loads beside the dry run
        outcomes = {dry_runs: future.result() for dry_runs, future in futures.items()}
        previous = remembered or _Read(vector)
        readings = _Read(
            vector=vector,
            gpu=outcomes.get(gpu.dry_runs, previous.gpu) if gpu else previous.gpu,
            own=outcomes.get(self.own.dry_runs, previous.own) if self.own else previous.own,
        )
        self._remembered[key] = readings
        self._remembered.move_to_end(key)
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return readings

    def _vector(self, source: Source | JobSource) -> NDArray[np.float32]:
        text = as_source(source) if isinstance(source, JobSource) else source
        return np.concatenate([embedding.vector for embedding in self.embedder.embed(text, self.features)])

    def predict_vector(self, vector: NDArray[np.float32]) -> dict[str, Prediction]:
        """Predictions of the probes from the embedding itself (d,), for sources that were embedded before."""
        x = torch.from_numpy(np.asarray(vector, dtype=np.float32)).unsqueeze(0)
        columns = {metric: part.predict(x)[0].tolist() for metric, part in self.bundle.metrics.items()}
        distance = self.distance(vector)
        return {
            device_type: self._prediction({metric: values[column] for metric, values in columns.items()}, distance)
            for column, device_type in enumerate(self.bundle.device_types)
        }

    def distance(self, vector: NDArray[np.float32]) -> float | None:
        """How far an embedding (d,) is from those of training: above 1 it is of a new kind. None if unknown."""
        doubt = self.bundle.doubt
        return None if doubt is None else doubt.distance(torch.from_numpy(np.asarray(vector, dtype=np.float32))[None])

    def _ends(self, metric: str, value: float, distance: float | None) -> tuple[float | None, float | None]:
        doubt = self.bundle.doubt
        return (None, None) if doubt is None or distance is None else doubt.ends(metric, value, distance)

    def _prediction(self, values: dict[str, float], distance: float | None) -> Prediction:
        low_s, high_s = self._ends("runtime_s", values["runtime_s"], distance)
        low_kwh, high_kwh = self._ends("energy_j", values["energy_j"] / JOULES_PER_KWH, distance)
        other = {metric: v for metric, v in values.items() if metric not in ("runtime_s", "energy_j")}
        return Prediction(
            runtime_s=values["runtime_s"],
            energy_kwh=values["energy_j"] / JOULES_PER_KWH,
            runtime_low_s=low_s,
            runtime_high_s=high_s,
            energy_low_kwh=low_kwh,
            energy_high_kwh=high_kwh,
            probe_version=self.version,
            features=self.feature_names,
            other=other,
        )


def _memory(run: DryRun | None, device_types: Iterable[str], before: Forecast | None = None) -> dict[str, Any]:
    """What the program of a dry run needs on each GPU type, and which have too little; beside what was known before."""
    types = () if run is None else [name for name in device_types if name in GPU_TYPES]
    needs = {name: memory_need(run, name) for name in types if run is not None}
    lacks = {name: lack for name in types if run is not None and (lack := memory_lack(run, name))}
    known = (before.memory, before.memory_needs) if before else ({}, {})
    return {"memory": {**known[0], **lacks}, "memory_needs": {**known[1], **needs}}


@dataclass(frozen=True, slots=True)
class _Read:
    """What is known of a source: its vector (d,), its dry runs for the GPU types and for the bundle's types, and what
    was told of it by the types and number of GPUs that were asked for."""

    vector: NDArray[np.float32]
    gpu: DryRunOutcome = NOT_ASKED
    own: DryRunOutcome = NOT_ASKED
    told: dict[tuple[tuple[str, ...], int], Forecast] = field(default_factory=dict)
