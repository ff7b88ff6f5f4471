"""A power budget that is never passed: every running board counts with its limit, every other with its idle power.

A job that is placed gets limits at which the budget still holds, its boards' own only where that is hardly more than it
draws. While no such limit is left it waits, and so does what the policy places behind it: what is first in line for
GPUs is first for power. A job that draws more than its limit is slowed until it does not. Limits stay as they were set
until the job ends. While others wait, a job that starts leaves them the watts that speed them up more
(`kilowait.simulate.within_power.watt_price`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError, JobRefused
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import Job, PowerLimit, Prediction
from kilowait.core.units import WHOLE
from kilowait.policies.limiting.limit_choices import held_choices, limit_choices
from kilowait.policies.limiting.limit_price import LimitPrice
from kilowait.simulate.within_power.watt_price import WattPrice


@dataclass(slots=True, kw_only=True)
class PowerBudget:
    """`watts` for all boards of a cluster; `price` chooses among the limits that there is room for.

    `committed_w` is what is promised at present, idle boards included.
    """

    watts: float
    price: LimitPrice = field(default_factory=LimitPrice)
    committed_w: float = 0.0
    idle_w: dict[str, float] = field(default_factory=dict)
    promised: dict[str, float] = field(default_factory=dict)
    room_w: float = 0.0
    worth: WattPrice | None = None

    def joined(self, inventory: Mapping[str, int]) -> None:
        """Count the idle boards; raises InputError for a type of unknown watts and a budget that these use up."""
        if unknown := [name for name in inventory if name not in GPU_TYPES]:
            raise InputError(f"a power budget needs the idle power of {unknown[0]}: describe the type in --gpu-file")
        self.idle_w = {name: GPU_TYPES[name].assumed_idle_w for name in inventory}
        self.committed_w = math.fsum(self.idle_w[name] * count for name, count in inventory.items())
        self.room_w = self.watts - self.committed_w
        if not self.committed_w < self.watts < math.inf:
            raise InputError(
                f"the power budget must be finite and above the {self.committed_w:,.0f} W of idle boards, "
                f"got {self.watts!r}"
            )
        self.worth = WattPrice(room_w=self.room_w, boards=inventory, idle_w=self.idle_w, choices=held_choices)

    def options(self, job: Job, predictions: Mapping[str, Prediction]) -> Mapping[str, Prediction]:
        """Predictions of the types on which the job can run within the budget when nothing else does.

        Raises InputError for a share of a board, and JobRefused where no type is left.
        """
        if job.gpu_milli != WHOLE:
            raise InputError(f"job {job.job_id}: a power budget covers whole boards, not shares of them")
        least = {t: limit_choices(one, job, t)[-1] for t, one in predictions.items() if t in self.idle_w}
        more_w = {t: job.gpus_on(t) * (limit_w - self.idle_w[t]) for t, limit_w in least.items()}
        found = {t: predictions[t] for t, watts in more_w.items() if watts <= self.room_w}
        if more_w and not found:
            gpu_type = min(more_w, key=more_w.__getitem__)
            raise JobRefused(
                f"job {job.job_id}: can never run here: the power budget of {self.watts:,.0f} W leaves less than its "
                f"{job.gpus_on(gpu_type)} boards of {gpu_type} need at the lowest limit, {least[gpu_type]:.0f} W each; "
                "raise the budget"
            )
        return found

    def accepted(self, job: Job, predictions: Mapping[str, Prediction]) -> None:
        """A job waits from now on; what is expected of it counts for what a watt is worth."""
        if self.worth is not None:
            self.worth.add(job, predictions)

    def limit(self, cluster: Cluster, waiting: Waiting, gpu_type: str) -> float | None:
        """The limit of a job that starts now, in watts a board; None where there is no room for any."""
        job, prediction, idle_w = waiting.job, waiting.predictions[gpu_type], self.idle_w[gpu_type]
        most_w = idle_w + (self.watts - self.committed_w) / job.gpus_on(gpu_type)
        worth = 0.0 if self.worth is None or len(cluster.waiting) < 2 else self.worth.price
        choices = [
            PowerLimit(
                limit_w=one.limit_w,
                runtime_s=one.runtime_s * (1 + worth * (one.limit_w - idle_w)),
                energy_kwh=one.energy_kwh,
            )
            for one in held_choices(prediction, job, gpu_type)
            if one.limit_w <= most_w
        ]
        return self.price.at_start(cluster, waiting, gpu_type, choices) if choices else None

    def started(self, job_id: str, gpu_type: str, gpus: int, limit_w: float) -> None:
        """A job holds so many watts from now on."""
        self.promised[job_id] = gpus * (limit_w - self.idle_w[gpu_type])
        self.committed_w += self.promised[job_id]

    def ended(self, job_id: str) -> None:
        """A job gives its watts back."""
        self.committed_w -= self.promised.pop(job_id)
