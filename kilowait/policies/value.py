"""Value: the most valuable pair of job and type first, wherever it fits."""

from kilowait.cluster import Cluster
from kilowait.jobs import Job, Prediction
from kilowait.policies.decisions import Decision, Place, Policy, checked_weight
from kilowait.ranking import Key

DEFAULT_KAPPA = 1e-5
"""A kWh saved is worth as much as finishing a job of 28 GPU-hours: 1e-5 = 1 / (28 * 3600).

It lies between what the paper's three criteria choose on its scenario; tuning.kappa finds what a site's jobs want.
"""


def value(*, kappa: float) -> Policy:
    """A policy that places, best first, every pair (job i, type j) that fits, by the value

    v_ij = 1 / (a_ij * t_ij) - kappa * e_ij

    with a in GPUs, t in seconds, e in kWh and `kappa` per kWh. Negative values are placed too. Ties go to the
    earlier in the queue, then to the more powerful type. Raises InputError for a kappa that is negative or not
    finite.
    """
    cost = negative_value(kappa)

    def value(cluster: Cluster) -> list[Decision]:
        placed: dict[str, Decision] = {}
        place_what_fits(cluster, cost, dict(cluster.free), placed)
        return list(placed.values())

    return value


def negative_value(kappa: float) -> Key:
    """A ranking key, -v_ij, that puts the most valuable pair first; raises InputError for a bad kappa."""
    kappa = checked_weight("kappa", kappa)

    def cost(job: Job, gpu_type: str, seen: Prediction) -> float:
        return -(1 / (job.gpus_on(gpu_type) * seen.runtime_s) - kappa * seen.energy_kwh)

    return cost


def place_what_fits(cluster: Cluster, key: Key, free: dict[str, int], placed: dict[str, Decision]) -> None:
    """Place pairs in the order of `key` while they fit, except jobs `placed` before; changes `free` and `placed`."""
    for job_id, gpu_type in cluster.ranked(key).fitting(free):
        if job_id not in placed:
            free[gpu_type] -= cluster.waiting[job_id].job.gpus_on(gpu_type)
            placed[job_id] = Place(job_id=job_id, gpu_type=gpu_type)
