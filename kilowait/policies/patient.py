"""Patient: a job may wait for a greener type when the energy it saves is worth the wait that is predicted."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from kilowait.cluster.overrun import estimated_end_s
from kilowait.cluster.standing import Active, Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.units import WHOLE
from kilowait.policies.decisions import Decision, Policy, checked_count, checked_weight
from kilowait.policies.parameters import Parameter, part, whole
from kilowait.policies.planning.compiled_plans import cheapest_reservations, pays, random_moves
from kilowait.policies.planning.profile import Profile, Reservation
from kilowait.policies.planning.starting import Ready, start_planned
from kilowait.policies.rule import Rule
from kilowait.policies.steering.steered import congestion_at, steered

DEFAULT_WAIT_S_PER_KWH = 1500.0
"""A kWh saved is worth 25 minutes of one job's waiting."""
DEFAULT_CONGESTION = 0.3
DEFAULT_EFFORT = 1000
DEFAULT_HORIZON = 200


NOBODY_IS_LATE: Ready = {}


class Prices(NamedTuple):
    """Seconds of waiting that a kWh and the occupation of GPUs are worth."""

    wait_s_per_kwh: float
    congestion: float


class TypeChoice(NamedTuple):
    """A type that a waiting job may use. `extra_s` is what energy and occupation cost above the job's cheapest type.

    `milli` counts thousandths of GPUs. It does not start before `ready_s`, when its boards lie as it needs them.
    """

    job_id: str
    gpu_type: str
    milli: int
    runtime_s: float
    extra_s: float
    ready_s: float = 0.0


class Candidate(NamedTuple):
    """A waiting job: the least GPU-seconds it can take, and its options, cheapest first."""

    area_gpu_s: float
    options: list[TypeChoice]


class Plan(NamedTuple):
    """Jobs with their starts in seconds, in the order planned; the cost counts waits and extra costs."""

    cost_s: float
    starts: list[tuple[float, TypeChoice]]


def patient(
    *,
    wait_s_per_kwh: float = DEFAULT_WAIT_S_PER_KWH,
    max_extra_wait: float | None = None,
    congestion: float = DEFAULT_CONGESTION,
    error_sd: float = 0.0,
    effort: int = DEFAULT_EFFORT,
    horizon: int = DEFAULT_HORIZON,
    seed: int = 0,
) -> Policy:
    """A policy that plans the queue anew at every decision and starts the jobs whose plan begins now.

    A plan takes the waiting jobs in some order, and gives job i the type j and the earliest start s_ij among the
    GPUs that running jobs (by their expected ends) and the jobs planned before it leave, with the least

    (s_ij - now) + congestion * n * a_ij * t_ij / N_j + wait_s_per_kwh * e_ij

    in seconds: its own wait, the wait it causes to jobs that are still to come (n jobs wait, it takes a_ij of the
    type's N_j GPUs for t_ij), and its energy. So a job may be held for a busy type, and others pass it where they do
    not delay its start. The plan with the least sum counts. The first order is by the smallest a_ij * t_ij,
    as shortest-job-first; then jobs are taken out at random and put in elsewhere, `effort` / n times but not more
    than n * n, and a move that costs nothing is kept. Only the first `horizon` jobs of an order are planned; large
    jobs can wait long while small ones come. `error_sd` says how wrong run times are predicted, see `expected_end_s`.

    `wait_s_per_kwh` selects the point between least waiting and least energy; with `max_extra_wait` it steers itself,
    so that all jobs together wait at most that share longer than under Value (`kilowait.policies.steering`). Expected
    waits price a type as in list scheduling on unrelated machines (Graham et al., Annals of Discrete Mathematics 5,
    1979); the search is the insertion neighbourhood of Taillard (European Journal of Operational Research 47, 1990).
    The same state gives the same decisions. Raises InputError for a weight that is negative or not finite and for less
    than one effort or job.
    """
    prices = Prices(checked_weight("wait_s_per_kwh", wait_s_per_kwh), checked_weight("congestion", congestion))
    checked_weight("error_sd", error_sd)
    checked_count("effort", effort), checked_count("horizon", horizon)

    if max_extra_wait is not None:
        search = {"congestion": congestion, "error_sd": error_sd, "effort": effort, "horizon": horizon, "seed": seed}
        return steered(partial(_at_price, search), max_extra_wait)

    def patient(cluster: Cluster) -> list[Decision]:
        room = cluster.room()
        if not room or not cluster.by_area().fits_any(room):
            return []
        rule, jobs = error_rule(cluster.now_s, error_sd), min(horizon, len(cluster.waiting))
        moves = _moves(jobs, effort)
        if pays(jobs * (1 + moves) * len(cluster.total)):
            rows, crowd = cluster.by_area().rows(jobs), prices.congestion * len(cluster.waiting)

            def compiled(ready: Ready) -> Iterator[Reservation]:
                drawn = random_moves(jobs, moves, _rng(cluster, seed))
                return cheapest_reservations(cluster, rule, rows, crowd, prices.wait_s_per_kwh, drawn, ready)

            return start_planned(cluster, room, compiled)
        profile = Profile(cluster, rule)

        def planned(ready: Ready) -> Iterator[Reservation]:
            queue = [candidate(cluster, waiting, *prices, ready) for waiting in cluster.by_area().first(horizon)]
            return (reservation(*start) for start in cheapest_plan(cluster, profile, queue, effort, seed).starts)

        return start_planned(cluster, room, planned)

    return patient


