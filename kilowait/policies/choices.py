"""Choices that several policies share: which types fit now, which of them is fastest."""

from collections.abc import Iterable

from kilowait.cluster.standing import Waiting
from kilowait.core.jobs import Job, Prediction


def in_queue_order(waiting: Waiting) -> float:
    """A ranking key for jobs: earlier in the queue."""
    return waiting.job.submit_s


def predicted_runtime(job: Job, gpu_type: str, seen: Prediction) -> float:
    """A ranking key: predicted seconds, the shortest first."""
    return seen.runtime_s


def fastest(waiting: Waiting, types: Iterable[str]) -> str | None:
    """The type of the least predicted seconds, the earlier of two alike; None when there is none."""
    return min(types, key=lambda t: waiting.predictions[t].runtime_s, default=None)
