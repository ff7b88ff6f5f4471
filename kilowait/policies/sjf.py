"""Shortest job first, on predicted run times.

Source: W. E. Smith, "Various optimizers for single-stage production", Naval Research Logistics Quarterly 3 (1956):
on one machine, with exact times, this order has the least total waiting. Several GPUs, types and prediction errors
keep the rule and lose the proof.
"""

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.policies.choices import fastest, predicted_runtime
from kilowait.policies.compiled_form import CompiledForm, with_form
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.rule import Criterion, Rule

KERNEL = "by_key"
"""The compiled kernel that can run it."""


def sjf() -> Policy:
    """A policy that takes jobs by their smallest predicted seconds over the types they could ever run on.

    Each starts on the fastest of its types that has enough free GPUs; one that fits nowhere is passed over, so
    whatever fits starts, and long or wide jobs may starve. (A strict variant would let everything wait behind the
    shortest job, and idle GPUs for it.) Ties go to the earlier in the queue, then to the more powerful type.
    """

    def sjf(cluster: Cluster) -> list[Decision]:
        room = cluster.room()
        decisions: dict[str, Decision] = {}
        for job_id, _ in cluster.ranked_jobs(shortest_runtime).fitting(room):
            if job_id in decisions:
                continue
            waiting = cluster.waiting[job_id]
            gpu_type = fastest(waiting, room.fitting(waiting))
            if gpu_type is None:
                continue
            room.take(waiting, gpu_type)
            decisions[job_id] = Place(job_id=job_id, gpu_type=gpu_type)
        return list(decisions.values())

    return with_form(sjf, CompiledForm(name="sjf", kernel=KERNEL))


def shortest_runtime(waiting: Waiting) -> float:
    """A ranking key for jobs: predicted seconds on the fastest type they could ever run on."""
    return min([waiting.predictions[t].runtime_s for t in waiting.gpus])


BY_SECONDS = Criterion(name="predicted seconds", larger_first=False, of=predicted_runtime)

RULE = Rule(
    name="sjf",
    sentence="shortest job first, on its fastest free type, whatever fits",
    make=sjf,
    criterion=lambda _, __: BY_SECONDS,
    kernel=KERNEL,
    place=40,
)
