"""A planner whose price of a kWh steers itself, so that all jobs together wait as long as they may and no longer."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kilowait.cluster.standing import Active
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.policies.compiled_form import with_cost
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.steering.shadow import ShadowRun
from kilowait.policies.value import value

PRICES_S = (60.0, 250.0, 1000.0, 2000.0, 4000.0, 8000.0, 16_000.0)
"""Seconds of waiting that a kWh is worth in the shadows; between them the price is interpolated.

At the lowest few are held: what is saved is by which of the free types a job gets.
"""
CROWDED_S = 2000.0
"""Below this price the occupation of GPUs counts less in proportion: else a planner at a low price takes the quicker
types, not the greener ones, for the sake of jobs that may never come, and in quiet times waits no less for it."""

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

AT_PRICE = "at_price"
"""The attribute of a policy by which `price_in_force` and `at_price` know one that steers its price."""

ALIKE = 0.01
"""Waits that are less than this share longer than the least count as like it: too little to give up energy for."""

Planner = Callable[[float], Policy]
"""The policy at a price in seconds of waiting a kWh."""

Wrap = Callable[[Policy], Policy]


def congestion_at(price_s: float, congestion: float) -> float:
    """What is left of a planner's congestion at a price: see `CROWDED_S`."""
    return congestion * min(1.0, price_s / CROWDED_S)


def steered(
    planner: Planner,
    max_extra_wait: float = 0.0,
    baseline: Policy | None = None,
    prices_s: Sequence[float] = PRICES_S,
) -> Policy:
    """The planner at the price that keeps all waiting within 1 + `max_extra_wait` of the baseline's (Value's).

    The target is so many times the baseline's waiting and `FLOOR_S` a job, which counts where hardly anybody waits.
    The baseline (relative kappa 1), and the planner at each of some prices, run in shadows on the same arrivals and
    GPUs, with run times as predicted times the ratio of real to predicted seconds of the jobs that have ended here. A
    shadow's waiting is that until now and what the jobs in its queue will still wait if nobody else comes, so that a
    burst is known when it comes, not when it is over; by price it never falls (`never_less`). Found is the highest
    price at which the planner keeps the target, interpolated between the two prices of which one keeps it and the next
    does not; where none keeps it, the highest of those that wait about as long as the least. Where the real jobs have
    waited, and will at the price in force, longer than the target, it is lower by four times that; where less, higher
    by twice. In force is the mean of `FIRST_S` and what is found, on the scale of logarithms, weighted by `BELIEVED`
    and the jobs that have come. So nothing is tuned on the world, and no price is tried out on real jobs: what it does
    to waiting shows late, in the next burst, and a controller that feels its way oscillates.

    The state is this policy's own: a new one, and one that is shown another cluster, begins with the jobs that are
    there then, and learns anew; where GPUs have come or gone the shadows begin anew, and what was learned stays. The
    same events lead to the same decisions. Not covered: a function around it that shows it a part of the queue; go by
    `steered_around`, as wrappers by name and quotas do. A decision takes as long as one of each shadow in which
    something happens, and where the price is found anew (`LOOKED_AT`, `AHEAD_JOBS`) as all until nobody waits in any of
    them. Raises InputError for -1 or less and for what is not finite.
    """
    if not (math.isfinite(max_extra_wait) and max_extra_wait > -1):
        raise InputError(f"max_extra_wait must be finite and > -1, got {max_extra_wait!r}")
    state: list[_Steering] = []
    against = baseline or value(kappa_relative=1.0)

    def steered(cluster: Cluster) -> list[Decision]:
        if not state or not state[0].goes_on(cluster):
            begun = _Steering.of(cluster, against, planner, prices_s)
            if state and state[0].knows(cluster):
                begun.learn_from(state[0])
            state[:] = [begun]
        state[0].look(cluster)
        decisions = planner(state[0].price_s(1 + max_extra_wait))(cluster) if cluster.waiting else []
        state[0].queue = len(cluster.waiting) - sum(isinstance(decision, Place) for decision in decisions)
        return decisions

    vars(steered)[AT_PRICE] = _Steered(
        planner, lambda: state[0].price if state else FIRST_S, max_extra_wait, against, prices_s
    )
    return with_cost(steered, 2 + len(prices_s))


