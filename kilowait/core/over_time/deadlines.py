"""The chance that a run is done in time, and how late it may start, from the interval of its run time.

The logarithm of the run time is normal to each side of what is expected, as the two ends of the interval say.
"""

import math
from statistics import NormalDist

from kilowait.core.jobs import Prediction
from kilowait.core.log_normal import TO_END

_NORMAL = NormalDist()
FLAT_MARGIN = 1.5
"""How much longer than predicted a run may take where no interval says it; chosen."""


def chance_within(prediction: Prediction, seconds: float) -> float | None:
    """The chance that the run takes no longer than that; None without an interval."""
    low_s, high_s = prediction.runtime_low_s, prediction.runtime_high_s
    if low_s is None or high_s is None:
        return None
    if seconds <= 0:
        return 0.0
    deviation = math.log(seconds / prediction.runtime_s)
    spread = math.log(high_s / prediction.runtime_s if deviation > 0 else prediction.runtime_s / low_s) / TO_END
    if not spread:
        return float(deviation >= 0)
    return _NORMAL.cdf(deviation / spread)


def seconds_within(prediction: Prediction, chance: float) -> float:
    """The seconds within which the run is done with that chance; without an interval a flat margin above it."""
    low_s, high_s = prediction.runtime_low_s, prediction.runtime_high_s
    if low_s is None or high_s is None:
        return prediction.runtime_s * FLAT_MARGIN
    if chance <= 0:
        return 0.0
    if chance >= 1:
        return math.inf
    deviations = _NORMAL.inv_cdf(chance) / TO_END
    ratio = high_s / prediction.runtime_s if deviations > 0 else prediction.runtime_s / low_s
    return prediction.runtime_s * math.exp(deviations * math.log(ratio))


def latest_start_s(prediction: Prediction, deadline_s: float, now_s: float, added: float) -> float:
    """How late a run may start so that the chance to miss a deadline grows by `added` at most against a start now."""
    now = chance_within(prediction, deadline_s - now_s)
    return deadline_s - seconds_within(prediction, 0.0 if now is None else max(0.0, now - added))
