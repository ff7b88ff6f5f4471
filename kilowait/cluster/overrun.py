"""When a running job is expected to end: as predicted, and once that has passed, by an estimate that is renewed.

Every planner and every view that looks ahead asks here, so that none of them counts a job that has overrun its
prediction as ending now. The estimates of an attempt are a ladder of times that is known when it starts: the
prediction, and rungs above it. The estimate in force is the lowest rung that lies after now, so it changes at known
moments only, and while predictions are exact no rung but the first is ever reached.

Without an interval a rung is twice the one below: Tsafrir, Etsion and Feitelson, "Backfilling using system-generated
predictions rather than user runtime estimates", IEEE TPDS 18(6), 2007, correct predictions that have proved too short;
doubling is our choice among such corrections, since it needs few of them however wrong the prediction was.

With an interval the run time T is log-normal, the prediction its median and the upper end of the interval its quantile
(1 + `INTERVAL_COVERAGE`) / 2. A rung is then the median of T given that T exceeds the rung below: the chance that the
job ends before it is one half, as it was for the prediction. So the k-th rung is the quantile 1 - 2^-(k + 1) of T. The
median and not the mean: the mean of a wide log-normal stands for a few jobs that go on for very long (with a deviation
of 2.3 it is 14 times the median), and it would differ from the prediction before anything has gone wrong. The last such
rung is the upper end itself. A job that has outlived that is one that the interval did not foresee, and all that is
known of it is how long it has run: from there on rungs double.
"""

from statistics import NormalDist

from kilowait.cluster.standing import Active
from kilowait.core.jobs import INTERVAL_COVERAGE
from kilowait.core.log_normal import TO_END

_NORMAL = NormalDist()
_UPPER = (1 + INTERVAL_COVERAGE) / 2

RUNGS: tuple[float, ...] = tuple(
    _NORMAL.inv_cdf(1 - 0.5 ** (k + 1)) / TO_END for k in range(1, 20) if 1 - 0.5 ** (k + 1) < _UPPER
)
"""Where the medians lie between the prediction (0) and the upper end of its interval (1), in logarithms."""


def estimated_end_s(active: Active, now_s: float) -> float:
    """When a running job is expected to end, always after `now_s`: the lowest rung of its ladder that is."""
    prediction, placed_s = active.predictions[active.gpu_type], active.placed_s
    end_s = placed_s + prediction.runtime_s
    if end_s > now_s:
        return end_s
    return renewed_end_s(placed_s, prediction.runtime_s, prediction.runtime_high_s or 0.0, now_s)


def renewed_end_s(placed_s: float, runtime_s: float, high_s: float, now_s: float) -> float:
    """As `estimated_end_s`, in numbers: `high_s` is the upper end of the interval, 0 where there is none."""
    rung_s = runtime_s
    if high_s > runtime_s:
        for share in RUNGS:
            end_s: float = placed_s + runtime_s * (high_s / runtime_s) ** share
            if end_s > now_s:
                return end_s
        rung_s = high_s
    while placed_s + rung_s <= now_s:
        rung_s *= 2
    return placed_s + rung_s
