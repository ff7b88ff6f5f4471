"""EASY backfill: first come, first served, and later jobs may pass while they do not delay the first.

Sources: D. Lifka, "The ANL/IBM SP scheduling system", JSSPP 1995 (the rule); Mu'alem and Feitelson, "Utilization,
predictability, workloads, and user runtime estimates in scheduling the IBM SP2 with backfilling", IEEE TPDS 12(6),
2001, on the EASY algorithm (shadow time and extra nodes). Both know one type of processor; several are our extension.
"""

import math
from bisect import insort
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from heapq import merge
from itertools import takewhile
from operator import attrgetter

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.ranking import Demand
from kilowait.cluster.views.room import Room
from kilowait.core.units import WHOLE
from kilowait.policies.choices import fastest, in_queue_order, predicted_runtime
from kilowait.policies.compiled_form import CompiledForm, with_form
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.planning.floors import Floors, Shape, Where, shape_of
from kilowait.policies.planning.starting import place
from kilowait.policies.rule import Rule

KERNEL = "easy_backfill"
"""The compiled kernel that can run it."""

NOWHERE: Where = ()

End = tuple[float, int]
"""An expected end in seconds, and the thousandths of GPUs that are then given back."""


def easy() -> Policy:
    """A policy that holds GPUs for the head of the queue only, and starts behind it whatever does not delay it.

    A running job is expected to end at `placed_s` plus its predicted seconds on its type, and at a renewed estimate
    once that has passed (`kilowait.cluster.overrun`): never now, so that the GPUs of a job that overruns are not taken
    for free ones. The head's start on type j is the earliest time, now or an expected end, at which a_ij GPUs of j are
    free; the head is for the type whose start plus t_ij is least, ties to the more powerful. If that start is now it
    starts, and the next job is the head. Else its start is the shadow time, and the GPUs of j free at the shadow time
    beyond a_ij are the extra GPUs.

    The jobs behind it, in queue order, start now where they fit: on another type always; on j if they are predicted
    to end by the shadow time, or on extra GPUs, which are then used up. Of several such types a job takes its
    fastest, ties to the more powerful.

    With exact predictions the head starts at its first shadow time: a later job only ever takes GPUs that the head
    does not need by then, and what it takes on other types makes them no better for the head. A job that is not yet
    the head has no such promise, and may be backfilled on a type much slower than one that it could wait for.

    Where boards are told apart and somebody has a share or asks for one node, times and room are by board
    (`kilowait.policies.planning.floors`), not by number: the head's start on j is the first time at which boards are
    free as it needs them, and it is held just those that it would take then (best fit). A job that outlasts the shadow
    time takes boards of j that are free beside those; one that ends by then takes any.
    """

    def easy(cluster: Cluster) -> list[Decision]:
        room = cluster.room()
        if not cluster.ranked_jobs(in_queue_order).fitting_buckets(room):
            return []
        decisions: dict[str, Decision] = {}
        floors = Floors(cluster, room) if room.boards else None
        head = _start_in_order(cluster, room, floors, decisions)
        if head is not None:
            if floors is not None:
                floors.reserve(cluster.waiting[head.job_id], head.gpu_type, head.where, head.shadow_s)
            _backfill(_Hole(cluster=cluster, room=room, head=head, floors=floors), decisions)
        return list(decisions.values())

    return with_form(easy, CompiledForm(name="easy", kernel=KERNEL))


@dataclass(slots=True, kw_only=True)
class _Head:
    """What is held for the first job that has to wait: its GPUs of a type from the shadow time on.

    `extra` counts thousandths of GPUs free then that it does not need; where boards are told apart, `where` says which
    it will take, and nothing is counted.
    """

    job_id: str
    gpu_type: str
    shadow_s: float
    extra: int
    where: Where


def _start_in_order(
    cluster: Cluster, room: Room, floors: Floors | None, decisions: dict[str, Decision]
) -> _Head | None:
    """Start jobs from the front of the queue; returns the first that has to wait."""
    running, new_ends = cluster.predicted_ends(), dict[str, list[End]]()

    def ends(gpu_type: str) -> Iterable[End]:
        added = new_ends.get(gpu_type)
        return running[gpu_type] if added is None else merge(running[gpu_type], added)  # few are looked at

    for waiting in cluster.queue():
        head = _soonest(waiting, cluster.now_s, room, ends, floors)
        gpu_type, milli = head.gpu_type, waiting.job.milli_on(head.gpu_type)
        if head.shadow_s > cluster.now_s:
            return head
        if not room.fits(waiting, gpu_type):  # an end that rounds to now
            return head
        if floors is not None:
            floors.start(waiting, gpu_type, head.where)
        else:
            room.take(waiting, gpu_type)
        insort(new_ends.setdefault(gpu_type, []), (cluster.now_s + waiting.predictions[gpu_type].runtime_s, milli))
        decisions[head.job_id] = Place(job_id=head.job_id, gpu_type=gpu_type)
    return None


