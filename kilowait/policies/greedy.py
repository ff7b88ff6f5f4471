"""Greedy: first come, first served, on the type that is cheapest for the job."""

from collections.abc import Mapping
from typing import Any

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.policies.compiled_form import CompiledForm, with_form
from kilowait.policies.decisions import Decision, Place, Policy, checked_weight
from kilowait.policies.parameters import Parameter
from kilowait.policies.rule import Criterion, Rule

KERNEL = "first_come"
"""The compiled kernel that can run it."""

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
        predictions = waiting.predictions
        return min(waiting.gpus, key=lambda t: alpha * predictions[t].runtime_s + gamma * predictions[t].energy_kwh)

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

    return with_form(greedy, CompiledForm(name="greedy", kernel=KERNEL, alpha=alpha, gamma=gamma))


def _criterion(options: Mapping[str, Any], _: Cluster) -> Criterion:
    alpha, gamma = options.get("alpha", DEFAULT_ALPHA), options.get("gamma", DEFAULT_GAMMA)
    return Criterion(
        name=f"cost = {alpha:g} x seconds + {gamma:g} x kWh",
        larger_first=False,
        of=lambda _, __, prediction: float(alpha * prediction.runtime_s + gamma * prediction.energy_kwh),
    )


RULE = Rule(
    name="greedy",
    sentence="first come, first served; a job waits for the type of least alpha x seconds + gamma x kWh",
    make=greedy,
    parameters=(
        Parameter(
            name="alpha", sentence="weight of a second of run time", unit="1 / s", default=DEFAULT_ALPHA, metavar="A"
        ),
        Parameter(
            name="gamma",
            sentence="weight of a kWh",
            unit="1 / kWh",
            default=DEFAULT_GAMMA,
            default_means="a kWh weighs as much as an hour",
            metavar="G",
        ),
    ),
    criterion=_criterion,
    kernel=KERNEL,
    place=20,
)
