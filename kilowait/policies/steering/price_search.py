"""Which price of a kWh keeps all waiting within a target: what is known of it, from decision to decision."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kilowait.cluster.standing import Active
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Prediction
from kilowait.policies.decisions import Decision, Place, Policy, Preempt
from kilowait.policies.steering.shadow import ShadowRun, nodes_beside

FIRST_S = 1000.0
"""So much at the beginning, and at most while nobody has waited under the baseline."""

BELIEVED = 10
"""As many jobs must have come for what is found to count as much as `FIRST_S`: a price that jumps makes jobs wait for a
type that they then do not get."""

LOOKED_AT = 5
"""The price is looked at anew when this part of the queue has come since."""

AHEAD_JOBS = 300
"""So many jobs may wait for the shadows to be run on until nobody waits; with more, waits until now are compared."""

FLOOR_S = 120.0
"""So long each job may wait on average above the target: a share of next to nothing would be nothing."""

PAID_BACK = 4.0
"""Where real jobs have waited longer than they may, the budget is less by so many times that."""

SPENT = 2.0
"""Where they have waited less than they may, it is more by so many times that: what was not waited is not lost."""

ALIKE = 0.01
"""Waits that are less than this share longer than the least count as like it: too little to give up energy for."""

Planner = Callable[[float], Policy]
"""The policy at a price in seconds of waiting a kWh."""


@dataclass(slots=True, kw_only=True)
class PriceSearch:
    """The shadows, and what they have been told; `real_s` and `predicted_s` are of the jobs that have ended here.

    `waited_s` is the waiting of all jobs here so far, `left` who has waited since the last decision, `known` by job
    the predictions that the shadows have, `jobs` how many have come, `looked` how many were known when `price` was
    found.
    """

    cluster: Cluster
    planner: Planner
    baseline: ShadowRun
    priced: dict[float, ShadowRun]
    at_s: float
    known: dict[str, Mapping[str, Prediction]] = field(default_factory=dict)
    running: dict[str, Active] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    real_s: float = 0.0
    predicted_s: float = 0.0
    waited_s: float = 0.0
    jobs: int = 0
    price: float = FIRST_S
    looked: int = 0

    @classmethod
    def of(cls, cluster: Cluster, baseline: Policy, planner: Planner, prices_s: Sequence[float]) -> "PriceSearch":
        """Begin with the jobs that run and wait now, in the shadows as here."""
        return cls(
            cluster=cluster,
            planner=planner,
            baseline=ShadowRun.beside(cluster, baseline),
            priced={price_s: ShadowRun.beside(cluster, planner(price_s)) for price_s in prices_s},
            at_s=cluster.now_s,
            known={job_id: active.whole for job_id, active in cluster.active.items()},
        )

    def shadows(self) -> tuple[ShadowRun, ...]:
        """All of them."""
        return self.baseline, *self.priced.values()

    def goes_on(self, cluster: Cluster) -> bool:
        """Whether this is the cluster as it was, later, with the same GPUs, and windows of the same nodes."""
        return self.knows(cluster) and nodes_beside(cluster) == self.baseline.nodes

    def knows(self, cluster: Cluster) -> bool:
        """Whether this is the cluster as it was, later."""
        return cluster is self.cluster and cluster.now_s >= self.at_s

    def learn_from(self, before: "PriceSearch") -> None:
        """Count on from what was found on the GPUs that were there before."""
        before.look(self.cluster)
        self.waited_s, self.real_s, self.predicted_s = before.waited_s, before.real_s, before.predicted_s
        self.jobs, self.price = max(0, before.jobs - len(self.cluster.waiting)), before.price  # these come once more
        for shadow, shadow_before in zip(self.shadows(), before.shadows(), strict=True):
            shadow.waited_s = shadow_before.waited_s

    def look(self, cluster: Cluster) -> None:
        """Take in what has happened since the last decision, and run the shadows on until now."""
        now_s = cluster.now_s
        self.waited_s += len(self.left) * (now_s - self.at_s)
        self._see_ends(cluster)
        longer = self.real_s / self.predicted_s if self.predicted_s and self.real_s else 1.0
        come = [waiting for waiting in cluster.queue() if self.known.get(waiting.job.job_id) is not waiting.whole]
        self.jobs += sum(waiting.job.job_id not in self.known for waiting in come)
        self.known |= {waiting.job.job_id: waiting.whole for waiting in come}
        gone = sorted(self.left & cluster.over)
        for shadow in self.shadows():
            shadow.longer = longer
            shadow.run_until(now_s, come, gone, cluster)
        self.at_s = now_s

    def _see_ends(self, cluster: Cluster) -> None:
        """Count the attempts that ended their jobs, not those that gave way or are tried again."""
        for job_id, active in list(self.running.items()):
            now = cluster.active.get(job_id)
            if now is not None and now.attempt == active.attempt:
                continue
            del self.running[job_id]
            self.left.discard(job_id)
            if job_id in cluster.over:
                self.real_s += cluster.now_s - active.placed_s
                self.predicted_s += active.predictions[active.gpu_type].runtime_s
        for job_id, active in cluster.active.items():
            self.running.setdefault(job_id, active)
            self.left.discard(job_id)

    def decided(self, decisions: Sequence[Decision]) -> None:
        """Who waits from now on."""
        placed = {decision.job_id for decision in decisions if isinstance(decision, Place)}
        stopped = {decision.job_id for decision in decisions if isinstance(decision, Preempt)}
        self.left = (self.cluster.waiting.keys() | stopped) - placed

    def find(self, target: float) -> None:
        """Look for the price anew where a fifth of the queue has come since."""
        come, waiting = len(self.known) - self.looked, len(self.cluster.waiting)
        if come and (not self.looked or come * LOOKED_AT > waiting):
            self.price, self.looked = self._found_price_s(target), len(self.known)

    def _found_price_s(self, target: float) -> float:
        ahead = len(self.cluster.waiting) <= AHEAD_JOBS

        def in_all_s(shadow: ShadowRun) -> float:
            return shadow.waited_s + (shadow.to_come_s() if ahead else 0.0)

        baseline_s = in_all_s(self.baseline)
        may_s = target * baseline_s + FLOOR_S * self.jobs
        unspent_s = may_s - self.waited_s
        if ahead:
            unspent_s -= ShadowRun.going_on(self.cluster, self.planner(self.price), self.baseline.longer).to_come_s()
        budget_s = may_s + unspent_s * (SPENT if unspent_s > 0 else PAID_BACK)
        waits_s = never_less([in_all_s(shadow) for shadow in self.priced.values()])
        price_s = _between(list(self.priced), waits_s, max(budget_s, (1 + ALIKE) * min(waits_s)))
        price_s = price_s if baseline_s else min(price_s, FIRST_S)
        return math.exp((BELIEVED * math.log(FIRST_S) + self.jobs * math.log(price_s)) / (BELIEVED + self.jobs))


def never_less(waits_s: Sequence[float]) -> list[float]:
    """Waits by ascending price, where a higher price seems to wait less both taken as their mean: it is by chance.

    Source: pooling of adjacent violators (Ayer et al., Annals of Mathematical Statistics 26, 1955).
    """
    pools: list[tuple[float, int]] = []
    for wait_s in waits_s:
        pools.append((wait_s, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (low_s, low), (high_s, high) = pools[-2:]
            pools[-2:] = [((low_s * low + high_s * high) / (low + high), low + high)]
    return [wait_s for wait_s, count in pools for _ in range(count)]


def _between(prices_s: Sequence[float], waited_s: Sequence[float], budget_s: float) -> float:
    """The highest price at which the waiting is within the budget, which that of some price is; interpolated."""
    k = max(k for k, one_s in enumerate(waited_s) if one_s <= budget_s)
    if k + 1 == len(prices_s):
        return prices_s[k]
    part = (budget_s - waited_s[k]) / (waited_s[k + 1] - waited_s[k])
    return prices_s[k] * math.exp(part * math.log(prices_s[k + 1] / prices_s[k]))
