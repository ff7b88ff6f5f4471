"""How far predictions are from measurements, and how far measurements are from themselves.

Every function refuses NaN and infinity: a missing number is a fault upstream, never a good score.
"""

from dataclasses import dataclass

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Errors of `n` predictions.

    `mae` and `rmse` are in the metric's unit; `mape` and `median_ape` are fractions of the measured value; `r2` is
    of the plain values and `r2_log` of their logarithms, for which predictions <= 0 (`nonpositive` of them) count
    as a tenth of the smallest measured value. r2 is None where the measured values do not vary, `spearman` also
    where the predictions do not.
    """

    n: int
    mae: float
    rmse: float
    mape: float
    median_ape: float
    r2: float | None
    r2_log: float | None
    spearman: float | None
    nonpositive: int = 0


def accuracy(measured: FloatArray, predicted: FloatArray) -> Accuracy:
    """Compare predictions with measured values > 0; raises InputError for NaN, infinity or unequal lengths."""
    _check(measured, predicted)
    errors = np.abs(predicted - measured)
    floor = np.where(predicted > 0, predicted, measured.min() / 10)
    return Accuracy(
        n=len(measured),
        mae=float(errors.mean()),
        rmse=float(np.sqrt((errors**2).mean())),
        mape=float((errors / measured).mean()),
        median_ape=float(np.median(errors / measured)),
        r2=_r2(measured, predicted),
        r2_log=_r2(np.log(measured), np.log(floor)),
        spearman=_spearman(measured, predicted),
        nonpositive=int((predicted <= 0).sum()),
    )


def noise_floor(measured: FloatArray, spread: FloatArray) -> Accuracy:
    """The error that no predictor can beat: how far a label is from the mean of many more runs.

    A label is the mean of a pair a, b and `spread` is |a - b| / mean. For independent runs with normal noise
    (a + b) / 2 - mu has the distribution of (a - b) / 2, so that half the spread stands for the label's own
    error. Pairs beyond the tolerance were repeated, which makes the floor a little optimistic.
    """
    return accuracy(measured, measured * (1 + _signs(len(spread)) * spread / 2))


def _signs(count: int) -> FloatArray:
    """+1 and -1 in turn: which of a pair came first says nothing about the size of the error."""
    return np.where(np.arange(count) % 2 == 0, 1.0, -1.0)


def _check(measured: FloatArray, predicted: FloatArray) -> None:
    if measured.shape != predicted.shape or measured.ndim != 1:
        raise InputError(f"{measured.shape} measured values against {predicted.shape} predictions")
    if len(measured) == 0:
        raise InputError("no measured values to compare predictions with")
    for name, values in (("measured values", measured), ("predictions", predicted)):
        invalid = int((~np.isfinite(values)).sum())
        if invalid:
            raise InputError(f"{invalid} of {len(values)} {name} are NaN or infinite")
    if measured.min() <= 0:
        raise InputError(f"measured values must be > 0, got {measured.min()!r}")


def _r2(measured: FloatArray, predicted: FloatArray) -> float | None:
    """Share of the variance explained; None when there is none."""
    total = ((measured - measured.mean()) ** 2).sum()
    return None if total == 0 else float(1 - ((measured - predicted) ** 2).sum() / total)


def _spearman(measured: FloatArray, predicted: FloatArray) -> float | None:
    """Correlation of average ranks; None when either side is constant."""
    a, b = _ranks(measured), _ranks(predicted)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return None if scale == 0 else float((a * b).sum() / scale)


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks from 0, ties sharing their average."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts + 1) / 2)[index]
