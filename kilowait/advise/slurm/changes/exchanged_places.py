"""Nice values by which one user's jobs exchange places, the one that is predicted to be shortest first.

Only jobs that ask for the same change places: of one user, in the same partitions, with as many GPUs of the same type
on as many nodes. Each gets the priority that another of them had, so nobody else's job has more or less before it than
jobs of that form. Every second of the mean wait that is saved is the user's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kilowait.advise.slurm.queue_cluster import QueueCluster
from kilowait.advise.slurm.queue_outlook import predicted_time
from kilowait.advise.slurm.slurm_queue import SlurmJob

MOST = 100
"""Jobs of one form whose places are looked at, those whose turn is first: all that one run may change."""
MOST_NICE = 2147483645
"""Slurm takes no larger value, nor one below its negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangedPlace:
    """The nice value that a job of the queue gets, the seconds that it is predicted, and with whom it changes."""

    job: SlurmJob
    nice: int
    predicted_s: float
    together: str

    @property
    def asked(self) -> str:
        """What scontrol is asked for."""
        return f"Nice={self.nice}"

    @property
    def as_before(self) -> str:
        """What scontrol is asked for to take it back."""
        return f"Nice={self.job.nice}"

    @property
    def record(self) -> dict[str, Any]:
        """What is written down of it."""
        return {"nice_before": self.job.nice, "nice": self.nice, "predicted_s": self.predicted_s}


def exchanged_places(found: QueueCluster, user: str | None) -> list[ExchangedPlace]:
    """Of jobs that wait for their turn, one user's or everybody's (None), those that get another's place.

    Tasks of arrays keep theirs. In each group those that move up come first: where Slurm lets nobody move up, it is
    asked for nothing more.
    """
    groups: dict[tuple[Any, ...], dict[SlurmJob, float]] = {}
    for job in found.jobs.values():
        predicted = predicted_time(found, job)
        if predicted is not None and job.may_start and "_" not in job.job_id and user in (None, job.user):
            alike = (job.user, job.partitions, job.gpus, job.gpu_word, job.node_count, job.constraint)
            groups.setdefault(alike, {})[job] = predicted[0]
    return [place for group in groups.values() for place in _exchanged(group)]


def _exchanged(seconds: Mapping[SlurmJob, float]) -> list[ExchangedPlace]:
    now = sorted(seconds, key=lambda job: -job.priority)[:MOST]
    wanted = sorted(now, key=lambda job: seconds[job])
    moved = [
        ExchangedPlace(
            job=job,
            nice=job.nice + job.priority - holder.priority,
            predicted_s=seconds[job],
            together=now[0].job_id,
        )
        for job, holder in zip(wanted, now, strict=True)
        if job.priority != holder.priority
    ]
    if any(abs(place.nice) > MOST_NICE for place in moved):
        return []
    return sorted(moved, key=lambda place: place.nice - place.job.nice)
