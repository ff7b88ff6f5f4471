"""Patient: a job may wait for a greener type when the energy it saves is worth the wait that is predicted."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kilowait.boards import WHOLE
from kilowait.cluster import Cluster, Waiting
from kilowait.errors import InputError
from kilowait.policies.decisions import Decision, Policy, checked_weight
from kilowait.policies.profile import Profile, Reservation, start_now

DEFAULT_WAIT_S_PER_KWH = 1000.0
"""A kWh saved is worth 17 minutes of one job's waiting."""
DEFAULT_CONGESTION = 0.3
SPREAD = 0.5
"""Standard deviation of the noise on the logarithm of a job's area in all orders but the first."""


Candidate = tuple[Waiting, tuple[str, ...]]
"""A waiting job and the types it may use, looked up once a decision."""


class _Plan(NamedTuple):
    cost_s: float
    reservations: list[Reservation]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prices:
    """Seconds of waiting that a kWh and the occupation of GPUs are worth."""

    wait_s_per_kwh: float
    congestion: float


def patient(
    *,
    wait_s_per_kwh: float = DEFAULT_WAIT_S_PER_KWH,
    congestion: float = DEFAULT_CONGESTION,
    tries: int = 8,
    horizon: int = 200,
    seed: int = 0,
) -> Policy:
    """A policy that plans the queue anew at every decision and starts the jobs whose plan begins now.

    A plan takes the waiting jobs in some order, and gives job i the type j and the earliest start s_ij among the
    GPUs that running jobs (by their predicted ends) and the jobs planned before it leave, with the least

    (s_ij - now) + congestion * n * a_ij * t_ij / N_j + wait_s_per_kwh * e_ij

    in seconds: its own wait, the wait it causes (n jobs wait, it takes a_ij of the type's N_j GPUs for t_ij), and
    its energy. So a job may be held for a busy type, and others pass it where they do not delay its start. The
    first order is by the smallest a_ij * t_ij, as shortest-job-first; up to `tries` orders are drawn around it and
    the plan with the least sum of waits and priced energy counts. Only the first `horizon` jobs of an order are
    planned; large jobs can wait long while small ones come.

    Expected waits price a type as in list scheduling on unrelated machines (Graham et al., Annals of Discrete
    Mathematics 5, 1979); the search over orders is random restarts. The same state gives the same decisions.
    Raises InputError for a weight that is negative or not finite and for fewer than one try or job.
    """
    prices = _Prices(
        wait_s_per_kwh=checked_weight("wait_s_per_kwh", wait_s_per_kwh),
        congestion=checked_weight("congestion", congestion),
    )
    for name, count in (("tries", tries), ("horizon", horizon)):
        if count < 1:
            raise InputError(f"{name} must be >= 1, got {count!r}")

    def patient(cluster: Cluster) -> list[Decision]:
        if not cluster.waiting or not cluster.room():
            return []
        rng = random.Random(f"{seed}/{cluster.now_s}/{len(cluster.waiting)}")
        now, room = Profile(cluster), cluster.room()
        queue = [(waiting, cluster.options(waiting)) for waiting in cluster.queue()]
        plans = (_plan(cluster, now.copy(), order, prices) for order in _orders(queue, tries, horizon, rng))
        best = min(plans, key=lambda plan: plan.cost_s)
        starts = (start_now(planned, cluster, room) for planned in best.reservations)
        return [start for start in starts if start is not None]

    return patient


def _orders(queue: Sequence[Candidate], tries: int, horizon: int, rng: random.Random) -> Iterator[Sequence[Candidate]]:
    """Waiting jobs by their area, then by areas with noise on them; one job has one order."""
    areas = [math.log(_area(*candidate)) for candidate in queue]
    for attempt in range(tries if len(queue) > 1 else 1):
        noisy = [area + (rng.gauss(0, SPREAD) if attempt else 0.0) for area in areas]
        yield [queue[i] for i in sorted(range(len(queue)), key=noisy.__getitem__)[:horizon]]


def _area(waiting: Waiting, options: Sequence[str]) -> float:
    """The least GPU-seconds a job can take."""
    areas = (waiting.job.amount_on(t) * waiting.predictions[t].runtime_s for t in options)
    return max(min(areas), 1e-9)


def _plan(cluster: Cluster, profile: Profile, order: Sequence[Candidate], prices: _Prices) -> _Plan:
    """Reserve for every job of `order` in turn what costs it least, ties to the more powerful type."""
    cost_s, taken = 0.0, []
    for waiting, options in order:
        choices = [profile.earliest(waiting, gpu_type) for gpu_type in options]
        best = min(choices, key=lambda choice: _price_s(cluster, waiting, choice, prices))
        profile.reserve(best)
        taken.append(best)
        energy_kwh = waiting.predictions[best.gpu_type].energy_kwh
        cost_s += best.start_s - cluster.now_s + prices.wait_s_per_kwh * energy_kwh
    return _Plan(cost_s, taken)


def _price_s(cluster: Cluster, waiting: Waiting, choice: Reservation, prices: _Prices) -> float:
    share = choice.milli / (WHOLE * cluster.total[choice.gpu_type])
    caused_s = prices.congestion * len(cluster.waiting) * share * (choice.end_s - choice.start_s)
    energy_s = prices.wait_s_per_kwh * waiting.predictions[choice.gpu_type].energy_kwh
    return choice.start_s - cluster.now_s + caused_s + energy_s
