"""MILP: as patient, but the jobs at the head of the plan are placed by an integer program."""

import math
from collections.abc import Iterable, Mapping, Sequence

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.core.units import WHOLE
from kilowait.policies.decisions import Decision, Policy, checked_weight
from kilowait.policies.parameters import Parameter, whole
from kilowait.policies.patient import (
    CONGESTION,
    DEFAULT_CONGESTION,
    DEFAULT_EFFORT,
    DEFAULT_WAIT_S_PER_KWH,
    WAIT_S_PER_KWH,
    Prices,
    candidate,
    cheapest_plan,
    plan,
    reservation,
)
from kilowait.policies.patient import DEFAULT_HORIZON as PLANNED
from kilowait.policies.planning.profile import Profile, Reservation
from kilowait.policies.planning.starting import Ready, start_planned
from kilowait.policies.planning.time_indexed import Column, SearchLimits, select
from kilowait.policies.rule import Rule

DEFAULT_HORIZON = 12
DEFAULT_NODES = 50
"""Nodes of one branch and bound; most decisions need one."""
DEFAULT_TIME_LIMIT_S = 60.0
MOST_STARTS = 32
"""Starts looked at on a type, the earliest ones."""
SAME = 1e-9
"""Share of a cost that is rounding."""


def milp(
    *,
    wait_s_per_kwh: float = DEFAULT_WAIT_S_PER_KWH,
    congestion: float = DEFAULT_CONGESTION,
    horizon: int = DEFAULT_HORIZON,
    nodes: int = DEFAULT_NODES,
    time_limit_s: float = DEFAULT_TIME_LIMIT_S,
) -> Policy:
    """A policy that minimises the waits and the priced energy of the first `horizon` waiting jobs at every decision:

    sum over jobs i of (s_ij - now) + congestion * a_ij * t_ij / N_j + wait_s_per_kwh * e_ij

    in seconds, for start s_ij and type j. It is patient's cost with n = 1: the program itself weighs the jobs that
    wait, and the middle term stands for one that is yet to come. Patient's plan of the whole queue is made first. Its
    first `horizon` jobs (by least GPU-seconds, with noise) are then placed by a time-indexed integer program over the
    GPUs that running jobs leave at their predicted ends. A job may start where the plan has it, now, when running jobs
    end, or when others of these jobs end that start at such moments (the `MOST_STARTS` earliest on each type).
    Jobs beyond the horizon are planned behind these as patient plans. Only what begins now is started: a rolling
    horizon (Baker, "An experimental study of the effectiveness of rolling schedules in production planning", Decision
    Sciences 8(1), 1977).

    The search ends after `nodes` nodes with the best that was found; where that is nothing, or costs no less than
    patient's plan, the plan stands. Nodes are counted alike on every machine, so the same state gives the same
    decisions. `time_limit_s` is only for a program that hangs: what it cuts short need not repeat. Raises InputError
    for a weight that is negative or not finite and for a horizon or a number of nodes below 1.
    """
    prices = Prices(
        wait_s_per_kwh=checked_weight("wait_s_per_kwh", wait_s_per_kwh),
        congestion=checked_weight("congestion", congestion),
    )
    for name, count in (("horizon", horizon), ("nodes", nodes)):
        if count < 1:
            raise InputError(f"{name} must be >= 1, got {count!r}")
    limits = SearchLimits(nodes=nodes, time_s=checked_weight("time_limit_s", time_limit_s))

    def milp(cluster: Cluster) -> list[Decision]:
        room = cluster.room()
        if not cluster.waiting or not room:
            return []

        def planned(ready: Ready) -> Sequence[Reservation]:
            profile = Profile(cluster)
            queue = {w.job.job_id: candidate(cluster, w, *prices, ready) for w in cluster.by_area().first(PLANNED)}
            starts = cheapest_plan(cluster, profile, list(queue.values()), DEFAULT_EFFORT, 0).starts
            first = [reservation(*start) for start in starts[:horizon]]
            head = _improved(cluster, profile, first, prices, limits, ready)
            for reserved in head:
                profile.reserve(reserved)
            later = plan(profile, [queue[option.job_id] for _, option in starts[horizon:]], cluster.now_s)
            return [*head, *(reservation(*start) for start in later.starts)] if later else head

        return start_planned(cluster, room, planned)

    return milp


