"""Time limits of jobs that wait, lowered to what their comments predict, so that backfill finds room for them.

Only ever lowered, and only of jobs whose every type has an interval.
A lower limit can end a job that would have ended in time: `risk` is how likely, as far as the interval holds.
"""

from dataclasses import dataclass
from typing import Any

from kilowait.advise.job_comment import JobComment, read_comment
from kilowait.advise.limit_quantile import MINUTE_S, time_limit
from kilowait.advise.slurm.queue_cluster import QueueCluster
from kilowait.advise.slurm.slurm_queue import SlurmJob
from kilowait.core.jobs import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class LoweredLimit:
    """The limit (s) that a job of the queue gets in place of its own, and the prediction that says so."""

    job: SlurmJob
    limit_s: float
    advice_id: str

    @property
    def together(self) -> str:
        """It is changed by itself."""
        return self.job.job_id

    @property
    def asked(self) -> str:
        """What scontrol is asked for."""
        return f"TimeLimit={self.limit_s / MINUTE_S:.0f}"

    @property
    def record(self) -> dict[str, Any]:
        """What is written down of it."""
        before_s = self.job.limit_s if self.job.limit_s < float("inf") else None
        return {"limit_before_s": before_s, "limit_s": self.limit_s, "advice_id": self.advice_id}


def lowered_limits(found: QueueCluster, user: str | None, risk: float, margin_s: float) -> list[LoweredLimit]:
    """Of jobs that wait for their turn, one user's or everybody's (None), those whose limit is a minute too long."""
    lowered = []
    for job in found.jobs.values():
        comment = read_comment(job.comment)
        if comment is None or not job.may_start or user not in (None, job.user):
            continue
        limit = time_limit(_predictions(found, job, comment), risk, margin_s, None)
        if limit is not None and limit.seconds + MINUTE_S <= job.limit_s:
            lowered.append(LoweredLimit(job=job, limit_s=limit.seconds, advice_id=comment.advice_id))
    return lowered


def _predictions(found: QueueCluster, job: SlurmJob, comment: JobComment) -> list[Prediction]:
    """One for each type that the job may get; none at all where one of them was not predicted."""
    pools = found.allowed(job.partitions, job.gpu_word, job.constraint)
    types = {found.pools[pool].gpu_type for pool in pools}
    if not types <= comment.seconds_by_type.keys():
        return []
    times = [comment.seconds_by_type[name] for name in sorted(types)]
    return [
        Prediction(runtime_s=expected_s, energy_kwh=0.0, runtime_low_s=low_s, runtime_high_s=high_s)
        for expected_s, low_s, high_s in times
    ]
