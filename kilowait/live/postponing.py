"""What a policy decides about jobs that it keeps for later, as events, which a restart and whoever looks go by."""

from collections.abc import Iterator, Mapping

from kilowait.cluster.events import JobPostponed
from kilowait.cluster.standing import Postponed
from kilowait.cluster.state import Cluster
from kilowait.core.over_time.amounts import foreseen


def postponements(cluster: Cluster, decided: Mapping[str, Postponed]) -> Iterator[JobPostponed]:
    """The events after which a cluster keeps just these of the jobs that wait, in the order of their ids."""
    now_s, kept = cluster.now_s, cluster.kept
    for job_id in sorted(kept.keys() | decided.keys()):
        plan, before = decided.get(job_id), kept.get(job_id)
        if job_id not in cluster.waiting or same_plan(plan, before):
            continue
        if plan is None:
            yield JobPostponed(time_s=now_s, job_id=job_id, until_s=None)
        elif plan.gpu_type in cluster.waiting[job_id].gpus:
            yield _event(cluster, job_id, plan)


def same_plan(plan: Postponed | None, before: Postponed | None) -> bool:
    """Whether two plans keep a job for the same, whenever they were made."""
    if plan is None or before is None:
        return plan is before
    return (plan.until_s, plan.gpu_type) == (before.until_s, before.gpu_type)


def _event(cluster: Cluster, job_id: str, plan: Postponed) -> JobPostponed:
    told, signals = cluster.waiting[job_id].predictions[plan.gpu_type], cluster.signals
    at_once = foreseen(signals, told.energy_kwh, cluster.now_s, told.runtime_s)
    then = foreseen(signals, told.energy_kwh, plan.until_s, told.runtime_s)
    return JobPostponed(
        time_s=cluster.now_s,
        job_id=job_id,
        until_s=plan.until_s,
        gpu_type=plan.gpu_type,
        amounts={name: (at_once[name], then[name]) for name in at_once if name in then},
    )
