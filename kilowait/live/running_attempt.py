"""The attempt of a running job, as whoever starts and ends it needs it."""

from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Held
from kilowait.core.submission import Attempt


def running_attempt(cluster: Cluster, job_id: str, token: int, *, started: bool, cancelling: bool) -> Attempt:
    """The attempt that holds GPUs for a job; raises KeyError for another job."""
    active = cluster.active[job_id]
    only_node = next((node for node, gpu_type in cluster.nodes if gpu_type == active.gpu_type), "")
    return Attempt(
        job_id=job_id,
        attempt=active.attempt,
        token=token,
        gpu_type=active.gpu_type,
        gpu_milli=active.job.gpu_milli,
        where=active.where or (Held(node=only_node, gpus=active.gpus),),
        placed_s=active.placed_s,
        started=started,
        cancelling=cancelling,
        owner=active.job.user,
        limit_w=active.limit_w,
    )