def _soonest(
    waiting: Waiting, now_s: float, room: Room, ends: Callable[[str], Iterable[End]], floors: Floors | None
) -> _Head:
    """The type on which the job would end first, were no other started; equal ends go to the more powerful type."""
    best, best_start_s, best_end_s, best_where = "", math.inf, math.inf, NOWHERE
    for gpu_type in waiting.gpus:
        start_s, where = (
            _earliest_s(waiting.job.milli_on(gpu_type), now_s, room.milli(gpu_type), ends(gpu_type)),
            NOWHERE,
        )
        runtime_s = waiting.predictions[gpu_type].runtime_s
        if floors is not None and (not best or start_s + runtime_s < best_end_s):
            start_s, where = floors.soonest(waiting, gpu_type, start_s)
        if not best or start_s + runtime_s < best_end_s:
            best, best_start_s, best_end_s, best_where = gpu_type, start_s, start_s + runtime_s, where
    free = room.milli(best)
    for end_s, freed in ends(best):
        if end_s > best_start_s:
            break
        free += freed
    extra = free - waiting.job.milli_on(best)
    return _Head(job_id=waiting.job.job_id, gpu_type=best, shadow_s=best_start_s, extra=extra, where=best_where)


def _earliest_s(milli: int, now_s: float, free: int, ends: Iterable[End]) -> float:
    """The first time, now or an expected end, at which so many thousandths are free; inf where others hold too many."""
    start_s = now_s
    for end_s, freed in ends:
        if free >= milli:
            break
        free, start_s = free + freed, end_s
    return start_s if free >= milli else math.inf


@dataclass(slots=True, kw_only=True)
class _Hole:
    """What the head leaves to the jobs behind it."""

    cluster: Cluster
    room: Room
    head: _Head
    floors: Floors | None

    def outlasts(self, waiting: Waiting, gpu_type: str) -> bool:
        """Whether the job, started now, would still hold GPUs of the head's type at the shadow time."""
        end_s = self.cluster.now_s + waiting.predictions[gpu_type].runtime_s
        return gpu_type == self.head.gpu_type and end_s > self.head.shadow_s

    def spares(self, shape: Shape) -> bool:
        """Whether the head leaves so much of its type for any time."""
        if self.floors is None:
            return shape.gpus * shape.milli <= self.head.extra
        return bool(self.floors.at(self.head.gpu_type).where_now(shape, math.inf))

    def admits(self, waiting: Waiting, gpu_type: str) -> bool:
        """Whether the job fits now and does not delay the head."""
        if not self.room.fits(waiting, gpu_type):
            return False
        return not self.outlasts(waiting, gpu_type) or self.spares(shape_of(waiting, gpu_type))

    def start(self, waiting: Waiting, gpu_type: str) -> Place:
        """Use up the room of a job that was admitted."""
        job_id = waiting.job.job_id
        if self.floors is None:
            self.room.take(waiting, gpu_type)
            if self.outlasts(waiting, gpu_type):
                self.head.extra -= waiting.job.milli_on(gpu_type)
            return Place(job_id=job_id, gpu_type=gpu_type)
        chosen = self.room.chosen(waiting, gpu_type)
        where = self.floors.where_now(waiting, gpu_type) if self.outlasts(waiting, gpu_type) else chosen
        self.floors.start(waiting, gpu_type, where)
        return place(job_id, gpu_type, where, chosen)


def _backfill(hole: _Hole, decisions: dict[str, Decision]) -> None:
    """Start the jobs behind the head, in queue order, that the hole admits."""
    while firsts := _firsts(hole, decisions):
        waiting = min(firsts, key=_place) if len(firsts) > 1 else firsts[0]
        gpu_type = fastest(waiting, [t for t in waiting.gpus if hole.admits(waiting, t)])
        assert gpu_type is not None
        decisions[waiting.job.job_id] = hole.start(waiting, gpu_type)


def _firsts(hole: _Hole, decisions: Container[str]) -> list[Waiting]:
    """From every bucket of pairs that fit now, the first job in queue order that the hole admits.

    Where only short jobs are admitted, those come from the front of the ranking by run time, so nobody looks at the
    long ones behind it.
    """
    head, in_order, firsts = hole.head, hole.cluster.ranked_jobs(in_queue_order), list[Waiting]()
    for bucket in in_order.fitting_buckets(hole.room):
        if bucket.gpu_type != head.gpu_type or hole.spares(_shape(bucket.demand)):
            jobs = in_order.jobs(bucket.demand)
        else:
            shortest = hole.cluster.ranked(predicted_runtime).jobs(bucket.demand)
            short_jobs = takewhile(lambda w: not hole.outlasts(w, head.gpu_type), shortest)
            jobs = iter(sorted(short_jobs, key=_place))
        for waiting in jobs:
            if waiting.job.job_id not in decisions and waiting.job.job_id != head.job_id:
                firsts.append(waiting)
                break
    return firsts


def _shape(demand: Demand) -> Shape:
    return Shape(demand[1], WHOLE, False) if len(demand) == 2 else Shape(*demand[1:])


_place = attrgetter("place")


RULE = Rule(
    name="easy",
    sentence="first come, first served; a later job may pass if it does not delay the first",
    detail="EASY backfill",
    make=easy,
    kernel=KERNEL,
    place=50,
)
