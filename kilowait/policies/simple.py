"""Simple: first come, first served, on the most powerful type that is free."""

from kilowait.cluster.state import Cluster
from kilowait.policies.compiled_form import CompiledForm, with_form
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.rule import Rule

KERNEL = "first_come"
"""The compiled kernel that can run it."""


def simple() -> Policy:
    """A policy in which the head of the queue takes the most powerful type it may use with enough free GPUs.

    While the head fits nowhere, everything waits behind it.
    """

    def simple(cluster: Cluster) -> list[Decision]:
        room = cluster.room()
        decisions: list[Decision] = []
        for waiting in cluster.queue():
            gpu_type = room.take_first(waiting)
            if gpu_type is None:
                break
            decisions.append(Place(job_id=waiting.job.job_id, gpu_type=gpu_type))
        return decisions

    return with_form(simple, CompiledForm(name="simple", kernel=KERNEL))


RULE = Rule(
    name="simple",
    sentence="first come, first served, on the most powerful free type; while the first fits nowhere, all wait",
    make=simple,
    kernel=KERNEL,
    place=10,
)
