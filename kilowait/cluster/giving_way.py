"""Who gives way first, and how much of a running job is left where it does so at a checkpoint of this instant."""

from kilowait.cluster.events import JobPreempted
from kilowait.cluster.overrun import estimated_end_s
from kilowait.cluster.standing import Active

LEAST_LEFT_S = 1e-6


def preempted_event(active: Active, now_s: float, *, checkpointed: bool) -> JobPreempted:
    """A job gave its boards back: what is left of it is as at its last checkpoint, of this instant where that is so."""
    left = left_at(active, now_s) if checkpointed else active.remaining
    return JobPreempted(time_s=now_s, job_id=active.job.job_id, attempt=active.attempt, remaining=left)


def left_at(active: Active, now_s: float) -> float:
    """The share of a job's work that is left by now, by what is expected of its end; none is done while it restarts."""
    restart_s = 0.0 if active.remaining == 1.0 else active.job.checkpoint_s or 0.0
    whole_s = (active.predictions[active.gpu_type].steady_s - restart_s) / active.remaining
    left_s = max(LEAST_LEFT_S, estimated_end_s(active, now_s) - now_s)
    return min(active.remaining, left_s / max(whole_s, LEAST_LEFT_S))


def least_urgent_first(active: Active) -> tuple[int, float, str]:
    """To sort running jobs by: the least urgent first, and of these the one that started last."""
    return active.job.priority, -active.placed_s, active.job.job_id
