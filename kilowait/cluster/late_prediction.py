"""A prediction that comes after the submission, in the place of the guess that the job was accepted with.

Called by `kilowait.cluster.advance.advance` alone.
"""

import msgspec

from kilowait.cluster import anchoring
from kilowait.cluster.events import JobPredicted
from kilowait.cluster.state import Cluster
from kilowait.core.errors import IllegalEvent


def take_in(cluster: Cluster, event: JobPredicted) -> None:
    """Let a job wait by its prediction, where it waits for its first attempt; raises IllegalEvent for an unknown job,
    and for predictions that lack a type of the guess."""
    job_id, predictions = event.job_id, event.predictions
    behind = cluster.lines.get(job_id)
    waiting = cluster.entry(job_id)
    if waiting is None and job_id not in cluster.active and job_id not in cluster.over:
        raise IllegalEvent(f"job {job_id}: predicted, but it was never submitted")
    if waiting is None or waiting.attempt > 1 or event.problem is not None:
        return
    if lacking := [gpu_type for gpu_type in waiting.whole if gpu_type not in predictions]:
        raise IllegalEvent(f"job {job_id}: predicted, but not for {', '.join(lacking)}, which it was submitted for")
    gpus = cluster.possible(waiting.job, predictions)
    if behind is not None:
        cluster.lines.renew(msgspec.structs.replace(behind, predictions=predictions, whole=predictions, gpus=gpus))
        return
    anchored = anchoring.anchored(cluster, waiting.job, predictions)
    renewed = msgspec.structs.replace(waiting, predictions=anchored, whole=predictions, gpus=gpus)
    if job_id in cluster.waiting:
        cluster.requeue(renewed)
    elif gpus:
        cluster.enqueue(renewed)
        del cluster.stranded[job_id]
    else:
        cluster.stranded[job_id] = renewed
    cluster.revise(waiting, renewed)
