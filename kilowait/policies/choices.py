"""Choices that several policies share: which types fit now, which of them is fastest."""

from collections.abc import Iterable, Mapping

from kilowait.cluster import Cluster, Waiting
from kilowait.jobs import Job, Prediction


def in_queue_order(job: Job, gpu_type: str, seen: Prediction) -> float:
    """A ranking key that leaves all order to its ties: earlier in the queue, then earlier type."""
    return 0.0


def predicted_runtime(job: Job, gpu_type: str, seen: Prediction) -> float:
    """A ranking key: predicted seconds, the shortest first."""
    return seen.runtime_s


def fitting_types(cluster: Cluster, waiting: Waiting, free: Mapping[str, int]) -> list[str]:
    """The types that `waiting` may use with enough GPUs in `free`, most powerful first."""
    return [t for t in cluster.options(waiting) if waiting.job.gpus_on(t) <= free[t]]


def fastest(waiting: Waiting, types: Iterable[str]) -> str | None:
    """The type of the least predicted seconds, the earlier of two alike; None when there is none."""
    return min(types, key=lambda t: waiting.predictions[t].runtime_s, default=None)
