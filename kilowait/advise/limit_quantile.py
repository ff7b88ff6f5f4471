"""A time limit out of a prediction: a quantile of what is expected, with room for what no prediction covers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.core.log_normal import TO_END

RISK = 0.05
"""How often a job may take longer than its limit where nothing else is said."""
MARGIN_S = 300.0
"""For what is in no prediction: starting Python and CUDA, compiling, copying data; chosen, not measured."""
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimit:
    """`seconds` in whole minutes; `wanted_s` is what it would be if `most_s` (None: nothing) did not end it sooner."""

    seconds: float
    wanted_s: float
    most_s: float | None = None

    @property
    def capped(self) -> bool:
        """Whether it is shorter than it should be."""
        return self.seconds < self.wanted_s


def quantile_s(prediction: Prediction, risk: float) -> float | None:
    """The run time (s) that is exceeded with a probability of `risk`, log-normal to each side of what is expected.

    None where the prediction has no interval. Raises InputError unless 0 < risk < 1.
    """
    if not 0 < risk < 1:
        raise InputError(f"risk must be between 0 and 1, got {risk}; give the share of jobs that may be ended, as 0.05")
    if prediction.runtime_low_s is None or prediction.runtime_high_s is None:
        return None
    deviations = NormalDist().inv_cdf(1 - risk) / TO_END
    end_s = prediction.runtime_high_s if deviations > 0 else prediction.runtime_low_s
    return prediction.runtime_s * math.exp(abs(deviations) * math.log(end_s / prediction.runtime_s))


def time_limit(
    predictions: Iterable[Prediction], risk: float, margin_s: float, most_s: float | None
) -> TimeLimit | None:
    """The limit that is enough for the slowest of these; None for no prediction, or one without an interval."""
    quantiles = [quantile_s(prediction, risk) for prediction in predictions]
    known = [quantile for quantile in quantiles if quantile is not None]
    if not known or len(known) < len(quantiles):
        return None
    wanted_s = math.ceil((max(known) + margin_s) / MINUTE_S) * MINUTE_S
    seconds = wanted_s if most_s is None else min(wanted_s, most_s)
    return TimeLimit(seconds=seconds, wanted_s=wanted_s, most_s=most_s)
