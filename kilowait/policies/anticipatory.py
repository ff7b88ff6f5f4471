"""Anticipatory: as patient, but plans are compared over futures that could be."""

import math
import zlib
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from kilowait.cluster import Cluster, Waiting
from kilowait.errors import InputError
from kilowait.policies.decisions import Decision, Policy, checked_weight
from kilowait.policies.futures import ArrivalModel, Futures
from kilowait.policies.patient import DEFAULT_CONGESTION, DEFAULT_WAIT_S_PER_KWH, expected_end_s
from kilowait.policies.profile import Profile, Reservation, start_all

DEFAULT_SCENARIOS = 32
DEFAULT_EFFORT = 2000
DEFAULT_HORIZON = 60
DEFAULT_AHEAD_S = 6 * 3600.0
DEFAULT_CLUSTERING = 0.5
DEFAULT_CLUSTER_S = 4 * 3600.0
"""Half of all arrivals are brought by another one, after four hours on average."""

BEYOND = 0.5
"""What is left of `congestion` where futures are planned: it stands for the jobs that come after them."""
MOST_ARRIVALS = 40
"""Arrivals in one future, the first ones."""
MOST_CHOICES = 8
"""Ways to start jobs that are compared over all futures."""
CHUNK = 8
"""Futures between two looks at whether all plans begin alike."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Arrays = tuple[Ints, Floats, Floats]
"""By job and type: thousandths of GPUs, seconds, and kWh; where a job may not run, kWh are inf."""


def anticipatory(
    *,
    wait_s_per_kwh: float = DEFAULT_WAIT_S_PER_KWH,
    congestion: float = DEFAULT_CONGESTION,
    error_sd: float = 0.0,
    scenarios: int = DEFAULT_SCENARIOS,
    ahead_s: float = DEFAULT_AHEAD_S,
    clustering: float = DEFAULT_CLUSTERING,
    cluster_s: float = DEFAULT_CLUSTER_S,
    effort: int = DEFAULT_EFFORT,
    horizon: int = DEFAULT_HORIZON,
    seed: int = 0,
) -> Policy:
    """A policy that minimises waiting plus priced energy as `patient` does, of jobs that are still to come as well.

    At every decision it draws `scenarios` futures of the next `ahead_s` seconds: arrivals from a self-exciting process
    (`clustering`, `cluster_s`, and as many a day as lately; see `futures`), and jobs like those submitted last. For
    each, waiting and future jobs are planned together as if that future were known, by patient's search over the order
    of jobs (`effort` / n insertions for n jobs). The different ways in which these plans, and patient's own, begin are
    then compared: each is carried out in every future, with the best plan behind it in which the jobs that it holds
    start no sooner than the next event, and the one with the least mean cost is taken. The cost of a job is

    (s_ij - r_i) + BEYOND * congestion * n * a_ij * t_ij / N_j + wait_s_per_kwh * e_ij

    in seconds: s_ij is its start, r_i now or its arrival, and the middle term, only of jobs that wait already, is
    patient's for the jobs that come later than the futures go. `error_sd` is patient's too. Only the `horizon` waiting jobs of the least GPU-seconds are planned. Plans behind a choice know their future, which makes
    holding a job look better than it is; the effect is small where decisions are many.

    Sources: Chang, Givan and Chong, "On-line scheduling via sampling", AIPS 2000, on hindsight plans of sampled
    arrivals; Bent and Van Hentenryck, "Scenario-based planning for partially dynamic vehicle routing with stochastic
    customers", Operations Research 52(6), 2004, on choosing by all of them. The same state gives the same decisions.
    The first decision loads compiled code, seconds once a machine. Raises InputError for a weight that is negative or
    not finite, for `clustering` of 1 or more, and for counts below 1.
    """
    price = checked_weight("wait_s_per_kwh", wait_s_per_kwh)
    checked_weight("congestion", congestion)
    checked_weight("error_sd", error_sd)
    for name, count in (("scenarios", scenarios), ("effort", effort), ("horizon", horizon)):
        if count < 1:
            raise InputError(f"{name} must be >= 1, got {count!r}")
    arrivals = _arrival_model(clustering, cluster_s, ahead_s)
    moves = np.array([0, 0, *(min(effort // n, n * n) for n in range(2, horizon + MOST_ARRIVALS + 1))])

    def anticipatory(cluster: Cluster) -> list[Decision]:
        room = cluster.room()
        if not room or not any(room.fitting(waiting) for waiting in cluster.queue()):
            return []
        queue = sorted(cluster.queue(), key=_least_area)[:horizon]
        profile = Profile(
            cluster, partial(expected_end_s, now_s=cluster.now_s, error_sd=error_sd) if error_sd else None
        )
        chosen = _decide(cluster, profile, queue, price, congestion, arrivals, scenarios, moves, seed)
        return start_all(chosen, cluster, room)

    return anticipatory


def _arrival_model(clustering: float, cluster_s: float, ahead_s: float) -> ArrivalModel:
    if not 0 <= clustering < 1:
        raise InputError(f"clustering must be >= 0 and < 1, got {clustering!r}: else bursts would never end")
    for name, seconds in (("cluster_s", cluster_s), ("ahead_s", ahead_s)):
        if not (math.isfinite(seconds) and seconds > 0):
            raise InputError(f"{name} must be finite and > 0 seconds, got {seconds!r}")
    return ArrivalModel(clustering=clustering, cluster_s=cluster_s, ahead_s=ahead_s, most=MOST_ARRIVALS)


def _least_area(waiting: Waiting) -> float:
    return min(waiting.job.milli_on(t) * waiting.predictions[t].runtime_s for t in waiting.gpus)


def _decide(
    cluster: Cluster,
    profile: Profile,
    queue: Sequence[Waiting],
    price: float,
    congestion: float,
    arrivals: ArrivalModel,
    scenarios: int,
    moves: Ints,
    seed: int,
) -> list[Reservation]:
    """What starts now, in the order of the queue given."""
    from kilowait.policies.lookahead_kernels import NONE, decide  # compiles or loads, and every command imports this

    now_s, types = cluster.now_s, tuple(cluster.total)
    known = list(cluster.recent.jobs)
    drawn = zlib.crc32(f"{seed}/{now_s}/{len(cluster.waiting)}".encode())
    futures = arrivals.draw(
        np.array([k.job.submit_s for k in known]), now_s, scenarios, np.random.default_rng(drawn)
    )
    milli, runtime_s, energy_kwh = arrays(queue, types)
    totals = np.array([max(1, cluster.total[t]) for t in types])
    caused_s = congestion * len(cluster.waiting) * milli / 1000 * runtime_s / totals
    past = arrays(known, types)
    jobs = _with_space(now_s, milli, runtime_s, extra(price * energy_kwh + BEYOND * caused_s), futures)
    packed, ends_s = _packed(profile, types, 2 * len(jobs[0]) + 2)
    chosen = decide(
        now_s,
        ends_s if cluster.active else math.inf,
        packed,
        (_like(packed), _like(packed)),
        jobs,
        extra(caused_s + price * energy_kwh),
        (past[0], past[1], extra(price * past[2])),
        futures.counts,
        futures.arrive_s,
        futures.like,
        CHUNK,
        MOST_CHOICES,
        moves,
        drawn,
    )
    return [
        Reservation(
            job_id=w.job.job_id,
            gpu_type=types[j],
            milli=int(milli[i, j]),
            start_s=now_s,
            end_s=now_s + float(runtime_s[i, j]),
        )
        for i, (w, j) in enumerate(zip(queue, chosen.tolist(), strict=True))
        if j != NONE
    ]


def arrays(jobs: Sequence[Waiting], types: Sequence[str]) -> Arrays:
    """What the jobs (n) take on the types (T): thousandths, seconds and kWh, each (n, T)."""
    shape = len(jobs), len(types)
    milli, runtime_s, energy_kwh = np.ones(shape, np.int64), np.ones(shape), np.full(shape, np.inf)
    for i, waiting in enumerate(jobs):
        for j, gpu_type in enumerate(types):
            if gpu_type in waiting.gpus:
                seen = waiting.predictions[gpu_type]
                milli[i, j] = waiting.job.milli_on(gpu_type)
                runtime_s[i, j], energy_kwh[i, j] = seen.runtime_s, seen.energy_kwh
    return milli, runtime_s, energy_kwh


def extra(price_s: Floats) -> Floats:
    """What each type (n, T) costs above the job's cheapest, in seconds; inf where it may not run."""
    return price_s - price_s.min(axis=1, keepdims=True)


