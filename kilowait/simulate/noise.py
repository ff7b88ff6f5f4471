"""Imperfect predictions for backtests: the truth times errors that a real predictor made.

The errors are measured (out of fold, log of predicted over measured), but on other programs and other devices than
the scenario's: a noisy backtest is modelled throughout, and says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kilowait.errors import InputError
from kilowait.jobs import Prediction
from kilowait.simulate.loop import Submission
from kilowait.simulate.scenario import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPool:
    """Errors to draw from: `log_errors` has shape (scripts, device types, 2), runtime and energy last."""

    model: str
    log_errors: npt.NDArray[np.float64]
    dropped: int
    """Scripts left out because a prediction was not positive or a device type was missing."""

    @property
    def level(self) -> float:
        """Median symmetric accuracy of run times, exp(median |ln(predicted / measured)|) - 1 (Morley et al. 2018)."""
        return float(np.expm1(np.median(np.abs(self.log_errors[..., 0]))))


def error_pool(residuals: pa.Table, *, model: str | None = None) -> ErrorPool:
    """The pool of one model in a table of `records.RESIDUALS`; energy errors are the runtime's where it has none.

    Raises InputError for an unknown model, for several models without a choice, and when no script has positive
    predictions on every device type.
    """
    rows = residuals.to_pylist()
    model = chosen_model(rows, model)
    errors: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows:
        if row["model"] == model:
            per_script = errors.setdefault(row["content_hash"], {})
            if row["predicted"] > 0 and row["measured"] > 0:
                per_script[row["device_type"], row["metric"]] = float(np.log(row["predicted"] / row["measured"]))
    devices = sorted({device for cells in errors.values() for device, _ in cells})
    complete = [
        [[cells[d, "runtime_s"], cells.get((d, "energy_j"), cells[d, "runtime_s"])] for d in devices]
        for cells in errors.values()
        if devices and all((d, "runtime_s") in cells for d in devices)
    ]
    if not complete:
        raise InputError(f"residuals of {model}: no script has positive runtime predictions on every device type")
    return ErrorPool(model=model, log_errors=np.array(complete), dropped=len(errors) - len(complete))


def predictions_seen(errors: ErrorPool | None) -> str:
    """What policies see: "oracle", or "noisy" and the model whose errors were drawn."""
    return "oracle" if errors is None else f"noisy:{errors.model}"


def with_noise(sample: Sample, pool: ErrorPool, rng: np.random.Generator) -> Sample:
    """The same sample as a policy with this predictor would see it: `seen` = truth * exp(error).

    A job takes one script's errors on all types (the types in order, the last device type repeated), so that its
    errors correlate as they did when they were measured.
    """
    drawn = rng.integers(0, len(pool.log_errors), size=len(sample.submissions))
    types = list(sample.inventory)
    submissions = tuple(
        replace(submission, seen=_seen(submission, pool.log_errors[k], types))
        for submission, k in zip(sample.submissions, drawn, strict=True)
    )
    return replace(sample, submissions=submissions)


def _seen(submission: Submission, log_errors: npt.NDArray[np.float64], types: list[str]) -> Mapping[str, Prediction]:
    seen = {}
    for k, gpu_type in enumerate(types):
        if gpu_type in submission.truth:
            runtime, energy = np.exp(log_errors[min(k, len(log_errors) - 1)])
            truth = submission.truth[gpu_type]
            seen[gpu_type] = Prediction(
                runtime_s=truth.runtime_s * float(runtime), energy_kwh=truth.energy_kwh * float(energy)
            )
    return seen


def chosen_model(rows: Sequence[Mapping[str, Any]], model: str | None) -> str:
    """The model to take from rows of `records.RESIDUALS`: the one asked for, "default", or the only one.

    Raises InputError naming the models there are.
    """
    models: list[str] = sorted({row["model"] for row in rows})
    if model is None and "default" in models:
        return "default"
    if model is None and len(models) == 1:
        return models[0]
    if model is None or model not in models:
        raise InputError(f"residuals: choose a model among {', '.join(models) or 'none'}, got {model!r}")
    return model
