"""Fewer GPUs while the grid is dirty, around any policy.

Source: CAP, carbon-aware provisioning, in Lechowicz et al., "Carbon- and Precedence-Aware Scheduling for Data
Processing Clusters", SIGCOMM 2025 (arXiv:2502.09717). Its thresholds are those of k-min search in Lorenz, Panagiotou
and Steger, "Optimal Algorithms for k-Search with Application in Option Pricing", Algorithmica 55 (2009).
"""

from functools import lru_cache
from math import ceil

from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.core.errors import InputError
from kilowait.policies.decisions import Decision, Place, Policy, Preempt, SetLimit
from kilowait.policies.parameters import weight
from kilowait.policies.planning.coming_hours import HeldNotes, ask_again, coming_hours
from kilowait.policies.planning.giving_way_for import undone_by
from kilowait.policies.wrappers.wrapper import Wrapper

BISECTIONS = 60


def provisioned(policy: Policy, least: float = 0.2) -> Policy:
    """`policy`, which may keep as many GPUs busy as the present hour is clean: all in the cleanest of the coming two
    days, `least` of them in the dirtiest.

    Of K GPUs B = `least` K may always be busy. With L and U the least and the most carbon a kWh in the coming two days
    and k = K - B, one more may be for every threshold U (1 - (1 - 1/a) (1 + 1/(k a))^(i - 1)), i = 1..k, that the
    present hour does not exceed, where (1 - L/U) / (1 - 1/a) = (1 + 1/(k a))^k. A job starts only while no more are
    busy then, and nothing passes one that has to wait; where nothing runs at all, the first starts. What runs is left
    to run. Without a signal of carbon, or where that does not vary, it is `policy` itself. Raises InputError for a
    share that is not from 0 to 1.
    """
    if not 0 <= least <= 1:
        raise InputError(f"provisioned: the share of GPUs must be from 0 to 1, got {least!r}")
    held = HeldNotes()

    def provisioned(cluster: Cluster) -> list[Decision]:
        held.forget(cluster)
        signal, decisions = cluster.signals.get("carbon"), policy(cluster)
        if signal is None or not decisions:
            return decisions
        hours, total = coming_hours(signal, cluster.now_s), sum(cluster.total.values())
        always = min(total, max(1, ceil(round(least * total, 9))))
        levels = thresholds(total - always, hours.least, hours.most)
        quota = always + sum(level >= hours.now for level in levels)
        busy, room, found = total - sum(cluster.free.values()), cluster.room(), list[Decision]()
        for position, decision in enumerate(decisions):
            gpus = _boards(cluster, room, decision)
            if gpus > 0 and busy and busy + gpus > quota:
                level = levels[min(busy + gpus - always, len(levels)) - 1]
                for one in decisions[position:]:
                    if isinstance(one, Place) and one.job_id in cluster.waiting:
                        held.hold(cluster, one.job_id, one.gpu_type, hours.first_s(level))
                ask_again(cluster, signal)
                undone = undone_by(
                    cluster, decisions[: position + 1], {decision.job_id}
                )  # what would stop for it runs on
                return [one for one in found if one.job_id not in undone]
            busy += gpus
            found.append(decision)
        return found

    return provisioned


def _boards(cluster: Cluster, room: Room, decision: Decision) -> int:
    """How many more boards are busy then: none for a share of a busy one, fewer where a job stops; uses `room` up."""
    if isinstance(decision, Preempt):
        active = cluster.active[decision.job_id]
        free = room.free[active.gpu_type]
        room.give_back(active)
        return free - room.free[active.gpu_type]
    if isinstance(decision, SetLimit):
        return 0
    job, gpu_type = cluster.waiting.get(decision.job_id), decision.gpu_type
    if job is None:  # it runs, and moves
        return cluster.active[decision.job_id].job.gpus_on(gpu_type)
    if not room.fits(job, gpu_type):
        return job.gpus[gpu_type]
    free = room.free[gpu_type]
    room.take(job, gpu_type, decision.where if room.boards else ())
    return free - room.free[gpu_type]


@lru_cache(maxsize=4096)
def thresholds(k: int, least: float, most: float) -> tuple[float, ...]:
    """The k thresholds between the most and the least, falling; all are the most where nothing varies."""
    if not 0 <= least < most:
        return (most,) * k
    if k == 0:
        return ()
    low, high = 1.0, most / least if least > 0 else float(4 * k + 4)
    for _ in range(BISECTIONS):
        a = (low + high) / 2
        if (1 - least / most) / (1 - 1 / a) > (1 + 1 / (k * a)) ** k:
            low = a
        else:
            high = a
    a = (low + high) / 2
    return tuple(most * (1 - (1 - 1 / a) * (1 + 1 / (k * a)) ** i) for i in range(k))


WRAPPER = Wrapper(
    name="provisioned",
    sentence="fewer GPUs are kept busy while the grid is dirty, SHARE of them (0.2 by default) at its dirtiest",
    wrap=provisioned,
    read=weight,
    arguments="SHARE",
    needs=frozenset({"signals"}),
)
