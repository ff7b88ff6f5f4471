"""Whether one predictor is better than another on the same labels, or only luckier."""

from dataclasses import dataclass

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.errors import InputError
from kilowait.report.interval import CONFIDENCE, RESAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Mean |log(predicted / measured)| of n labels, and how much more that is than another predictor's.

    `low` and `high` are the 95% percentile bootstrap of `more` over programs, which are drawn with all their labels and
    with both predictors' errors: below 0 throughout, this predictor is the better one.
    """

    n: int
    error: float
    more: float
    low: float
    high: float


def paired(measured: FloatArray, predicted: FloatArray, other: FloatArray, program: IntArray, seed: int = 0) -> Paired:
    """Compare `predicted` with `other` (n,), both of `measured` (n,) > 0, labels of `program` (n,).

    A prediction below a tenth of the smallest measured value counts as that. Raises InputError without labels.
    """
    if len(measured) == 0:
        raise InputError("no labels to compare two predictors on")
    floor = measured.min() / 10
    errors, other_errors = (np.abs(np.log(np.maximum(p, floor) / measured)) for p in (predicted, other))
    _, index = np.unique(program, return_inverse=True)
    rows, sums = np.bincount(index), np.bincount(index, weights=errors - other_errors)
    resamples = np.random.default_rng(seed).integers(0, len(rows), size=(RESAMPLES, len(rows)))
    resampled_difference = sums[resamples].sum(1) / rows[resamples].sum(1)
    low, high = np.quantile(resampled_difference, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Paired(
        n=len(measured),
        error=float(errors.mean()),
        more=float((errors - other_errors).mean()),
        low=float(low),
        high=float(high),
    )
