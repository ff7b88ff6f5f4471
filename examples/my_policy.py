"""A policy of one's own: `kilowait simulate --policy examples.my_policy:greenest_first`, from the checkout.

A policy is a function of the cluster that returns decisions. It sees predictions only and changes nothing. The function
that makes it has the policy's parameters, all with a default.
"""

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.policies import Decision, Place, Policy


def greenest_first(*, patience_s: float = 3600.0) -> Policy:
    """The job that needs least energy goes first; it starts on its greenest type, or on any once it waited long enough.

    `patience_s` is how many seconds a job waits for its greenest type before it takes what is free.
    """

    def greenest_first(cluster: Cluster) -> list[Decision]:
        room = cluster.room()
        decisions: list[Decision] = []
        for waiting in sorted(cluster.queue(), key=lambda one: min(energies(one).values())):
            energy_kwh = energies(waiting)
            impatient = cluster.now_s - waiting.job.submit_s >= patience_s
            wanted = energy_kwh if impatient else [min(energy_kwh, key=energy_kwh.__getitem__)]
            free = [gpu_type for gpu_type in room.fitting(waiting) if gpu_type in wanted]
            if free:
                best = min(free, key=energy_kwh.__getitem__)
                room.take(waiting, best)
                decisions.append(Place(job_id=waiting.job.job_id, gpu_type=best))
        return decisions

    return greenest_first


def energies(waiting: Waiting) -> dict[str, float]:
    """Predicted kWh of a waiting job on each type that it may use."""
    return {gpu_type: waiting.predictions[gpu_type].energy_kwh for gpu_type in waiting.gpus}
