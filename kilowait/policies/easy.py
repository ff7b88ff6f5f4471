"""EASY backfill: first come, first served, and later jobs may pass while they do not delay the first.

Sources: D. Lifka, "The ANL/IBM SP scheduling system", JSSPP 1995 (the rule); Mu'alem and Feitelson, "Utilization,
predictability, workloads, and user runtime estimates in scheduling the IBM SP2 with backfilling", IEEE TPDS 12(6),
2001, on the EASY algorithm (shadow time and extra nodes). Both know one type of processor; several are our extension.
"""

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from kilowait.cluster import Cluster, Waiting
from kilowait.policies.choices import fastest, in_queue_order
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.profile import Profile, Reservation, start_now


def easy() -> Policy:
    """A policy that holds GPUs for the head of the queue only, and starts behind it whatever does not delay it.

    A running job is predicted to end at `placed_s` plus its predicted seconds on its type, or now if that is past.
    The head's start on type j is the earliest time, now or a predicted end, at which a_ij GPUs of j are free; the
    head is for the type whose start plus t_ij is least, ties to the more powerful. If that start is now and the
    GPUs are there it starts, and the next job is the head. Else its start is the shadow time, and the GPUs of j
    free at the shadow time beyond a_ij are the extra GPUs.

    The jobs behind it, in queue order, start now where they fit: on another type always; on j if they are predicted
    to end by the shadow time, or on extra GPUs, which are then used up. Of several such types a job takes its
    fastest, ties to the more powerful.

    With exact predictions the head starts at its first shadow time: a later job only ever takes GPUs that the head
    does not need by then, and what it takes on other types makes them no better for the head. A job that is not yet
    the head has no such promise, and may be backfilled on a type much slower than one that it could wait for.
    """

    def easy(cluster: Cluster) -> list[Decision]:
        free = dict(cluster.free)
        if not any(free.values()):
            return []
        profile = Profile(cluster)
        placed: dict[str, Decision] = {}
        head = _start_in_order(cluster, profile, free, placed)
        if head is not None:
            extra = profile.free_at(head.gpu_type, head.start_s) - head.gpus
            _backfill(_Hole(cluster=cluster, free=free, head=head, extra=extra), placed)
        return list(placed.values())

    return easy


def _start_in_order(
    cluster: Cluster, profile: Profile, free: dict[str, int], placed: dict[str, Decision]
) -> Reservation | None:
    """Start jobs from the front of the queue; returns what is reserved for the first that has to wait."""
    for waiting in cluster.queue():
        best = profile.soonest(waiting)
        started = start_now(best, cluster.now_s, free)
        if started is None:
            return best
        profile.reserve(best)
        placed[best.job_id] = started
    return None


@dataclass(slots=True, kw_only=True)
class _Hole:
    """What the head leaves to the jobs behind it: `extra` counts GPUs of its type that it does not need."""

    cluster: Cluster
    free: dict[str, int]
    head: Reservation
    extra: int

    def admits(self, waiting: Waiting, gpu_type: str) -> bool:
        """Whether the job fits now and does not delay the head."""
        gpus = waiting.job.gpus_on(gpu_type)
        return gpus <= self.free[gpu_type] and (not self.outlasts(waiting, gpu_type) or gpus <= self.extra)

    def outlasts(self, waiting: Waiting, gpu_type: str) -> bool:
        """Whether the job, started now, would still hold GPUs of the head's type at the shadow time."""
        end_s = self.cluster.now_s + waiting.predictions[gpu_type].runtime_s
        return gpu_type == self.head.gpu_type and end_s > self.head.start_s

    def take(self, waiting: Waiting, gpu_type: str) -> None:
        """Use GPUs up for a job that was admitted."""
        gpus = waiting.job.gpus_on(gpu_type)
        self.free[gpu_type] -= gpus
        if self.outlasts(waiting, gpu_type):
            self.extra -= gpus


def _backfill(hole: _Hole, placed: dict[str, Decision]) -> None:
    """Start the jobs behind the head, in queue order, that the hole admits."""
    fitting = hole.cluster.ranked(in_queue_order).fitting(hole.free)
    for job_id, pairs in groupby(fitting, key=itemgetter(0)):
        if job_id in placed or job_id == hole.head.job_id:
            continue
        waiting = hole.cluster.waiting[job_id]
        gpu_type = fastest(waiting, [t for _, t in pairs if hole.admits(waiting, t)])
        if gpu_type is not None:
            hole.take(waiting, gpu_type)
            placed[job_id] = Place(job_id=job_id, gpu_type=gpu_type)
