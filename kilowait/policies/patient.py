"""Patient: a job may wait for a greener type when the energy it saves is worth the wait that is predicted."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


class Plan(NamedTuple):
    """A reservation for every job of an order, and the sum of their waits from now on and their priced energy."""

    cost_s: float
    reservations: list[Reservation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Seconds of waiting that a kWh and the occupation of GPUs are worth."""

    wait_s_per_kwh: float
    congestion: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Orders tried, jobs planned of each, and where the noise on the orders begins."""

    tries: int = 8
    horizon: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("tries", "horizon"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be >= 1, got {getattr(self, name)!r}")


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
    prices = Prices(
        wait_s_per_kwh=checked_weight("wait_s_per_kwh", wait_s_per_kwh),
        congestion=checked_weight("congestion", congestion),
    )
    search = Search(tries=tries, horizon=horizon, seed=seed)

    def patient(cluster: Cluster) -> list[Decision]:
        if not cluster.waiting or not any(cluster.free.values()):
            return []
        free = dict(cluster.free)
        best = cheapest_plan(cluster, Profile(cluster), prices, search)
        starts = (start_now(planned, cluster.now_s, free) for planned in best.reservations)
        return [start for start in starts if start is not None]

    return patient


def cheapest_plan(cluster: Cluster, now: Profile, prices: Prices, search: Search) -> Plan:
    """The plan of the least cost over several orders of the waiting jobs, on the GPUs that `now` leaves."""
    rng = random.Random(f"{search.seed}/{cluster.now_s}/{len(cluster.waiting)}")
    queue = [(waiting, cluster.options(waiting)) for waiting in cluster.queue()]
    orders = _orders(queue, search, rng)
    return min((plan(cluster, now.copy(), order, prices) for order in orders), key=lambda found: found.cost_s)


def _orders(queue: Sequence[Candidate], search: Search, rng: random.Random) -> Iterator[Sequence[Candidate]]:
    """Waiting jobs by their area, then by areas with noise on them; one job has one order."""
    areas = [math.log(_area(*candidate)) for candidate in queue]
    for attempt in range(search.tries if len(queue) > 1 else 1):
        noisy = [area + (rng.gauss(0, SPREAD) if attempt else 0.0) for area in areas]
        yield [queue[i] for i in sorted(range(len(queue)), key=noisy.__getitem__)[: search.horizon]]


def _area(waiting: Waiting, options: Sequence[str]) -> float:
    """The least GPU-seconds a job can take."""
    areas = (waiting.job.gpus_on(t) * waiting.predictions[t].runtime_s for t in options)
    return max(min(areas), 1e-9)


def plan(cluster: Cluster, profile: Profile, order: Sequence[Candidate], prices: Prices) -> Plan:
    """Reserve for every job of `order` in turn what costs it least, ties to the more powerful type."""
    cost_s, taken = 0.0, []
    for waiting, options in order:
        choices = [profile.earliest(waiting, gpu_type) for gpu_type in options]
        best = min(choices, key=lambda choice: _price_s(cluster, waiting, choice, prices))
        profile.reserve(best)
        taken.append(best)
        energy_kwh = waiting.predictions[best.gpu_type].energy_kwh
        cost_s += best.start_s - cluster.now_s + prices.wait_s_per_kwh * energy_kwh
    return Plan(cost_s, taken)


def _price_s(cluster: Cluster, waiting: Waiting, choice: Reservation, prices: Prices) -> float:
    share = choice.gpus / cluster.total[choice.gpu_type]
    caused_s = prices.congestion * len(cluster.waiting) * share * (choice.end_s - choice.start_s)
    energy_s = prices.wait_s_per_kwh * waiting.predictions[choice.gpu_type].energy_kwh
    return choice.start_s - cluster.now_s + caused_s + energy_s