def _improved(
    cluster: Cluster,
    profile: Profile,
    planned: Sequence[Reservation],
    prices: Prices,
    limits: SearchLimits,
    ready: Ready,
) -> Sequence[Reservation]:
    """The cheapest reservations that the program finds for the jobs of `planned`, or `planned` itself."""
    jobs = [cluster.waiting[reserved.job_id] for reserved in planned]
    planned_columns = [_column(cluster, w, r.gpu_type, r.start_s, prices) for w, r in zip(jobs, planned, strict=True)]
    planned_s = math.fsum(column.cost_s for column in planned_columns)
    alone_s = {w.job.job_id: _least_s(cluster, profile, w, prices) for w in jobs}
    gain_s = planned_s - math.fsum(alone_s.values())
    if gain_s <= SAME * planned_s:
        return planned
    starts = _starts(cluster, profile, jobs)
    offers = [_column(cluster, w, t, s, prices) for w in jobs for t in cluster.options(w) for s in starts[t]]
    useful = [
        c
        for c in offers
        if c.cost_s <= alone_s[c.job_id] + gain_s * (1 + SAME) and c.start_s >= ready.get((c.job_id, c.gpu_type), 0.0)
    ]
    cheapest = select(list(dict.fromkeys((*planned_columns, *useful))), profile.gpus_at, limits).columns
    if cheapest is None or math.fsum(column.cost_s for column in cheapest) >= planned_s:
        return planned
    return [_reservation(column) for column in sorted(cheapest, key=lambda column: column.start_s)]


def _column(cluster: Cluster, waiting: Waiting, gpu_type: str, start_s: float, prices: Prices) -> Column:
    prediction, gpus = waiting.predictions[gpu_type], waiting.job.amount_on(gpu_type)
    to_come_s = prices.congestion * gpus / cluster.total[gpu_type] * prediction.runtime_s
    return Column(
        job_id=waiting.job.job_id,
        gpu_type=gpu_type,
        gpus=gpus,
        start_s=start_s,
        held_from_s=start_s,
        held_until_s=start_s + prediction.runtime_s,
        cost_s=start_s - cluster.now_s + to_come_s + prices.wait_s_per_kwh * prediction.energy_kwh,
    )


def _reservation(column: Column) -> Reservation:
    return Reservation(
        job_id=column.job_id,
        gpu_type=column.gpu_type,
        milli=round(column.gpus * WHOLE),
        start_s=column.start_s,
        end_s=column.held_until_s,
    )


def _least_s(cluster: Cluster, profile: Profile, waiting: Waiting, prices: Prices) -> float:
    """What a job costs if no other waits."""
    choices = (profile.earliest(waiting, gpu_type) for gpu_type in cluster.options(waiting))
    return min(_column(cluster, waiting, c.gpu_type, c.start_s, prices).cost_s for c in choices)


def _starts(cluster: Cluster, profile: Profile, jobs: Sequence[Waiting]) -> Mapping[str, Sequence[float]]:
    """When a job may start by type: where GPUs come free, and where jobs end that start at such moments."""
    return {
        gpu_type: _reachable(
            profile.moments(gpu_type),
            {w.predictions[gpu_type].runtime_s for w in jobs if gpu_type in cluster.options(w)},
        )
        for gpu_type in cluster.total
    }


def _reachable(moments: Iterable[float], runtimes_s: Iterable[float]) -> list[float]:
    """The earliest `MOST_STARTS` of all moments plus any sums of run times."""
    starts_s = sorted(moments)[:MOST_STARTS]
    while (extended_s := sorted({*starts_s, *(a + b for a in starts_s for b in runtimes_s)})[:MOST_STARTS]) != starts_s:
        starts_s = extended_s
    return starts_s


RULE = Rule(
    name="milp",
    sentence="as patient, but an integer program places the first jobs of the plan",
    make=milp,
    parameters=(
        WAIT_S_PER_KWH,
        CONGESTION,
        Parameter(
            name="horizon",
            sentence="jobs that the integer program places",
            unit="jobs",
            default=DEFAULT_HORIZON,
            read=whole,
            option=False,
        ),
        Parameter(
            name="nodes",
            sentence="nodes of the branch and bound at most",
            default=DEFAULT_NODES,
            read=whole,
            option=False,
        ),
        Parameter(
            name="time_limit_s",
            sentence="wall-clock seconds after which a program that hangs is cut short",
            unit="s",
            default=DEFAULT_TIME_LIMIT_S,
            option=False,
        ),
    ),
    place=110,
)
