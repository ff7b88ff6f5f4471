"""What a policy thinks of a job on a GPU type: the number it goes by, where it goes by one."""

from collections.abc import Mapping
from typing import Any

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.policies import POLICIES, Criterion


def criterion(policy: str, options: Mapping[str, Any], cluster: Cluster) -> Criterion | None:
    """What a policy goes by on this cluster, None where it is not one number a job and type."""
    rated_by = POLICIES[policy].criterion
    return rated_by(options, cluster) if rated_by else None


def ahead_of(waiting: Waiting, gpu_type: str, rated_by: Criterion | None, cluster: Cluster) -> int:
    """How many waiting jobs come before this one for the same GPU type: by the criterion, else by the queue."""
    rivals = [w for w in cluster.queue() if gpu_type in w.gpus and w.job.job_id != waiting.job.job_id]
    if rated_by is None:
        return sum(w.place < waiting.place for w in rivals)
    sign = -1 if rated_by.larger_first else 1
    own_rank = sign * rated_by.of(waiting.job, gpu_type, waiting.predictions[gpu_type]), waiting.place
    return sum((sign * rated_by.of(w.job, gpu_type, w.predictions[gpu_type]), w.place) < own_rank for w in rivals)
