"""Which of several predictors was nearer on the newest jobs, which none of them has seen.

The split is by time: who is compared has learnt from jobs that ended before the first tested job ended, never from a
tested job or a later one. A tested job of a source that had run before is in (its predictor would have known that run
too, as the service's does); those whose source is new to all are scored apart as well, because a repeated source can
hide that nothing was learnt about new ones.

A predictor's error is |log(measured / predicted)|. The interval of a mean difference is a percentile bootstrap over
whole sources, whose runs err together (Efron and Tibshirani 1993, chapter 13).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kilowait.core.arrays import FloatArray, Mask
from kilowait.predict.correction.correction import ENERGY, RUNTIME
from kilowait.report.interval import CONFIDENCE, RESAMPLES

LEAST_TESTED = 10
LEAST_TRAINED = 10
LEAST_SOURCES = 5
"""Fewer sources than this decide nothing by themselves."""
ALL, NEW = "newest jobs", "newest jobs of new sources"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The errors on `jobs` jobs of `sources` sources of one metric, by predictor (base, current, candidate).

    `difference` is the mean of candidate minus the incumbent's, whichever of the others is in force, with the ends
    of its interval; negative is better.
    """

    metric: str
    jobs_kind: str
    jobs: int
    sources: int
    median: Mapping[str, float]
    mean: Mapping[str, float]
    incumbent: str
    difference: float
    low: float
    high: float

    @property
    def better(self) -> bool:
        """Whether the candidate is better, and not by chance."""
        return self.high < 0

    @property
    def worse(self) -> bool:
        """Whether the candidate is worse, and not by chance."""
        return self.low > 0


def first_tested(jobs: int, since: int) -> int | None:
    """The index of the first tested of `jobs` jobs, the oldest first, `since` of which ended after the current model's.

    A fifth is tested, at least LEAST_TESTED, and at most half of those that the current model has not seen: the other
    half is what the candidate may know more. None while there are too few.
    """
    tested = min(max(LEAST_TESTED, round(jobs / 5)), since // 2)
    return jobs - tested if tested >= LEAST_TESTED and jobs - tested >= LEAST_TRAINED else None


def needed(jobs: int, since: int) -> int:
    """How many more jobs a comparison needs."""
    more = 0
    while first_tested(jobs + more, since + more) is None:
        more += 1
    return more


def scores(
    errors: Mapping[str, Mapping[str, FloatArray]], sources: Sequence[str], fresh: Mask, *, seed: int = 0
) -> list[Score]:
    """Compare `errors` (m,) by metric and predictor on m tested jobs of `sources`; NaN where nothing was measured.

    `fresh` (m,) says whose source had not been measured before.
    """
    comparisons = []
    for metric in (RUNTIME, ENERGY):
        measured = np.isfinite(errors[metric]["candidate"])
        for kind, rows in ((ALL, measured), (NEW, measured & fresh)):
            if rows.any():
                row_errors = {predictor: error[rows] for predictor, error in errors[metric].items()}
                names = np.array(sources, dtype=object)[rows]
                comparisons.append(_score(metric, kind, row_errors, names.tolist(), seed))
    return comparisons


def verdict(found: Sequence[Score]) -> tuple[bool, str]:
    """Whether the candidate is better, and why: nearer run times on the newest jobs, and worse on nothing.

    Better and worse are by the interval of the difference; LEAST_SOURCES sources are the least that decide.
    """
    decides = {(s.metric, s.jobs_kind): s for s in found if s.sources >= LEAST_SOURCES}
    main = decides.get((RUNTIME, ALL))
    if main is None:
        return False, f"the newest jobs are of fewer than {LEAST_SOURCES} sources"
    summary = f"mean |log error| of run times {main.difference:+.3f} [{main.low:+.3f}, {main.high:+.3f}]"
    if not main.better:
        return False, f"not better than {main.incumbent} on the newest {main.jobs} jobs: {summary}"
    for (metric, kind), score in decides.items():
        if score.worse:
            interval = f"{score.difference:+.3f} [{score.low:+.3f}, {score.high:+.3f}]"
            return False, f"better on run times ({summary}), but worse on {metric} of {kind}: {interval}"
    return True, f"better than {main.incumbent} on the newest {main.jobs} jobs: {summary}"


def _score(metric: str, kind: str, errors: Mapping[str, FloatArray], sources: Sequence[str], seed: int) -> Score:
    incumbent = "current" if "current" in errors else "base"
    difference = errors["candidate"] - errors[incumbent]
    low, high = _interval(difference, sources, seed)
    return Score(
        metric=metric,
        jobs_kind=kind,
        jobs=len(sources),
        sources=len(set(sources)),
        median={predictor: float(np.median(error)) for predictor, error in errors.items()},
        mean={predictor: float(error.mean()) for predictor, error in errors.items()},
        incumbent=incumbent,
        difference=float(difference.mean()),
        low=low,
        high=high,
    )


def _interval(difference: FloatArray, sources: Sequence[str], seed: int) -> tuple[float, float]:
    """The confidence interval of the mean of `difference` (m,), by drawing whole sources."""
    _, index = np.unique(np.array(sources, dtype=object).astype(str), return_inverse=True)
    sums, counts = np.bincount(index, difference), np.bincount(index)
    samples = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    means = sums[samples].sum(1) / counts[samples].sum(1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
