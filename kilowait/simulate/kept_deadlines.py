"""Deadlines in a run: how many were missed, and how many were to be expected by the intervals; modelled."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum

from kilowait.core.over_time.deadlines import chance_within
from kilowait.simulate.run import Run, Submission


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineCount:
    """Jobs with a deadline, those that missed it, and the sum of their chances to miss it, each as predicted when its
    last attempt started; None where a job has no interval. Refused jobs are left out."""

    jobs: int
    missed: int
    expected: float | None


def deadline_count(run: Run, submissions: Iterable[Submission]) -> DeadlineCount | None:
    """What became of the deadlines; None where no job has one."""
    due = [one for one in submissions if one.job.deadline_s is not None]
    if not due:
        return None
    last = {placement.job_id: placement for placement in run.placements}
    due = [one for one in due if one.job.job_id in last]
    missed, chances = 0, list[float | None]()
    for one in due:
        placement, deadline_s = last[one.job.job_id], one.job.deadline_s or 0.0
        missed += placement.end_s > deadline_s
        told = one.seen[placement.gpu_type].under(placement.limit_w)
        whole_s = one.truth[placement.gpu_type].under(placement.limit_w).runtime_s
        share = placement.runtime_s / whole_s if placement.attempt > 1 else 1.0
        chances.append(chance_within(told.times(share), deadline_s - placement.start_s))
    known = [1 - chance for chance in chances if chance is not None]
    return DeadlineCount(jobs=len(due), missed=missed, expected=fsum(known) if len(known) == len(due) else None)
