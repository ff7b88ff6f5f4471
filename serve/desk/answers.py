"""What a prediction looks like to who asked for it: on the wire, what to be warned of, and what is refused for it."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from kilowait.core.jobs import Prediction, Provenance, time_provenance
from kilowait.core.submission import DEADLINE, Request
from kilowait.history.bases import Base
from kilowait.predict.board_memory.memory_need import Fitting, MemoryNeed
from kilowait.predict.dry_runs import FEATURES
from kilowait.predict.standin import MARK
from kilowait.program.job_source import JobSource
from kilowait.program.resources import GpuRequest as Asks

from ..wire import schemas
from ..wire.problems import Refusal
from .predictor_replica import Told

GIB = 2**30
DEADLINE_MEANS = "its deadline ends no job and moves none ahead: no job is kept for better hours past its latest start"


def versions(predictions: Mapping[str, Prediction]) -> str:
    """The versions of all models that had a part, in the order of the device types."""
    parts = (part for p in predictions.values() for part in p.probe_version.split("+"))
    return "+".join(dict.fromkeys(parts))


def warnings_of(request: Request, told: Told | None, now_s: float) -> list[str]:
    """What the user of a job should know; `told` is None where no prediction was there in time."""
    deadline, deadline_s = request.labels.get(DEADLINE), request.job.deadline_s
    warnings = [] if deadline is None else [DEADLINE_MEANS]
    if deadline_s is not None and deadline_s <= now_s:
        warnings = [f"its deadline {deadline} has passed already: it is missed whatever happens; correct it"]
    if told is None:
        late = "the predictor did not read the program in time; its prediction follows while the job waits"
        return [*warnings, f"predictions marked {MARK} are guesses; {late}"]
    if any(MARK in p.features for p in request.predictions.values()):
        warnings.append(f"predictions marked {MARK} are guesses; the program's dry run {told.dry_run}")
    return warnings + [f"{gpu_type}: {lack} (peak memory by the dry run)" for gpu_type, lack in told.memory.items()]


def base_of(source: JobSource, told: Told, by_type: Mapping[str, Prediction], milli: int) -> Base:
    """What was predicted of a source for so many thousandths of GPUs, before any correction."""
    return Base(
        content_hash=source.content_hash,
        base_version=told.version,
        milli=milli,
        by_type=by_type,
        vector=told.vector,
    )


def was_predicted(row: Mapping[str, Any]) -> bool:
    """Whether a row of the history has a run time, and one that was predicted: that of a shell was asked for."""
    return bool(row["runtime_s"]) and row["features"] != Provenance.ASKED


def shared(predictions: Mapping[str, Prediction], share: float) -> dict[str, Prediction]:
    """A job on a share of a board takes that share of the energy that the device model expects of a whole one."""
    return {name: _shared(p, share) if p.features == FEATURES else p for name, p in predictions.items()}


def _shared(prediction: Prediction, share: float) -> Prediction:
    """No limits: nobody limits a board that others use too."""
    return replace(prediction.scaled(1.0, share), limits=())


def asked_wire(asks: Asks) -> schemas.AskedFor:
    """What a source asks for, for the wire."""
    types = None if asks.gpu_types is None else sorted(asks.gpu_types)
    return schemas.AskedFor(gpus=asks.gpus, gpu_types=types, evidence=list(asks.evidence))


def expectations(predictions: Mapping[str, Prediction]) -> dict[str, schemas.Expectation]:
    """Predictions for the wire."""
    return {
        gpu_type: schemas.Expectation(
            runtime_s=prediction.runtime_s,
            runtime_low_s=prediction.runtime_low_s,
            runtime_high_s=prediction.runtime_high_s,
            energy_kwh=prediction.energy_kwh,
            energy_low_kwh=prediction.energy_low_kwh,
            energy_high_kwh=prediction.energy_high_kwh,
            features=prediction.features,
            provenance=time_provenance(prediction),
        )
        for gpu_type, prediction in predictions.items()
    }


def needs_wire(needs: Mapping[str, MemoryNeed]) -> dict[str, schemas.MemoryNeedView]:
    """Needs for the wire."""
    return {name: schemas.MemoryNeedView(**need.to_dict()) for name, need in needs.items()}


def refuse_what_fits_nowhere(
    needs: Mapping[str, MemoryNeed], allowed: Collection[str] | None, there: Collection[str]
) -> None:
    """Raises Refusal where the lower end of the need is above what every type of the cluster has that a job may use.

    A type without a need is one that nothing is known of: it may fit.
    """
    types = [name for name in there if allowed is None or name in allowed]
    if not types or any(name not in needs or needs[name].fitting is not Fitting.TOO_LARGE for name in types):
        return
    least = min((needs[name] for name in types), key=lambda need: need.low)
    boards = ", ".join(f"{name} ({_gib(needs[name].available)})" for name in types)
    raise Refusal(
        422,
        "does not fit",
        f"needs {_gib(least.expected)} GiB on one GPU ({_gib(least.low)} to {_gib(least.high)}), most of it "
        f"{least.dominant} ({_gib(least.parts[least.dominant])}); GiB that there are: {boards}",
        remedy="make its batch or model smaller, use lower precision or shard it, or submit it with force (--force)",
        field="force",
        errors=[_row(name, needs[name]) for name in types],
    )


def _row(name: str, need: MemoryNeed) -> dict[str, str]:
    parts = ", ".join(f"{part} {_gib(size)}" for part, size in need.parts.items())
    return {
        "gpu_type": name,
        "fitting": str(need.fitting),
        "needs_gib": _gib(need.expected),
        "low_gib": _gib(need.low),
        "high_gib": _gib(need.high),
        "has_gib": _gib(need.available),
        "parts_gib": parts,
    }


def _gib(size: float) -> str:
    return f"{size / GIB:.3g}"
