"""How often intervals hold the truth, and how wide they are."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.core.errors import InputError
from kilowait.report.interval import CONFIDENCE

"""Of the intervals around a share."""
RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Of n intervals: the share that holds the measured value, ends included, and the shares missed on either side.

    `share_low` and `share_high` are the exact binomial (Clopper and Pearson 1934) 95% interval of `share`, which takes
    rows for independent. `width` is the mean of log10(high / low): 1 is an interval whose upper end is ten times its
    lower, 0.3 one of a factor of two. `program_low` and `program_high` are the 95% bootstrap interval over whole
    programs, whose labels on several device types miss together.
    """

    n: int
    share: float
    share_low: float
    share_high: float
    program_low: float
    program_high: float
    missed_below: float
    missed_above: float
    width: float


def coverage(measured: FloatArray, low: FloatArray, high: FloatArray, program: IntArray, seed: int = 0) -> Coverage:
    """Compare intervals (n,) with measured values (n,) of programs (n,); `seed` is the bootstrap's.

    Raises InputError unless 0 < low <= high < infinity.
    """
    if len(measured) == 0 or not (np.all(low > 0) and np.all(low <= high) and np.isfinite(high).all()):
        raise InputError("intervals need 0 < low <= high < infinity, and at least one of them")
    inside = (low <= measured) & (measured <= high)
    exact = binomtest(int(inside.sum()), len(inside)).proportion_ci(confidence_level=CONFIDENCE, method="exact")
    by_program = _resampled(inside, program, seed)
    return Coverage(
        n=len(inside),
        share=float(inside.mean()),
        share_low=float(exact.low),
        share_high=float(exact.high),
        program_low=by_program[0],
        program_high=by_program[1],
        missed_below=float((measured < low).mean()),
        missed_above=float((measured > high).mean()),
        width=float(np.log10(high / low).mean()),
    )


def _resampled(inside: Mask, program: IntArray, seed: int) -> tuple[float, float]:
    """Ends of the percentile bootstrap of the share, programs drawn with all their rows."""
    _, index = np.unique(program, return_inverse=True)
    rows, hits = np.bincount(index), np.bincount(index, weights=inside)
    resamples = np.random.default_rng(seed).integers(0, len(rows), size=(RESAMPLES, len(rows)))
    shares = hits[resamples].sum(1) / rows[resamples].sum(1)
    low, high = np.quantile(shares, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
