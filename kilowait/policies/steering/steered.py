"""A planner whose price of a kWh steers itself, so that all jobs together wait as long as they may and no longer."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kilowait.cluster.standing import Active
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.policies.compiled_form import with_cost
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.steering.shadow import ShadowRun
from kilowait.policies.value import value

PRICES_S = (500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16_000.0)
"""Seconds of waiting that a kWh is worth in the shadows; between them the price is interpolated.

None is lower: in bursts a planner at a lower price saves less and waits no less (modelled, benchmarks/steering.py).
"""
FIRST = 1
"""Which of them counts while nobody has waited under the baseline."""

PAID_BACK = 2.0
"""Where real jobs have waited longer than they may, the budget is less by so many times that."""

Planner = Callable[[float], Policy]
"""The policy at a price in seconds of waiting a kWh."""


def steered(
    planner: Planner,
    max_extra_wait: float,
    baseline: Policy | None = None,
    prices_s: Sequence[float] = PRICES_S,
) -> Policy:
    """The planner at the price that keeps all waiting within 1 + `max_extra_wait` of the baseline's (Value's).

    The baseline (relative kappa 1), and the planner at each of some prices, run in shadows on the same arrivals and
    GPUs, with run times as predicted times the ratio of real to predicted seconds of the jobs that have ended here.
    The price in force is the highest at which the planner would have kept the target so far, interpolated between the
    two prices of which one keeps it and the next does not; where none keeps it, the one of the least waiting. Waits
    that last are counted up to now. Where the real jobs have waited longer than the target, since prices changed on the
    way, the target is lower by twice that. So nothing is tuned on the world, and no price is tried out on real jobs:
    what a price does to waiting shows late, in the next burst, and a controller that feels its way oscillates.

    The state is this policy's own: a new one, and one that is shown another cluster or other GPUs, begins with the jobs
    that are there then, and learns anew. The same events lead to the same decisions. Not covered: `shared` around it,
    which shows it a part of the queue; and a cluster on which hardly anybody waits under the baseline, where the target
    is next to nothing and may be missed by a multiple of it. A decision takes as long as one of each shadow in
    which something happens. Raises InputError for -1 or less and for what is not finite.
    """
    if not (math.isfinite(max_extra_wait) and max_extra_wait > -1):
        raise InputError(f"max_extra_wait must be finite and > -1, got {max_extra_wait!r}")
    state: list[_Steering] = []

    def steered(cluster: Cluster) -> list[Decision]:
        if not state or not state[0].goes_on(cluster):
            state[:] = [_Steering.of(cluster, baseline or value(kappa_relative=1.0), planner, prices_s)]
        state[0].look(cluster)
        decisions = planner(state[0].price_s(1 + max_extra_wait))(cluster) if cluster.waiting else []
        state[0].queue = len(cluster.waiting) - sum(isinstance(decision, Place) for decision in decisions)
        return decisions

    return with_cost(steered, 2 + len(prices_s))


@dataclass(slots=True, kw_only=True)
class _Steering:
    """The shadows, and what they have been told; `real_s` and `predicted_s` are of the jobs that have ended here.

    `waited_s` is the waiting of all jobs here so far, `queue` how many have waited since the last decision.
    """

    cluster: Cluster
    baseline: ShadowRun
    priced: dict[float, ShadowRun]
    at_s: float
    known: set[str] = field(default_factory=set)
    running: dict[str, Active] = field(default_factory=dict)
    real_s: float = 0.0
    predicted_s: float = 0.0
    queue: int = 0
    waited_s: float = 0.0

    @classmethod
    def of(cls, cluster: Cluster, baseline: Policy, planner: Planner, prices_s: Sequence[float]) -> "_Steering":
        """Begin with the jobs that run and wait now, in the shadows as here."""
        steering = cls(
            cluster=cluster,
            baseline=ShadowRun(policy=baseline, total=dict(cluster.total)),
            priced={price_s: ShadowRun(policy=planner(price_s), total=dict(cluster.total)) for price_s in prices_s},
            at_s=cluster.now_s,
        )
        for shadow in steering.shadows():
            shadow.begin(cluster.now_s)
            for active in cluster.active.values():
                shadow.submit(active.job, active.predictions, cluster.now_s)
                shadow.start(active.job.job_id, active.gpu_type, active.predicted_end_s)
        steering.known.update(cluster.active)
        return steering

    def shadows(self) -> tuple[ShadowRun, ...]:
        """All of them."""
        return self.baseline, *self.priced.values()

    def goes_on(self, cluster: Cluster) -> bool:
        """Whether this is the cluster as it was, later, with the same GPUs."""
        return cluster is self.cluster and cluster.now_s >= self.at_s and cluster.total == self.baseline.total

    def look(self, cluster: Cluster) -> None:
        """Take in what has happened since the last decision, and run the shadows on until now."""
        now_s = cluster.now_s
        self.waited_s += self.queue * (now_s - self.at_s)
        for job_id in [job_id for job_id in self.running if job_id not in cluster.active]:
            active = self.running.pop(job_id)
            self.real_s += now_s - active.placed_s
            self.predicted_s += active.predictions[active.gpu_type].runtime_s
        for job_id, active in cluster.active.items():
            self.running.setdefault(job_id, active)
        longer = self.real_s / self.predicted_s if self.predicted_s and self.real_s else 1.0
        arrived = [waiting for waiting in cluster.queue() if waiting.job.job_id not in self.known]
        self.known.update(waiting.job.job_id for waiting in arrived)
        for shadow in self.shadows():
            shadow.longer = longer
            shadow.run_until(now_s, arrived)
        self.at_s = now_s

    def price_s(self, target: float) -> float:
        """Seconds of waiting that a kWh is worth now."""
        prices, waited = list(self.priced), [shadow.waited_s for shadow in self.priced.values()]
        budget_s = target * self.baseline.waited_s
        if budget_s <= 0:
            return prices[FIRST]
        budget_s -= PAID_BACK * max(0.0, self.waited_s - budget_s)
        within = [k for k, waited_s in enumerate(waited) if waited_s <= budget_s]
        if not within:
            return prices[waited.index(min(waited))]
        k = within[-1]
        if k + 1 == len(prices):
            return prices[k]
        part = (budget_s - waited[k]) / (waited[k + 1] - waited[k])
        return prices[k] * math.exp(part * math.log(prices[k + 1] / prices[k]))
