"""Greedy: first come, first served, on the type that is cheapest for the job."""

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.policies.decisions import Decision, Place, Policy, checked_weight
from kilowait.policies.rules import Rule, ruled

DEFAULT_ALPHA = 1.0
DEFAULT_GAMMA = 3600.0
"""A kWh weighs as much as an hour of run time."""


def greedy(*, alpha: float = DEFAULT_ALPHA, gamma: float = DEFAULT_GAMMA) -> Policy:
    """A policy in which the head of the queue waits for the type j that minimises alpha * t_ij + gamma * e_ij.

    `alpha` is per second and `gamma` per kWh. Types that have fewer than a_ij GPUs in total are left out; ties go
    to the more powerful type. While the head's type is not free, everything waits behind it. Raises InputError
    for a weight that is negative or not finite.
    """
    alpha, gamma = checked_weight("alpha", alpha), checked_weight("gamma", gamma)

    def choice(cluster: Cluster, waiting: Waiting) -> str:
        seen = waiting.predictions
        return min(waiting.gpus, key=lambda t: alpha * seen[t].runtime_s + gamma * seen[t].energy_kwh)

    def greedy(cluster: Cluster) -> list[Decision]:
        room = cluster.room()
        decisions: list[Decision] = []
        for waiting in cluster.queue():
            gpu_type = choice(cluster, waiting)
            if not room.fits(waiting, gpu_type):
                break
            room.take(waiting, gpu_type)
            decisions.append(Place(job_id=waiting.job.job_id, gpu_type=gpu_type))
        return decisions

    return ruled(greedy, Rule(name="greedy", alpha=alpha, gamma=gamma))
