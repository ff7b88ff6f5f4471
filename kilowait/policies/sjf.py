"""Shortest job first, on predicted run times.

Source: W. E. Smith, "Various optimizers for single-stage production", Naval Research Logistics Quarterly 3 (1956):
on one machine, with exact times, this order has the least total waiting. Several GPUs, types and prediction errors
keep the rule and lose the proof.
"""

from collections.abc import Container, Mapping

from kilowait.cluster import Cluster
from kilowait.policies.choices import fastest, fitting_types, predicted_runtime
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.ranking import Ranking


def sjf() -> Policy:
    """A policy that takes jobs by their smallest predicted seconds over the types they could ever run on.

    Each starts on the fastest of its types that has enough free GPUs; one that fits nowhere is passed over, so
    whatever fits starts, and long or wide jobs may starve. (A strict variant would let everything wait behind the
    shortest job, and idle GPUs for it.) Ties go to the earlier in the queue, then to the more powerful type.
    """

    def sjf(cluster: Cluster) -> list[Decision]:
        free, ranking = dict(cluster.free), cluster.ranked(predicted_runtime)
        seen: set[str] = set()
        placed: dict[str, Decision] = {}
        if not _someone_fits(ranking, free, placed):
            return []
        for job_id, _ in ranking:  # a job's first pair is its fastest type
            if job_id in seen:
                continue
            seen.add(job_id)
            waiting = cluster.waiting[job_id]
            gpu_type = fastest(waiting, fitting_types(cluster, waiting, free))
            if gpu_type is None:
                continue
            free[gpu_type] -= waiting.job.gpus_on(gpu_type)
            placed[job_id] = Place(job_id=job_id, gpu_type=gpu_type)
            if not _someone_fits(ranking, free, placed):
                break
        return list(placed.values())

    return sjf


def _someone_fits(ranking: Ranking, free: Mapping[str, int], placed: Container[str]) -> bool:
    """Whether looking further down the queue can place anybody."""
    return any(job_id not in placed for job_id, _ in ranking.fitting(free))