def _with_space(now_s: float, milli: Ints, runtime_s: Floats, extra_s: Floats, futures: Futures) -> tuple[Floats, Ints, Floats, Floats]:
    """The waiting jobs' arrays, with their times of release and room behind them for one future's jobs."""
    n, rows = len(milli), len(milli) + futures.arrive_s.shape[1]

    def longer(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        out = np.zeros((rows, array.shape[1]), array.dtype)
        out[:n] = array
        return out

    return np.full(rows, now_s), longer(milli), longer(runtime_s), longer(extra_s)


def _packed(profile: Profile, types: Sequence[str], more: int) -> tuple[tuple[Floats, Ints, Ints], float]:
    """The profile as arrays with room for `more` steps a type, and when it first changes after now, inf if never."""
    steps = [profile.steps(gpu_type) for gpu_type in types]
    counts = np.array([len(times) for times, _ in steps])
    times_s = np.full((len(types), int(counts.max()) + more), np.inf)
    free = np.zeros(times_s.shape, np.int64)
    for j, (times, left) in enumerate(steps):
        times_s[j, : counts[j]], free[j, : counts[j]] = times, left
    return (times_s, free, counts), float(times_s[:, 1].min())


def _like(profile: tuple[Floats, Ints, Ints]) -> tuple[Floats, Ints, Ints]:
    return np.empty_like(profile[0]), np.empty_like(profile[1]), np.empty_like(profile[2])
