"""Simple: first come, first served, on the most powerful type that is free."""

from kilowait.cluster import Cluster
from kilowait.policies.decisions import Decision, Place, Policy


def simple() -> Policy:
    """A policy in which the head of the queue takes the most powerful type it may use with enough free GPUs.

    While the head fits nowhere, everything waits behind it.
    """

    def simple(cluster: Cluster) -> list[Decision]:
        free = dict(cluster.free)
        decisions: list[Decision] = []
        for waiting in cluster.queue():
            job = waiting.job
            gpu_type = next((t for t in cluster.options(waiting) if job.gpus_on(t) <= free[t]), None)
            if gpu_type is None:
                break
            free[gpu_type] -= job.gpus_on(gpu_type)
            decisions.append(Place(job_id=job.job_id, gpu_type=gpu_type))
        return decisions

    return simple
