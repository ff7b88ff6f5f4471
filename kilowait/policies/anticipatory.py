"""Anticipatory: as patient, but plans are compared over futures that could be."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import structs

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.arrays import IntArray
from kilowait.core.errors import InputError
from kilowait.core.units import HOUR_S, WHOLE
from kilowait.policies.decisions import Decision, Policy, checked_count, checked_weight
from kilowait.policies.parameters import Parameter, whole
from kilowait.policies.patient import (
    CONGESTION,
    DEFAULT_CONGESTION,
    DEFAULT_WAIT_S_PER_KWH,
    ERROR_SD,
    SEED,
    WAIT_S_PER_KWH,
    candidate,
    error_rule,
    plan,
    reservation,
)
from kilowait.policies.planning.futures import ArrivalModel
from kilowait.policies.planning.packing import JobRows, by_price, extra, longer, packed
from kilowait.policies.planning.profile import Profile, Reservation
from kilowait.policies.planning.starting import Ready, start_planned
from kilowait.policies.rule import Rule

DEFAULT_SCENARIOS = 32
DEFAULT_EFFORT = 2000
DEFAULT_HORIZON = 60
DEFAULT_AHEAD_S = 6 * HOUR_S
DEFAULT_CLUSTERING = 0.5
DEFAULT_CLUSTER_S = 4 * HOUR_S
"""Half of all arrivals are brought by another one, after four hours on average."""

BEYOND = 0.5
"""What is left of `congestion` where futures are planned: for the jobs that come after them."""
MOST_ARRIVALS = 40
"""Arrivals in one future, the first ones."""
MOST_CHOICES = 8
"""Ways to start jobs that are compared over all futures."""
DEFAULT_BUDGET = 500_000  # enough for all futures of two types
FEWEST_SCENARIOS = 4
CHUNK = 8
"""Futures between two looks at whether all plans begin alike."""
COST = 12
"""How many times as long as patient it takes to decide for twenty jobs (measured)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnticipatorySettings:
    """The settings of a policy; `moves[n]` are the insertions tried for n jobs, `rows` the jobs that wait and came."""

    wait_s_per_kwh: float
    congestion: float
    scenarios: int
    arrivals: ArrivalModel
    moves: IntArray
    budget: int
    seed: int
    rows: tuple[JobRows, JobRows]

    def affordable(self, waiting: int, types: int) -> int:
        """How many futures are looked at, so that what they may price lies within the budget."""
        jobs = waiting + self.arrivals.most
        plans = 2 + int(self.moves[jobs]) + MOST_CHOICES * (2 + int(self.moves[jobs]) // 4)
        return max(min(FEWEST_SCENARIOS, self.scenarios), min(self.scenarios, self.budget // (jobs * types * plans)))


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
    budget: int = DEFAULT_BUDGET,
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
    patient's, for the jobs that come later than the futures go. `error_sd` is patient's too. Only `horizon` waiting
    jobs are planned, those that fit now before others, of each the ones of the least GPU-seconds. Plans behind a choice
    know their future, which makes holding a job look better than it is. `budget` bounds the options priced, a job on a
    type each: with many types fewer futures are drawn, though not below 4.

    Sources: Chang, Givan and Chong, "On-line scheduling via sampling", AIPS 2000, on hindsight plans of sampled
    arrivals; Bent and Van Hentenryck, "Scenario-based planning for partially dynamic vehicle routing with stochastic
    customers", Operations Research 52(6), 2004, on choosing by all of them. The same state gives the same decisions.
    The first decision loads compiled code, seconds once a machine. Raises InputError for a weight that is negative or
    not finite, for `clustering` of 1 or more, and for counts below 1.
    """
    for name, weight in (("wait_s_per_kwh", wait_s_per_kwh), ("congestion", congestion), ("error_sd", error_sd)):
        checked_weight(name, weight)
    for name, count in (("scenarios", scenarios), ("effort", effort), ("horizon", horizon), ("budget", budget)):
        checked_count(name, count)
    settings = AnticipatorySettings(
        wait_s_per_kwh=wait_s_per_kwh,
        congestion=congestion,
        scenarios=scenarios,
        arrivals=_arrival_model(clustering, cluster_s, ahead_s),
        moves=np.array([0, 0, *(min(effort // n, n * n) for n in range(2, horizon + MOST_ARRIVALS + 1))]),
        budget=budget,
        seed=seed,
        rows=(JobRows(), JobRows()),
    )

    def anticipatory(cluster: Cluster) -> list[Decision]:
        room = cluster.room()
        if not room or not cluster.by_area().fits_any(room):
            return []
        queue = cluster.by_area().fitting_first(room, horizon)
        profile = Profile(cluster, error_rule(cluster.now_s, error_sd))

        def planned(ready: Ready) -> Sequence[Reservation]:
            open_to, late = _settled(cluster, profile, queue, settings, ready)
            left = profile.copy()
            for reserved in late:
                left.reserve(reserved)
            return [*late, *(_decide(cluster, left, open_to, settings) if open_to else ())]

        return start_planned(cluster, room, planned)

    return anticipatory


def _arrival_model(clustering: float, cluster_s: float, ahead_s: float) -> ArrivalModel:
    if not 0 <= clustering < 1:
        raise InputError(f"clustering must be >= 0 and < 1, got {clustering!r}: else bursts would never end")
    for name, seconds in (("cluster_s", cluster_s), ("ahead_s", ahead_s)):
        if not (math.isfinite(seconds) and seconds > 0):
            raise InputError(f"{name} must be finite and > 0 seconds, got {seconds!r}")
    return ArrivalModel(clustering=clustering, cluster_s=cluster_s, ahead_s=ahead_s, most=MOST_ARRIVALS)


def _settled(
    cluster: Cluster,
    profile: Profile,
    queue: Sequence[Waiting],
    settings: AnticipatorySettings,
    ready: Ready,
) -> tuple[list[Waiting], list[Reservation]]:
    """The jobs to plan, and what is reserved for those whose boards are scattered now, by type.

    Such a job waits for its boards where that costs it least, as `patient` counts; else it is planned on other types.
    """
    open_to, late = list[Waiting](), list[Reservation]()
    for waiting in queue:
        ready_s = {t: ready[waiting.job.job_id, t] for t in waiting.gpus if (waiting.job.job_id, t) in ready}
        if not ready_s:
            open_to.append(waiting)
            continue
        alone = candidate(cluster, waiting, settings.wait_s_per_kwh, settings.congestion, ready)
        best = plan(profile.copy(), [alone], cluster.now_s)
        chosen = best.starts[0] if best and best.starts else None
        if chosen is not None and chosen[1].gpu_type in ready_s:
            late.append(reservation(*chosen))
        elif gpus := {t: count for t, count in waiting.gpus.items() if t not in ready_s}:
            open_to.append(structs.replace(waiting, gpus=gpus))
    return open_to, late


def _decide(
    cluster: Cluster, profile: Profile, queue: Sequence[Waiting], settings: AnticipatorySettings
) -> list[Reservation]:
    """What starts now, in the order of the queue given."""
    # These load compiled code, and every command imports the policies.
    from kilowait.policies.planning.lookahead_kernels import RecentJobs, decide
    from kilowait.policies.planning.plan_kernels import NONE, JobArrays, Steps

    now_s, types, price = float(cluster.now_s), tuple(cluster.total), settings.wait_s_per_kwh
    recent = [entry for entry in cluster.recent.jobs if any(gpus <= cluster.total[t] for t, gpus in entry.gpus.items())]
    recent = recent or sorted(queue, key=lambda waiting: waiting.place)  # since then nodes have left
    seed = zlib.crc32(f"{settings.seed}/{now_s}/{len(cluster.waiting)}".encode())
    arrived_s = np.array([entry.job.submit_s for entry in recent])
    futures = settings.arrivals.draw(
        arrived_s, now_s, settings.affordable(len(queue), len(types)), np.random.default_rng(seed)
    )
    milli, runtime_s, priced_s = settings.rows[0].arrays(queue, types, price)
    past_milli, past_s, past_priced_s = settings.rows[1].arrays(recent, types, price)
    totals = np.array([max(1, cluster.total[t]) for t in types])
    caused_s = settings.congestion * len(cluster.waiting) * milli / WHOLE * runtime_s / totals
    ahead = futures.arrive_s.shape[1]
    left_s, crowded_s = extra(priced_s + BEYOND * caused_s), extra(priced_s + caused_s)
    past_left_s = extra(past_priced_s)
    steps, next_end_s = packed(profile, types, 2 * (len(queue) + ahead) + 2)
    chosen = np.empty(len(queue), np.int64)
    decide(
        now_s,
        float(next_end_s) if cluster.active else math.inf,
        Steps(*steps),
        JobArrays(
            np.full(len(queue) + ahead, now_s),
            longer(milli, ahead),
            longer(runtime_s, ahead),
            longer(left_s, ahead),
            longer(by_price(left_s), ahead),
        ),
        crowded_s,
        by_price(crowded_s),
        RecentJobs(past_milli, past_s, past_left_s, by_price(past_left_s)),
        futures,
        CHUNK,
        MOST_CHOICES,
        settings.moves,
        seed,
        chosen,
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


RULE = Rule(
    name="anticipatory",
    sentence="as patient, but plans are compared over futures: jobs that are likely to come",
    make=anticipatory,
    parameters=(
        WAIT_S_PER_KWH,
        CONGESTION,
        ERROR_SD,
        Parameter(
            name="scenarios",
            sentence="futures that are drawn at every decision",
            default=DEFAULT_SCENARIOS,
            read=whole,
            option=False,
        ),
        Parameter(name="ahead_s", sentence="how far a future goes", unit="s", default=DEFAULT_AHEAD_S, option=False),
        Parameter(
            name="clustering",
            sentence="share of arrivals that an earlier one brings, below 1",
            default=DEFAULT_CLUSTERING,
            option=False,
        ),
        Parameter(
            name="cluster_s",
            sentence="mean seconds from an arrival to one that it brings",
            unit="s",
            default=DEFAULT_CLUSTER_S,
            option=False,
        ),
        Parameter(
            name="effort",
            sentence="insertions that the search tries for each future, shared among its jobs",
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
        Parameter(
            name="budget",
            sentence="options (a job on a type) that a decision may price: fewer futures where there are many types",
            default=DEFAULT_BUDGET,
            read=whole,
            option=False,
        ),
        SEED,
    ),
    cost=COST,
    place=100,
)
