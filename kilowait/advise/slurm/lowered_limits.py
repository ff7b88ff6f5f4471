"""Time limits of jobs that wait, lowered to what their comments predict, so that backfill finds room for them.

Only ever lowered, only of jobs whose every type has an interval, and each change written down before it is made.
A lower limit can end a job that would have ended in time: `risk` is how likely, as far as the interval holds.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kilowait.advise.job_comment import JobComment, read_comment
from kilowait.advise.limit_quantile import MINUTE_S, time_limit
from kilowait.advise.slurm.queue_cluster import QueueCluster
from kilowait.advise.slurm.slurm_commands import Run, output_of
from kilowait.advise.slurm.slurm_queue import SlurmJob
from kilowait.core.errors import ServiceError
from kilowait.core.jobs import Prediction

MOST = 100
"""Changes of one run: each is a request to the controller, which holds a lock meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoweredLimit:
    """The limit (s) that a job of the queue gets in place of its own, and the prediction that says so."""

    job: SlurmJob
    limit_s: float
    advice_id: str


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


def apply_limits(changes: Sequence[LoweredLimit], log: Path, now_s: float, run: Run = output_of) -> dict[str, str]:
    """Ask Slurm for each, and log it; returns what Slurm said of those that it refused, by job id.

    Raises OSError where nothing can be written: then nothing more is changed.
    """
    refused: dict[str, str] = {}
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("a", encoding="utf-8") as file:
        for change in changes[:MOST]:
            record = {
                "time_s": now_s,
                "job_id": change.job.job_id,
                "user": change.job.user,
                "limit_before_s": change.job.limit_s if change.job.limit_s < float("inf") else None,
                "limit_s": change.limit_s,
                "advice_id": change.advice_id,
            }
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
            minutes = f"TimeLimit={change.limit_s / MINUTE_S:.0f}"
            try:
                run(["scontrol", "update", f"JobId={change.job.job_id}", minutes])
            except ServiceError as error:
                refused[change.job.job_id] = str(error)
                file.write(json.dumps({**record, "refused": str(error)}) + "\n")
    return refused


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
