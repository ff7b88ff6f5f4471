"""Bootstrap intervals over samples: how sure a mean or a paired change is.

Percentile intervals, resampling whole samples. Not covered: corrections for bias, and few samples (below about 20 an
interval is too narrow).
"""

import numpy as np
import numpy.typing as npt

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.errors import InputError
from kilowait.report.interval import CONFIDENCE, Interval

RESAMPLES = 4000


def mean_interval(
    values: npt.ArrayLike, rng: np.random.Generator, *, level: float = CONFIDENCE, resamples: int = RESAMPLES
) -> Interval:
    """The mean of `values`, one a sample, with its bootstrap interval; raises InputError for no values."""
    observed = _observed(values)
    return _interval(observed.mean(), observed[_draws(len(observed), rng, resamples)].mean(axis=1), level)


def change_interval(
    ours: npt.ArrayLike,
    baseline: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    level: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Interval:
    """The relative change of the totals, sum(ours) / sum(baseline) - 1, paired: both come from the same samples.

    A resample keeps each pair together, so what two policies share (a busy month) cancels. nan where the baseline
    is zero. Raises InputError when the two differ in length or are empty.
    """
    return difference_interval(ours, baseline, baseline, rng, level=level, resamples=resamples)


def difference_interval(
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike,
    baseline: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    level: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Interval:
    """(sum(ours) - sum(theirs)) / sum(baseline), all three from the same samples, each resample keeping them together.

    What one of two ways adds, in the unit of changes against the baseline. nan where the baseline is zero. Raises
    InputError when they differ in length or are empty.
    """
    new, other, old = _observed(ours), _observed(theirs), _observed(baseline)
    if not len(new) == len(other) == len(old):
        lengths = " and ".join(str(n) for n in dict.fromkeys((len(new), len(other), len(old))))
        raise InputError(f"a paired change needs as many values as baselines, got {lengths}")
    return _ratio_interval(new - other, old, rng, level, resamples)


def share_interval(
    ours: npt.ArrayLike,
    baseline: npt.ArrayLike,
    bound: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    level: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Interval:
    """The share of the way from the baseline's total to the bound's that ours covers, paired by sample:

    (sum(baseline) - sum(ours)) / (sum(baseline) - sum(bound)): 0 at the baseline, 1 at the bound, below 0 where ours
    is worse than the baseline. nan where the baseline's total is at the bound. Raises InputError for lengths that
    differ and for no values.
    """
    new, old, best = _observed(ours), _observed(baseline), _observed(bound)
    if not len(new) == len(old) == len(best):
        raise InputError(f"a share needs values of the same samples, got {len(new)}, {len(old)} and {len(best)}")
    return _ratio_interval(old - new, old - best, rng, level, resamples)


def _ratio_interval(
    above: FloatArray,
    below: FloatArray,
    rng: np.random.Generator,
    level: float,
    resamples: int,
) -> Interval:
    """sum(above) / sum(below), nan where there is nothing below."""
    if below.sum() <= 0:
        return Interval(estimate=float("nan"), low=float("nan"), high=float("nan"))
    drawn = _draws(len(below), rng, resamples)
    divisors = below[drawn].sum(axis=1)
    ratios = above[drawn].sum(axis=1)[divisors > 0] / divisors[divisors > 0]
    return _interval(above.sum() / below.sum(), ratios, level)


def _observed(values: npt.ArrayLike) -> FloatArray:
    observed = np.asarray(values, dtype=float)
    if observed.ndim != 1 or len(observed) == 0:
        raise InputError(f"a bootstrap needs a flat list of at least one value, got shape {observed.shape}")
    return observed


def _draws(count: int, rng: np.random.Generator, resamples: int) -> IntArray:
    return rng.integers(0, count, size=(resamples, count))


def _interval(estimate: float, resampled: FloatArray, level: float) -> Interval:
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate=float(estimate), low=float(low), high=float(high))
