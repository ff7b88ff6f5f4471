"""Run times of programs that end by the clock: no longer than their limit, and as long where nothing else ends them."""

from collections.abc import Mapping
from dataclasses import replace

from kilowait.core.jobs import Prediction
from kilowait.predict.dryrun.record import DryRun


def limited(predictions: Mapping[str, Prediction], run: DryRun) -> dict[str, Prediction]:
    """Predictions from a dry run with the program's own time limit; energy and other metrics keep their rate."""
    if not run.limit_s:
        return dict(predictions)
    return {name: _limited(prediction, run) for name, prediction in predictions.items()}


def _limited(prediction: Prediction, run: DryRun) -> Prediction:
    limit_s = run.limit_s
    if not run.unbounded and prediction.runtime_s <= limit_s:
        high_s = prediction.runtime_high_s
        return replace(prediction, runtime_high_s=None if high_s is None else min(high_s, limit_s))
    ratio = limit_s / prediction.runtime_s
    low_s = prediction.runtime_low_s
    known_low_s = limit_s if run.unbounded or low_s is None else min(low_s, limit_s)
    return replace(
        prediction,
        runtime_s=limit_s,
        runtime_low_s=known_low_s,
        runtime_high_s=limit_s,
        energy_kwh=prediction.energy_kwh * ratio,
        energy_low_kwh=None,
        energy_high_kwh=None,
        other={metric: value * ratio for metric, value in prediction.other.items()},
        limits=(),  # slower, it does less in its time and takes no longer
    )
