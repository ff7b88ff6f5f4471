"""What a policy thinks of a job on a GPU type: the number it goes by, where it goes by one, and its rule in words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job, Prediction
from kilowait.policies.greedy import DEFAULT_ALPHA, DEFAULT_GAMMA
from kilowait.policies.value import value_key

RULES: Mapping[str, str] = {
    "simple": "first come, first served, on the most powerful free type; while the first fits nowhere, all wait",
    "greedy": "first come, first served; a job waits for the type of least alpha x seconds + gamma x kWh",
    "value": "over the whole queue, the most valuable pair of job and type first, whatever fits",
    "sjf": "shortest job first, on its fastest free type, whatever fits",
    "easy": "first come, first served; a later job may pass if it does not delay the first",
    "conservative": "every job has a reservation; a later job may pass if it delays none",
    "value_aging": "as value, but a job that has waited too long goes first and GPUs are held for it",
    "fair": "by priority, then the user who holds the smallest share of GPUs for their weight",
    "patient": "the queue is planned; a job waits for a greener type where a saved kWh is worth the wait",
    "anticipatory": "as patient, but plans are compared over futures: jobs that are likely to come",
    "milp": "as patient, but an integer program places the first jobs of the plan",
    "value_cvar": "as value, but a pair is rated by the mean of the worst cases of its prediction interval",
    "gavel": "a linear program gives each job its share of time on each type; pairs start by their share",
    "srpt": "shortest remaining time first",
}
"""The rule of each policy, in a sentence."""

Number = Callable[[Job, str, Prediction], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """The number by which a policy rates a job on a type: its name, and whether the larger one goes first."""

    name: str
    larger_first: bool
    of: Number


def criterion(policy: str, options: Mapping[str, Any], cluster: Cluster) -> Criterion | None:
    """What a policy goes by on this cluster, None where it is not one number a job and type."""
    match policy:
        case "value" | "value_aging":
            kappas = {name: options.get(name) for name in ("kappa", "kappa_relative")}
            key = value_key(**kappas)(cluster)
            return Criterion(name=_value_name(kappas), larger_first=True, of=lambda *pair: -key(*pair))
        case "greedy":
            alpha, gamma = options.get("alpha", DEFAULT_ALPHA), options.get("gamma", DEFAULT_GAMMA)
            name = f"cost = {alpha:g} x seconds + {gamma:g} x kWh"
            return Criterion(
                name=name, larger_first=False, of=lambda _, __, p: float(alpha * p.runtime_s + gamma * p.energy_kwh)
            )
        case "sjf" | "srpt":
            return Criterion(name="predicted seconds", larger_first=False, of=lambda _, __, p: p.runtime_s)
        case _:
            return None


def ahead_of(waiting: Waiting, gpu_type: str, rated_by: Criterion | None, cluster: Cluster) -> int:
    """How many waiting jobs come before this one for the same GPU type: by the criterion, else by the queue."""
    others = [w for w in cluster.queue() if gpu_type in w.gpus and w.job.job_id != waiting.job.job_id]
    if rated_by is None:
        return sum(w.place < waiting.place for w in others)
    sign = -1 if rated_by.larger_first else 1
    mine = sign * rated_by.of(waiting.job, gpu_type, waiting.predictions[gpu_type]), waiting.place
    return sum((sign * rated_by.of(w.job, gpu_type, w.predictions[gpu_type]), w.place) < mine for w in others)


def _value_name(kappas: Mapping[str, float | None]) -> str:
    if kappas["kappa_relative"] is not None:
        return f"value = s / (GPUs x seconds) - {kappas['kappa_relative']:g} x kWh / E"
    return f"value = 1 / (GPUs x seconds) - {kappas['kappa']:g} x kWh"
