"""Imperfect predictions for backtests: the truth times errors that a real predictor made.

The errors are measured (out of fold, log of predicted over measured), but on other programs and other devices than
the scenario's: a noisy backtest is modelled throughout, and says so.

Predictions come with intervals, made from the same errors. They hold 90% of the truths because the errors that a job
draws are those that the interval was made of; a predictor on new programs can do worse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import InputError
from kilowait.core.jobs import INTERVAL_COVERAGE, Prediction
from kilowait.files import columns, parquet
from kilowait.lab.backtest.scenario.paper_scenario import Sample
from kilowait.simulate.run import Submission


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPool:
    """Errors to draw from: `log_errors` has shape (scripts, device types, 2), runtime and energy last.

    `families` names each script's family; without names all count as one.
    """

    model: str
    log_errors: FloatArray
    dropped: int
    """Scripts left out because a prediction was not positive or a device type was missing."""
    families: tuple[str, ...] = ()

    def log_intervals(self) -> FloatArray:
        """ln(low / predicted) and ln(high / predicted): shape (scripts, device types, 2, 2), the ends last.

        Split conformal prediction with locally weighted scores (Lei et al., "Distribution-free predictive inference
        for regression", JASA 113, 2018, section 5.2): an error over the mean absolute error of its family is the
        score, and an interval spans the 5% to 95% quantiles of all scores, times the family's mean. So a family
        that is predicted badly has wide intervals, and at least 90% of the pool's truths lie inside theirs. Where a
        bias puts the prediction outside, the interval is widened up to it.
        """
        spread = self._family_spread()
        scores = np.divide(self.log_errors, spread, out=np.zeros_like(self.log_errors), where=spread > 0)
        tail = (1 - INTERVAL_COVERAGE) / 2  # the method rounds outwards, so that a small pool covers enough too
        below = np.quantile(scores, tail, axis=0, method="lower")
        above = np.quantile(scores, 1 - tail, axis=0, method="higher")
        return np.stack([np.minimum(-above * spread, 0), np.maximum(-below * spread, 0)], axis=-1)

    def _family_spread(self) -> FloatArray:
        """The mean absolute error of each script's family, of the shape of `log_errors`."""
        families = np.array(self.families or [""] * len(self.log_errors))
        spread = np.empty_like(self.log_errors)
        for family in np.unique(families):
            spread[families == family] = np.abs(self.log_errors[families == family]).mean(axis=0)
        return spread

    @property
    def level(self) -> float:
        """Median symmetric accuracy of run times, exp(median |ln(predicted / measured)|) - 1 (Morley et al. 2018)."""
        return float(np.expm1(np.median(np.abs(self.log_errors[..., 0]))))


def read_errors(path: Path, model: str | None = None) -> ErrorPool:
    """The pool of one model in a file of residuals; raises InputError as `error_pool` does."""
    return error_pool(parquet.read_table(path, columns.RESIDUALS), model=model)


def error_pool(residuals: pa.Table, *, model: str | None = None) -> ErrorPool:
    """The pool of one model in a table of `columns.RESIDUALS`; energy errors are the runtime's where it has none.

    Raises InputError for an unknown model, for several models without a choice, and when no script has positive
    predictions on every device type.
    """
    rows = residuals.to_pylist()
    model = chosen_model(rows, model)
    errors: dict[str, dict[tuple[str, str], float]] = {}
    family: dict[str, str] = {}
    for row in rows:
        if row["model"] == model:
            family[row["content_hash"]] = row["family"] or ""
            per_script = errors.setdefault(row["content_hash"], {})
            if row["predicted"] > 0 and row["measured"] > 0:
                per_script[row["device_type"], row["metric"]] = float(np.log(row["predicted"] / row["measured"]))
    devices = sorted({device for cells in errors.values() for device, _ in cells})
    complete = {
        script: [[cells[d, "runtime_s"], cells.get((d, "energy_j"), cells[d, "runtime_s"])] for d in devices]
        for script, cells in errors.items()
        if devices and all((d, "runtime_s") in cells for d in devices)
    }
    if not complete:
        raise InputError(f"residuals of {model}: no script has positive runtime predictions on every device type")
    return ErrorPool(
        model=model,
        log_errors=np.array(list(complete.values())),
        dropped=len(errors) - len(complete),
        families=tuple(family[script] for script in complete),
    )


def predictions_seen(errors: ErrorPool | None) -> str:
    """What policies see: "oracle", or "noisy" and the model whose errors were drawn."""
    return "oracle" if errors is None else f"noisy:{errors.model}"


def with_noise(sample: Sample, pool: ErrorPool, rng: np.random.Generator) -> Sample:
    """The same sample as a policy with this predictor would see it: `seen` = truth * exp(error), with intervals.

    A job takes one script's errors on all types (the types in order, the last device type repeated), so that its
    errors correlate as they did when they were measured. Its intervals are those of the script's family.
    """
    drawn = rng.integers(0, len(pool.log_errors), size=len(sample.submissions))
    types, intervals = list(sample.inventory), pool.log_intervals()
    submissions = tuple(
        replace(submission, seen=_seen(submission, pool.log_errors[k], intervals[k], types))
        for submission, k in zip(sample.submissions, drawn, strict=True)
    )
    return replace(sample, submissions=submissions)


def _seen(
    submission: Submission,
    log_errors: FloatArray,
    log_intervals: FloatArray,
    types: list[str],
) -> Mapping[str, Prediction]:
    seen = {}
    for k, gpu_type in enumerate(types):
        if gpu_type in submission.truth:
            device = min(k, len(log_errors) - 1)
            seen[gpu_type] = _off_by(submission.truth[gpu_type], log_errors[device], log_intervals[device])
    return seen


def _off_by(truth: Prediction, log_errors: FloatArray, log_intervals: FloatArray) -> Prediction:
    """The truth times exp of its errors, of shape (2,), and intervals of shape (2, 2); none around an energy of 0."""
    runtime, energy = (float(factor) for factor in np.exp(log_errors))
    (low, high), (energy_low, energy_high) = np.exp(log_intervals).tolist()
    runtime_s, energy_kwh = truth.runtime_s * runtime, truth.energy_kwh * energy
    return Prediction(
        runtime_s=runtime_s,
        energy_kwh=energy_kwh,
        runtime_low_s=runtime_s * low,
        runtime_high_s=runtime_s * high,
        energy_low_kwh=energy_kwh * energy_low if energy_kwh > 0 else None,
        energy_high_kwh=energy_kwh * energy_high if energy_kwh > 0 else None,
    )


def chosen_model(rows: Sequence[Mapping[str, Any]], model: str | None) -> str:
    """The model to take from rows of `columns.RESIDUALS`: the one asked for, "default", or the only one.

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
