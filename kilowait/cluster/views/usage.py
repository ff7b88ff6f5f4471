"""What each user has had of the GPUs, with a weight that halves as time passes.

A second on a GPU that lies t in the past counts 2^(-t / HALF_LIFE_S), as in Slurm (PriorityDecayHalfLife, 7 days by
default), so that a user who was greedy last month is as good as new. Energy is as predicted, spread evenly over the
predicted run time and as long as the job really held its GPUs.

What a month's limit counts does not fade: it is forgotten a month after its attempt has ended.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import exp, inf, log
from typing import Literal, NamedTuple

from kilowait.cluster.standing import Active
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.units import DAY_S, HOUR_S, WHOLE

HALF_LIFE_S = 7 * DAY_S
RATE = log(2) / HALF_LIFE_S
MONTH_S = 30 * DAY_S

Resource = Literal["gpu", "energy"]
"""What is counted: GPU-seconds, or kWh."""


class HadAttempt(NamedTuple):
    """An attempt that is over, with its hours and not what these cost: a change of prices counts for it too."""

    end_s: float
    user: str | None
    kwh: float
    gpu_type: str
    gpu_hours: float


@dataclass(slots=True, kw_only=True)
class Usage:
    """By user, GPU-seconds and kWh of the attempts that are over, as of `at_s`. Changed by the cluster alone.

    `month` has the attempts that ended in the last month; `looked_at` says whether somebody looks at that, who then
    decides again when there is less of it. It depends on the events alone, so a replayed log leads to the same one.
    """

    at_s: float = 0.0
    over: dict[str | None, tuple[float, float]] = field(default_factory=dict)
    month: deque[HadAttempt] = field(default_factory=deque)
    looked_at: bool = False

    def add(self, active: Active, now_s: float) -> None:
        """An attempt has ended."""
        faded = exp(-RATE * (now_s - self.at_s))
        self.over = {user: (gpu_s * faded, kwh * faded) for user, (gpu_s, kwh) in self.over.items()}
        self.at_s, user = now_s, active.job.user
        had, more = self.over.get(user, (0.0, 0.0)), _held(active, now_s)
        self.over[user] = had[0] + more[0], had[1] + more[1]
        self._forget(now_s)
        held_s = max(0.0, now_s - active.placed_s)
        kwh, gpu_hours = _kwh_a_second(active) * held_s, _gpus(active) * held_s / HOUR_S
        self.month.append(HadAttempt(now_s, user, kwh, active.gpu_type, gpu_hours))

    def of_users(self, running: Iterable[Active], now_s: float, resource: Resource) -> Mapping[str | None, float]:
        """What each user has had until now, running attempts included."""
        which, faded = int(resource == "energy"), exp(-RATE * (now_s - self.at_s))
        used = {user: had[which] * faded for user, had in self.over.items()}
        for active in running:
            used[active.job.user] = used.get(active.job.user, 0.0) + _held(active, now_s)[which]
        return used

    def month_kwh(self, running: Iterable[Active], now_s: float) -> Mapping[str | None, float]:
        """The kWh of each user's attempts of the last month; running ones count as predicted, or more if they overrun.

        What a running job says of itself may add to that and takes nothing away: it may say anything.
        From now on there is a decision whenever an attempt is forgotten.
        """
        had = ((user, kwh) for _, user, kwh, _, _ in self._last_month(now_s))
        return _by_user(chain(had, ((active.job.user, _kwh_to_its_end(active, now_s)) for active in running)))

    def month_cost(self, running: Iterable[Active], now_s: float) -> Mapping[str | None, float]:
        """What each user's attempts of the last month cost, by what an hour of a GPU costs; as `month_kwh`."""
        month = self._last_month(now_s)
        had = ((user, gpu_hours * price_per_hour(gpu_type)) for _, user, _, gpu_type, gpu_hours in month)
        return _by_user(chain(had, ((active.job.user, _cost_to_its_end(active, now_s)) for active in running)))

    def next_freed_s(self, now_s: float) -> float:
        """When an attempt of the last month is forgotten next; inf where nobody looks at those, or there is none."""
        if not self.looked_at:
            return inf
        return next((had.end_s + MONTH_S for had in self.month if had.end_s + MONTH_S > now_s), inf)

    def copy(self) -> "Usage":
        """The same, which changes without this one."""
        return Usage(at_s=self.at_s, over=dict(self.over), month=self.month.copy(), looked_at=self.looked_at)

    def _last_month(self, now_s: float) -> Iterable[HadAttempt]:
        """The attempts that ended in the last month, for somebody who looks at them."""
        self._forget(now_s)
        self.looked_at = True
        return self.month

    def _forget(self, now_s: float) -> None:
        while self.month and self.month[0].end_s + MONTH_S <= now_s:
            self.month.popleft()


def price_per_hour(gpu_type: str) -> float:
    """What an hour of a GPU costs, as the site's file of GPU types says; 0 where it does not."""
    known = GPU_TYPES.get(gpu_type)
    return 0.0 if known is None else known.price_per_hour or 0.0


def _by_user(amounts: Iterable[tuple[str | None, float]]) -> dict[str | None, float]:
    """The sum of each user's."""
    sums = dict[str | None, float]()
    for user, amount in amounts:
        sums[user] = sums.get(user, 0.0) + amount
    return sums


def _kwh_to_its_end(active: Active, now_s: float) -> float:
    return max(_kwh_a_second(active) * _to_its_end_s(active, now_s), active.predicted.energy_kwh)


def _cost_to_its_end(active: Active, now_s: float) -> float:
    return _gpus(active) * price_per_hour(active.gpu_type) * _to_its_end_s(active, now_s) / HOUR_S


def _to_its_end_s(active: Active, now_s: float) -> float:
    """From its start to its end as predicted, or until now where it overruns."""
    return max(active.predictions[active.gpu_type].runtime_s, now_s - active.placed_s)


def _held(active: Active, now_s: float) -> tuple[float, float]:
    """GPU-seconds and kWh of an attempt from its start until now, faded as of now."""
    seconds = (1 - exp(-RATE * max(0.0, now_s - active.placed_s))) / RATE
    return _gpus(active) * seconds, _kwh_a_second(active) * seconds


def _gpus(active: Active) -> float:
    """The boards that it holds, of a shared one its share."""
    return active.gpus * active.job.gpu_milli / WHOLE


def _kwh_a_second(active: Active) -> float:
    prediction = active.predictions[active.gpu_type]
    return prediction.energy_kwh / prediction.runtime_s
