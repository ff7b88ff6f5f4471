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
            for gpu_type, gpus in waiting.gpus.items():
                if gpus <= free[gpu_type]:
                    free[gpu_type] -= gpus
                    decisions.append(Place(job_id=waiting.job.job_id, gpu_type=gpu_type))
                    break
            else:
                break
        return decisions

    return simple
