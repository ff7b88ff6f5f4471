"""Attempts that were asked to write a checkpoint and give their boards back, until they have ended.

That takes as long as their programs do, so what a policy places there waits meanwhile: it decides on a copy of the
cluster in which they are gone already, so that it neither asks for others nor gives the boards to anybody else. Nothing
of this is durable: whoever takes over decides anew, and an attempt says itself how it ended.
"""

from collections.abc import Iterator

from kilowait.cluster.events import JobPreempted
from kilowait.cluster.giving_way import preempted_event
from kilowait.cluster.state import Cluster
from kilowait.core.errors import IllegalEvent


class Leaving:
    """By job id, attempts on their way out; `take_new` says who is yet to be asked."""

    def __init__(self) -> None:
        self._attempts, self._new = dict[str, int](), list[str]()

    def __bool__(self) -> bool:
        return bool(self._attempts)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._attempts

    def ask(self, cluster: Cluster, job_id: str) -> None:
        """A running job gives way; again is nothing new, nor is one that has just ended. Raises IllegalEvent for a job
        that has no checkpoints."""
        active = cluster.active.get(job_id)
        if active is None or job_id in self._attempts:
            return
        if active.job.checkpoint_s is None:
            raise IllegalEvent(f"job {job_id}: the policy preempts it, but it cannot go on from a checkpoint")
        self._attempts[job_id] = active.attempt
        self._new.append(job_id)

    def take_new(self) -> list[str]:
        """Those that gave way since this was asked last, and still run."""
        new, self._new = self._new, []
        return [job_id for job_id in new if job_id in self._attempts]

    def forget(self, job_id: str) -> bool:
        """Its attempt has ended; whether it was on its way out."""
        return self._attempts.pop(job_id, None) is not None

    def events(self, cluster: Cluster) -> Iterator[JobPreempted]:
        """What will have happened once all have given way, as of now."""
        for job_id, attempt in self._attempts.items():
            active = cluster.active.get(job_id)
            if active is not None and active.attempt == attempt:
                yield preempted_event(active, cluster.now_s, checkpointed=True)