def _at_price(search: dict[str, Any], wait_s_per_kwh: float) -> Policy:
    congestion = congestion_at(wait_s_per_kwh, search["congestion"])
    return patient(wait_s_per_kwh=wait_s_per_kwh, **{**search, "congestion": congestion})


def expected_end_s(active: Active, now_s: float, error_sd: float) -> float:
    """When a running job is expected to end, given that it has not ended yet; always after now.

    With `error_sd` > 0 the logarithm of its run time is normal about the predicted one with that standard deviation,
    whatever its interval says: the end is the mean of what is left of that distribution. With 0 it is the estimate of
    all planners (`kilowait.cluster.overrun`): as predicted, and renewed once that has passed.
    """
    if not error_sd:
        return estimated_end_s(active, now_s)
    predicted_s, elapsed_s = active.predictions[active.gpu_type].runtime_s, now_s - active.placed_s
    errors = math.log(elapsed_s / predicted_s) / error_sd if elapsed_s > 0 else -math.inf
    still_running = math.erfc(errors / math.sqrt(2))
    if still_running < 1e-9:  # far out in the tail the ratio below would lose its digits
        return now_s + elapsed_s
    mean_s = predicted_s * math.exp(error_sd**2 / 2) * math.erfc((errors - error_sd) / math.sqrt(2)) / still_running
    end_s = active.placed_s + mean_s
    return end_s if end_s > now_s else estimated_end_s(active, now_s)


def error_rule(now_s: float, error_sd: float) -> Callable[[Active], float] | None:
    """By which rule a profile takes running jobs to end, None for the estimate of all planners."""
    return partial(expected_end_s, now_s=now_s, error_sd=error_sd) if error_sd else None


def candidate(
    cluster: Cluster, waiting: Waiting, wait_s_per_kwh: float, congestion: float, ready: Ready = NOBODY_IS_LATE
) -> Candidate:
    """A waiting job with the price of each of its types in seconds of waiting; ties to the more powerful type."""
    priced = []
    for gpu_type in cluster.options(waiting):
        prediction, gpus = waiting.predictions[gpu_type], waiting.job.amount_on(gpu_type)
        caused_s = congestion * len(cluster.waiting) * gpus * prediction.runtime_s / cluster.total[gpu_type]
        price_s = caused_s + wait_s_per_kwh * prediction.energy_kwh
        job_id, milli = waiting.job.job_id, waiting.job.milli_on(gpu_type)
        ready_s = ready.get((job_id, gpu_type), 0.0) if ready else 0.0
        priced.append(TypeChoice(job_id, gpu_type, milli, prediction.runtime_s, price_s, ready_s))
    least_s = min(option.extra_s for option in priced)
    options = [option._replace(extra_s=option.extra_s - least_s) for option in priced]
    options.sort(key=lambda option: option.extra_s)
    return Candidate(min(option.milli / WHOLE * option.runtime_s for option in options), options)


def cheapest_plan(cluster: Cluster, profile: Profile, queue: Sequence[Candidate], effort: int, seed: int) -> Plan:
    """The plan of the least cost that the search finds for these waiting jobs, on the GPUs that `profile` leaves."""
    order = sorted(queue, key=lambda candidate: candidate.area_gpu_s)
    return _search(profile, order, cluster.now_s, _moves(len(order), effort), _rng(cluster, seed))


