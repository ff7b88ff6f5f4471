"""The watts that a cluster may draw at most now, by what it is told, and the power budget that it is held to.

Every board counts: one of a running job with its power limit, its published peak where it has none, one that others
hold with its peak, every other with its idle watts; and each with its share of its host, where the file of GPU types
says it. The budget is the signal `power_budget`; where it says nothing, there is none.
"""

from math import fsum, inf

from kilowait.cluster.standing import Active
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.core.gpu_type import GpuType
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import WHOLE
from kilowait.policies.decisions import Place, SetLimit
from kilowait.policies.limiting.limit_choices import limit_choices

BUDGET = "power_budget"
LEAD_S = 120.0
"""So long before a budget falls it is kept already: jobs that give way need time to write their checkpoints."""
CLOSE_W = 1e-6


def board(gpu_type: str) -> GpuType:
    """What is known of a type; raises InputError for one of unknown watts."""
    if (found := GPU_TYPES.get(gpu_type)) is None:
        raise InputError(f"a power budget needs the watts of {gpu_type}: describe the type in --gpu-file")
    return found


def budget_w(cluster: Cluster, at_s: float | None = None) -> float:
    """The budget that holds now, or at a time, the least within `LEAD_S` seconds; inf where there is none."""
    signal, now_s = cluster.signals.get(BUDGET), cluster.now_s if at_s is None else at_s
    if signal is None or not signal.begins_s <= now_s or (now_s >= signal.ends_s and not signal.period_s):
        return inf
    times_s = (now_s, *signal.changes(now_s, now_s + LEAD_S))
    return min(signal.at(time_s) for time_s in times_s if time_s < signal.ends_s or signal.period_s)


def least_budget_w(cluster: Cluster, at_s: float | None = None) -> float:
    """The least budget from now, or a time, on, as far as it is known; inf where there is none."""
    signal, now_s = cluster.signals.get(BUDGET), cluster.now_s if at_s is None else at_s
    if signal is None or (now_s >= signal.ends_s and not signal.period_s):
        return inf
    from_s = max(now_s, signal.begins_s)
    until_s = max(from_s, signal.ends_s) + signal.period_s
    return min(signal.at(time_s) for time_s in signal.steps(from_s, until_s))


def at_rest_w(cluster: Cluster) -> float:
    """What all boards draw while no job runs here, others' boards at their peak; raises InputError as `board`."""
    watts = list[float]()
    for (node, name), gpus in cluster.nodes.items():
        watts.append(_at_rest_w(board(name), gpus, cluster.held.get((node, name), 0)))
    for (_, name), withdrawn in cluster.withdrawn.items():
        watts.append(_at_rest_w(board(name), withdrawn.gpus, withdrawn.held))
    return fsum(watts)


def _at_rest_w(of: GpuType, gpus: int, held: int) -> float:
    return gpus * (of.assumed_idle_w + (of.host_w or 0.0)) + held * (of.peak_w - of.assumed_idle_w)


def more_w(job: Job, gpu_type: str, gpus: int, limit_w: float | None) -> float:
    """By how much boards may draw more for a job than at rest; a shared board counts as one without a limit."""
    of = board(gpu_type)
    watts = of.peak_w if limit_w is None or job.gpu_milli != WHOLE else min(limit_w, of.peak_w)
    return gpus * max(0.0, watts - of.assumed_idle_w)


def running_w(active: Active) -> float:
    """As `more_w`, of a job that runs."""
    return more_w(active.job, active.gpu_type, active.gpus, active.limit_w)


def promised_w(cluster: Cluster) -> float:
    """What all boards may draw at most now; raises InputError as `board`."""
    return at_rest_w(cluster) + fsum(map(running_w, cluster.active.values()))


def least_more_w(job: Job, told: Prediction, gpu_type: str) -> float:
    """As `more_w`, at the lowest limit that a job may get."""
    return more_w(job, gpu_type, job.gpus_on(gpu_type), limit_choices(told, job, gpu_type)[-1])


def fixed_w(cluster: Cluster) -> float:
    """What can be drawn whatever is decided: at rest, and by jobs that cannot give way, at their lowest limits."""
    stay = (one for one in cluster.active.values() if one.job.checkpoint_s is None)
    return at_rest_w(cluster) + sum(least_more_w(one.job, one.whole[one.gpu_type], one.gpu_type) for one in stay)


def allows(cluster: Cluster, decision: Place | SetLimit) -> bool:
    """Whether the budget of now holds once this is carried out; what lowers a limit is always allowed."""
    if BUDGET not in cluster.signals:
        return True
    if isinstance(decision, Place):
        waiting, gpu_type = cluster.waiting[decision.job_id], decision.gpu_type
        watts = more_w(waiting.job, gpu_type, waiting.gpus[gpu_type], decision.limit_w)
    else:
        active = cluster.active[decision.job_id]
        watts = more_w(active.job, active.gpu_type, active.gpus, decision.limit_w) - running_w(active)
    return watts <= 0 or promised_w(cluster) + watts <= budget_w(cluster) + CLOSE_W