class _Steered(NamedTuple):
    """What a policy whose price steers itself was made of, and that price."""

    planner: Planner
    price_s: Callable[[], float]
    max_extra_wait: float
    baseline: Policy
    prices_s: Sequence[float]


def price_in_force(policy: Policy) -> float | None:
    """Seconds of waiting that a kWh is worth now under a policy that `steered` made, None under any other."""
    steering: _Steered | None = getattr(policy, AT_PRICE, None)
    return None if steering is None else steering.price_s()


def at_price(policy: Policy, price_s: float | None) -> Policy:
    """What a policy that `steered` made does at this price, for those who look ahead; any other as it is."""
    steering: _Steered | None = getattr(policy, AT_PRICE, None)
    return policy if steering is None or price_s is None else steering.planner(price_s)


def steered_around(policy: Policy, wrap: Wrap, *, limits: bool = False) -> Policy:
    """`wrap(policy)`, where a price that steers itself does so around what wraps, and so sees the whole queue.

    `limits`: waits that this causes are meant, so that the baseline is wrapped too.
    """
    steering: _Steered | None = getattr(policy, AT_PRICE, None)
    if steering is None:
        return wrap(policy)
    planner, baseline = steering.planner, steering.baseline
    against = wrap(baseline) if limits else baseline
    return steered(lambda price_s: wrap(planner(price_s)), steering.max_extra_wait, against, steering.prices_s)


@dataclass(slots=True, kw_only=True)
class _Steering:
    """The shadows, and what they have been told; `real_s` and `predicted_s` are of the jobs that have ended here.

    `waited_s` is the waiting of all jobs here so far, `queue` how many have waited since the last decision, `jobs` how
    many have come, `looked` how many were known when `price` was found.
    """

    cluster: Cluster
    planner: Planner
    baseline: ShadowRun
    priced: dict[float, ShadowRun]
    at_s: float
    known: set[str] = field(default_factory=set)
    running: dict[str, Active] = field(default_factory=dict)
    real_s: float = 0.0
    predicted_s: float = 0.0
    queue: int = 0
    waited_s: float = 0.0
    jobs: int = 0
    price: float = FIRST_S
    looked: int = 0

    @classmethod
    def of(cls, cluster: Cluster, baseline: Policy, planner: Planner, prices_s: Sequence[float]) -> "_Steering":
        """Begin with the jobs that run and wait now, in the shadows as here."""
        steering = cls(
            cluster=cluster,
            planner=planner,
            baseline=ShadowRun.beside(cluster, baseline),
            priced={price_s: ShadowRun.beside(cluster, planner(price_s)) for price_s in prices_s},
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
        return self.knows(cluster) and cluster.total == self.baseline.total

    def knows(self, cluster: Cluster) -> bool:
        """Whether this is the cluster as it was, later."""
        return cluster is self.cluster and cluster.now_s >= self.at_s

    def learn_from(self, before: "_Steering") -> None:
        """Count on from what was found on the GPUs that were there before."""
        before.look(self.cluster)
        self.waited_s, self.real_s, self.predicted_s = before.waited_s, before.real_s, before.predicted_s
        self.jobs, self.price = max(0, before.jobs - len(self.cluster.waiting)), before.price  # these come once more
        for shadow, shadow_before in zip(self.shadows(), before.shadows(), strict=True):
            shadow.waited_s = shadow_before.waited_s

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
        self.jobs += len(arrived)
        for shadow in self.shadows():
            shadow.longer = longer
            shadow.run_until(now_s, arrived)
        self.at_s = now_s

    def price_s(self, target: float) -> float:
        """Seconds of waiting that a kWh is worth now, found anew when a fifth of the queue has come since."""
        come, waiting = len(self.known) - self.looked, len(self.cluster.waiting)
        if come and (not self.looked or come * LOOKED_AT > waiting):
            self.price, self.looked = self._found_price_s(target), len(self.known)
        return self.price

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
