"""When a job starts most cheaply, by what a kWh costs over time, where there is room for it.

Source of the idea: Wiesner et al., "Let's wait awhile", Middleware 2021, where each job is alone. Jobs run whole: those
that can be stopped at a checkpoint are in `kilowait.policies.planning.cheapest_parts`. Not covered: scattered boards.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kilowait.cluster.standing import Waiting
from kilowait.core.arrays import FloatArray
from kilowait.core.jobs import Prediction
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import HOUR_S
from kilowait.policies.planning.profile import Profile

LEAST_SAVING = 0.005
"""A job is not kept for less of what it costs: so little is gone with the first wrong hour."""


class PricedStart(NamedTuple):
    """A time and a type for a job, and what it costs then."""

    cost: float
    start_s: float
    gpu_type: str


@dataclass(frozen=True, slots=True)
class Hours:
    """What a kWh costs from now on: (n,) times of its steps and its integral until each, and what an hour of waiting
    costs."""

    times_s: FloatArray
    sums: FloatArray
    usd_per_h_waiting: float

    @classmethod
    def of(cls, cost: Signal, from_s: float, to_s: float, usd_per_h_waiting: float) -> "Hours":
        """The part of a signal between two times, with steps at both."""
        times_s = np.array([*cost.steps(from_s, to_s), to_s])
        values = np.array([cost.at(t) for t in times_s[:-1].tolist()])
        return cls(times_s, np.concatenate(([0.0], np.cumsum(values * np.diff(times_s)))), usd_per_h_waiting)

    def costs(self, starts_s: FloatArray, told: Prediction) -> FloatArray:
        """What a run costs by when it starts, (m,), waiting since now with it."""
        ends_s = starts_s + told.runtime_s
        used = np.interp(ends_s, self.times_s, self.sums) - np.interp(starts_s, self.times_s, self.sums)
        waited_h = (starts_s - self.times_s[0]) / HOUR_S
        costs: FloatArray = told.energy_kwh / told.runtime_s * used + self.usd_per_h_waiting * waited_h
        return costs

    def now(self, told: Prediction) -> float:
        """What a run costs that starts now."""
        return float(self.costs(self.times_s[:1], told)[0])

    def at(self, start_s: float, told: Prediction) -> float:
        """What a run costs that starts then."""
        return float(self.costs(np.array([start_s]), told)[0])

    def starts(self, runtime_s: float, latest_s: float) -> FloatArray:
        """When a run may best start, (m,): where it or its end meets a step, after now and not after `latest_s`."""
        found: FloatArray = np.concatenate((self.times_s, self.times_s - runtime_s))
        inside: FloatArray = found[(found > self.times_s[0]) & (found <= latest_s)]
        return inside


def cheaper_later(
    profile: Profile,
    hours: Hours,
    waiting: Waiting,
    now: PricedStart,
    latest: Iterable[tuple[str, float]],
    least_saving: float = LEAST_SAVING,
) -> PricedStart:
    """The cheapest start, not after `latest` of each type, for which there is room, where it saves enough; else now.

    It must save against starting now on its own type too: what another type saves at any hour is the policy's to say.
    """
    best, least = now, _less(now.cost, least_saving)
    for gpu_type, latest_s in latest:
        told, milli = waiting.predictions[gpu_type], waiting.job.milli_on(gpu_type)
        starts_s = hours.starts(told.runtime_s, latest_s)
        costs, enough = hours.costs(starts_s, told), min(least, _less(hours.now(told)))
        for index in _cheapest_first(costs, starts_s):
            if not costs[index] < enough:
                break
            start_s = float(starts_s[index])
            if profile.earliest_s(gpu_type, milli, told.runtime_s, start_s) == start_s:
                best, least = PricedStart(float(costs[index]), start_s, gpu_type), float(costs[index])
                break
    return best


def cheapest_start_s(hours: Hours, told: Prediction, latest_s: float) -> float:
    """When a run alone on its GPUs starts most cheaply, not after `latest_s`; now where nothing saves enough."""
    starts_s = hours.starts(told.runtime_s, latest_s)
    costs = hours.costs(starts_s, told)
    in_order = _cheapest_first(costs, starts_s)
    if in_order and saves_enough(costs[in_order[0]], hours.now(told)):
        return float(starts_s[in_order[0]])
    return float(hours.times_s[0])


def _cheapest_first(costs: FloatArray, starts_s: FloatArray) -> list[int]:
    """Positions by cost; where costs differ by rounding alone the earlier start goes first."""
    largest = np.abs(costs).max(initial=0.0)
    shares = np.round(costs / largest, 9) if largest else costs
    found: list[int] = np.lexsort((starts_s, shares)).tolist()
    return found


def saves_enough(cost: float, than: float) -> bool:
    """Whether it costs so much less that a job waits for it."""
    return cost < _less(than)


def _less(cost: float, least_saving: float = LEAST_SAVING) -> float:
    """What saves enough against a cost."""
    return cost - least_saving * abs(cost)
