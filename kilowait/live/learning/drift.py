"""Whether the model in force still keeps what its comparison promised, over the last jobs that it predicted.

Two signs: the median of |log(measured / predicted)| of run times, against the errors of the held-out jobs it was
promoted on, and how many of its 90% intervals hold. Either is beyond its band where a model that is as good as it was
would be there once in a hundred looks: the median of n draws exceeds the quantile 1/2 + z / (2 sqrt n) of what they are
drawn from with about that probability (David and Nagaraja 2003, Order Statistics, section 2.5), and coverage is
binomial. Jobs of one source err together, so the alarm comes a little too often; it only leads to a refit, which is
compared like any other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, norm

from kilowait.core.jobs import INTERVAL_COVERAGE
from kilowait.live.learning.observed import Seen

WINDOW = 50
LEAST = 20
"""Jobs below which nothing is said."""
ALARM = 0.01
"""How often a good model is taken for a bad one, each sign and look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Over `jobs` jobs: the median |log error| and the share of intervals that held, each with the end of its band.

    `coverage` is None where no prediction had an interval. `beyond` says which sign is out of its band, "" for none.
    """

    jobs: int
    median: float
    median_band: float
    coverage: float | None
    coverage_band: float
    beyond: str


def drift(seen: Sequence[Seen], version: str, promised: Sequence[float]) -> Drift | None:
    """Of the jobs that model `version` predicted among `seen`, against its held-out errors `promised`.

    None where there are fewer than LEAST of them, or nothing was promised.
    """
    jobs = [job for job in seen if job.predicted.probe_version.endswith(f"+{version}")]
    if len(jobs) < LEAST or not promised:
        return None
    errors = [abs(math.log(job.runtime_s / job.predicted.runtime_s)) for job in jobs]
    level = min(1.0, 0.5 + float(norm.ppf(1 - ALARM)) / (2 * math.sqrt(len(jobs))))
    median, band = float(np.median(errors)), float(np.quantile(promised, level))
    inside = [_holds(job) for job in jobs if job.predicted.runtime_low_s is not None]
    coverage, floor = (sum(inside) / len(inside), _least_coverage(len(inside))) if inside else (None, 0.0)
    error_sign = f"median |log error| {median:.3f} above {band:.3f}" if median > band else ""
    coverage_sign = f"coverage {coverage:.2f} below {floor:.2f}" if coverage is not None and coverage < floor else ""
    return Drift(
        jobs=len(jobs),
        median=median,
        median_band=band,
        coverage=coverage,
        coverage_band=floor,
        beyond=" and ".join(sign for sign in (error_sign, coverage_sign) if sign),
    )


def _holds(job: Seen) -> bool:
    low, high = job.predicted.runtime_low_s, job.predicted.runtime_high_s
    return low is not None and high is not None and low <= job.runtime_s <= high


def _least_coverage(jobs: int) -> float:
    """The share below which fewer than ALARM of good models would hold."""
    return float(binom.ppf(ALARM, jobs, INTERVAL_COVERAGE)) / jobs
