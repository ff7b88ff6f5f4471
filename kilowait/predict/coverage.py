"""How often intervals hold the truth, and how wide they are."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from kilowait.errors import InputError
from kilowait.predict.accuracy import FloatArray

CONFIDENCE = 0.95
"""Of the exact interval around a share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Of n intervals: the share that holds the measured value, ends included, and the shares missed on either side.

    `share_low` and `share_high` are the exact binomial (Clopper and Pearson 1934) 95% interval of `share`, which takes
    rows for independent. `width` is the mean of log10(high / low): 1 is an interval whose upper end is ten times its
    lower, 0.3 one of a factor of two.
    """

    n: int
    share: float
    share_low: float
    share_high: float
    missed_below: float
    missed_above: float
    width: float


def coverage(measured: FloatArray, low: FloatArray, high: FloatArray) -> Coverage:
    """Compare intervals (n,) with measured values (n,); raises InputError unless 0 < low <= high < infinity."""
    if len(measured) == 0 or not (np.all(low > 0) and np.all(low <= high) and np.isfinite(high).all()):
        raise InputError("intervals need 0 < low <= high < infinity, and at least one of them")
    inside = (low <= measured) & (measured <= high)
    exact = binomtest(int(inside.sum()), len(inside)).proportion_ci(confidence_level=CONFIDENCE, method="exact")
    return Coverage(
        n=len(inside),
        share=float(inside.mean()),
        share_low=float(exact.low),
        share_high=float(exact.high),
        missed_below=float((measured < low).mean()),
        missed_above=float((measured > high).mean()),
        width=float(np.log10(high / low).mean()),
    )
