"""What each user has had of the GPUs, with a weight that halves as time passes.

A second on a GPU that lies t in the past counts 2^(-t / HALF_LIFE_S), as in Slurm (PriorityDecayHalfLife, 7 days by
default), so that a user who was greedy last month is as good as new. Energy is as predicted, spread evenly over the
predicted run time and as long as the job really held its GPUs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import exp, log
from typing import Literal

from kilowait.cluster.standing import Active
from kilowait.core.units import DAY_S, WHOLE

HALF_LIFE_S = 7 * DAY_S
RATE = log(2) / HALF_LIFE_S

Resource = Literal["gpu", "energy"]
"""What is counted: GPU-seconds, or kWh."""


@dataclass(slots=True, kw_only=True)
class Usage:
    """By user, GPU-seconds and kWh of the attempts that are over, as of `at_s`. Changed by the cluster alone.

    It depends on the events alone, so a replayed log leads to the same one.
    """

    at_s: float = 0.0
    over: dict[str | None, tuple[float, float]] = field(default_factory=dict)

    def add(self, active: Active, now_s: float) -> None:
        """An attempt has ended."""
        faded = exp(-RATE * (now_s - self.at_s))
        self.over = {user: (gpu_s * faded, kwh * faded) for user, (gpu_s, kwh) in self.over.items()}
        self.at_s, user = now_s, active.job.user
        had, more = self.over.get(user, (0.0, 0.0)), _held(active, now_s)
        self.over[user] = had[0] + more[0], had[1] + more[1]

    def of_users(self, running: Iterable[Active], now_s: float, resource: Resource) -> Mapping[str | None, float]:
        """What each user has had until now, running attempts included."""
        which, faded = int(resource == "energy"), exp(-RATE * (now_s - self.at_s))
        used = {user: had[which] * faded for user, had in self.over.items()}
        for active in running:
            used[active.job.user] = used.get(active.job.user, 0.0) + _held(active, now_s)[which]
        return used

    def copy(self) -> "Usage":
        """The same, which changes without this one."""
        return Usage(at_s=self.at_s, over=dict(self.over))


def _held(active: Active, now_s: float) -> tuple[float, float]:
    """GPU-seconds and kWh of an attempt from its start until now, faded as of now."""
    seconds = (1 - exp(-RATE * max(0.0, now_s - active.placed_s))) / RATE
    prediction = active.predictions[active.gpu_type]
    kwh_a_second = prediction.energy_kwh / prediction.runtime_s
    return active.gpus * active.job.gpu_milli / WHOLE * seconds, kwh_a_second * seconds
