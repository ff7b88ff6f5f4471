"""Why a job can never run on a GPU type of a cluster, in words."""

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

from kilowait.core.jobs import Job, Prediction

if TYPE_CHECKING:
    from kilowait.cluster.state import Cluster


def refusal(cluster: "Cluster", job: Job, predictions: Mapping[str, Prediction]) -> str | None:
    """Why this job can never run on the present inventory, None when it can."""
    obstacles = {gpu_type: obstacle(cluster, job, predictions, gpu_type) for gpu_type in cluster.total}
    if None in obstacles.values():
        return None
    reasons = "; ".join(f"{name}: {reason}" for name, reason in obstacles.items())
    return reasons or "the cluster has no GPUs"


def obstacle(cluster: "Cluster", job: Job, predictions: Mapping[str, Prediction], gpu_type: str) -> str | None:
    """Why `job` can never run on `gpu_type`, None when it can."""
    if job.allowed is not None and gpu_type not in job.allowed:
        return f"not among the types it may use ({', '.join(sorted(job.allowed)) or 'none'})"
    if gpu_type not in predictions:
        return "no prediction for this type"
    memory = cluster.memory_bytes.get(gpu_type)
    if memory is not None and job.memory_bytes is not None and job.memory_bytes > memory:
        return f"needs {job.memory_bytes / 1e9:.1f} GB on each GPU, a board has {memory / 1e9:.1f} GB"
    if job.gpus_on(gpu_type) > cluster.total[gpu_type]:
        return f"needs {job.gpus_on(gpu_type)} GPUs, the cluster has {cluster.total[gpu_type]}"
    if job.one_node and job.gpus_on(gpu_type) > (largest := cluster.largest[gpu_type]):
        return f"needs {job.gpus_on(gpu_type)} GPUs of one node, the largest {gpu_type} node has {largest}"
    return None


def possible(cluster: "Cluster", job: Job, predictions: Mapping[str, Prediction]) -> dict[str, int]:
    """On how many boards a job runs on each type that is no `obstacle` to it, most powerful first."""
    allowed, by_type, memory, gpus = job.allowed, job.gpus_by_type, job.memory_bytes, job.gpus
    counts = {}
    for gpu_type, total in (cluster.largest if job.one_node else cluster.total).items():
        if gpu_type in predictions and (allowed is None or gpu_type in allowed):
            count = by_type.get(gpu_type, gpus) if by_type else gpus
            if count <= total and (memory is None or memory <= cluster.memory_bytes.get(gpu_type, inf)):
                counts[gpu_type] = count
    return counts