def _rng(cluster: Cluster, seed: int) -> random.Random:
    return random.Random(f"{seed}/{cluster.now_s}/{len(cluster.waiting)}")


def _moves(jobs: int, effort: int) -> int:
    """How many insertions are tried: each plans all the jobs again, and there are about jobs * jobs of them."""
    return min(effort // jobs, jobs * jobs) if jobs > 1 else 0


def _search(profile: Profile, order: list[Candidate], now_s: float, moves: int, rng: random.Random) -> Plan:
    """The plan of `order`, bettered by `moves` random insertions."""
    best = plan(profile.copy(), order, now_s)
    assert best is not None  # nothing costs more than infinity
    for _ in range(moves):
        if not best.cost_s:
            break
        moved_order = order.copy()
        moved_order.insert(int(rng.random() * len(order)), moved_order.pop(int(rng.random() * len(order))))
        moved_plan = plan(profile.copy(), moved_order, now_s, best.cost_s)
        if moved_plan is not None:
            best, order = moved_plan, moved_order
    return best


def plan(profile: Profile, order: Sequence[Candidate], now_s: float, limit_s: float = math.inf) -> Plan | None:
    """Reserve for every job of `order` in turn what costs it least; None where that costs more than `limit_s`.

    Jobs for which there is no time are left out.
    """
    cost_s, starts = 0.0, []
    for candidate in order:
        least_s, best = math.inf, None
        for option in candidate.options:
            if option.extra_s >= least_s:  # even at once it would cost as much, and so would those behind it
                break
            start_s = profile.earliest_s(option.gpu_type, option.milli, option.runtime_s, option.ready_s)
            if start_s - now_s + option.extra_s < least_s:
                least_s, best = start_s - now_s + option.extra_s, (start_s, option)
        if best is None:  # where others hold GPUs it may fit nowhere, and nobody knows until when
            continue
        cost_s += least_s
        if cost_s > limit_s:
            return None
        start_s, option = best
        profile.take(option.gpu_type, option.milli, start_s, start_s + option.runtime_s)
        starts.append(best)
    return Plan(cost_s, starts)


def reservation(start_s: float, option: TypeChoice) -> Reservation:
    """What a plan has reserved for a job."""
    return Reservation(
        job_id=option.job_id,
        gpu_type=option.gpu_type,
        milli=option.milli,
        start_s=start_s,
        end_s=start_s + option.runtime_s,
    )


WAIT_S_PER_KWH = Parameter(
    name="wait_s_per_kwh",
    sentence="seconds of a job's waiting that a kWh is worth",
    unit="s / kWh",
    default=DEFAULT_WAIT_S_PER_KWH,
    metavar="S",
)
MAX_EXTRA_WAIT = Parameter(
    name="max_extra_wait",
    sentence="instead of a price, by how much longer than under value all jobs together may wait, as 0% or 5%: the "
    "price steers itself by shadow runs on the same arrivals",
    read=part,
    metavar="P%",
    instead_of="wait_s_per_kwh",
)
CONGESTION = Parameter(
    name="congestion",
    sentence="seconds of waiting that a second of the whole type's occupation costs each job that waits",
    default=DEFAULT_CONGESTION,
    option=False,
)
ERROR_SD = Parameter(
    name="error_sd",
    sentence="standard deviation of log(predicted / true run time)",
    default=0.0,
    default_means="ends as predicted, renewed for jobs that overrun",
    metavar="SD",
)
SEED = Parameter(name="seed", sentence="of the search's random moves", default=0, read=whole, option=False)

RULE = Rule(
    name="patient",
    sentence="the queue is planned; a job waits for a greener type where a saved kWh is worth the wait",
    make=patient,
    parameters=(
        WAIT_S_PER_KWH,
        MAX_EXTRA_WAIT,
        CONGESTION,
        ERROR_SD,
        Parameter(
            name="effort",
            sentence="insertions that the search tries, shared among the waiting jobs",
            default=DEFAULT_EFFORT,
            read=whole,
            option=False,
        ),
        Parameter(
            name="horizon",
            sentence="waiting jobs that are planned at most",
            unit="jobs",
            default=DEFAULT_HORIZON,
            read=whole,
            option=False,
        ),
        SEED,
    ),
    place=90,
)
