"""Alibaba PAI (cluster-trace-gpu-v2020): the job table and, beside it, the task table.

`pai_job_table.csv`: `job_name,inst_id,user,status,start_time,end_time`; `start_time` is the submission, status is
Running, Terminated (it succeeded), Failed or Waiting. `pai_task_table.csv`: `job_name,task_name,inst_num,status,
start_time,end_time,plan_cpu,plan_mem,plan_gpu,gpu_type`; `plan_gpu` is percent of a GPU an instance, `gpu_type` the
type that was assigned (MISC: older ones), not one that was asked for. The published files have no header line; a
header is read where it stands. Times are seconds. Source: alibaba/clusterdata, cluster-trace-gpu-v2020/README.md.

A job's GPUs are the sum over its tasks of instances times `plan_gpu`; it ran from its first GPU task's start to the
job's end. Failed jobs ran and are used. Where all its GPU tasks had one type, its length counts as measured there.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.files.rows import Row, needs, read_csv
from kilowait.lab.backtest.traces.trace import Aside, Reason, TraceJob, TraceReading, aside, unusable

JOBS = ("job_name", "inst_id", "user", "status", "start_time", "end_time")
TASKS = (
    "job_name", "task_name", "inst_num", "status", "start_time", "end_time", "plan_cpu", "plan_mem", "plan_gpu",
    "gpu_type",
)  # fmt: skip
PERCENT = 100.0
OLDER = "MISC"
"""The trace's word for several older types."""


@dataclass(slots=True, kw_only=True)
class _Tasks:
    """The GPU tasks of one job, summed as their rows come by."""

    gpus: float = 0.0
    start_s: float = math.inf
    gpu_types: set[str] = field(default_factory=set)


def read(path: Path, side_table: Path | None) -> TraceReading:
    """Read jobs from `path` and their GPUs from the task table; raises InputError without one."""
    if side_table is None:
        raise InputError(f"{path}: PAI jobs need the task table for their GPUs; name it with --side-table")
    tasks = _tasks(side_table)
    jobs = read_csv(path, needs(path, ("job_name", "status", "start_time", "end_time")), headless=JOBS)
    return TraceReading(rows=map(partial(_job, tasks=tasks), jobs))


def _tasks(path: Path) -> Mapping[str, _Tasks]:
    columns = ("job_name", "inst_num", "start_time", "plan_gpu", "gpu_type")
    found: defaultdict[str, _Tasks] = defaultdict(_Tasks)
    for row in read_csv(path, needs(path, columns), headless=TASKS):
        tasks = found[row.text("job_name")]
        share = 0.0 if row.empty("plan_gpu") else row.number("plan_gpu") / PERCENT
        if share > 0:
            tasks.gpus += share * (1.0 if row.empty("inst_num") else row.number("inst_num"))
            tasks.start_s = min(tasks.start_s, math.inf if row.empty("start_time") else row.finite("start_time"))
            tasks.gpu_types |= {row.optional("gpu_type") or OLDER}
    return dict(found)


def _job(row: Row, *, tasks: Mapping[str, _Tasks]) -> TraceJob | Aside:
    own = tasks.get(row.text("job_name"))
    if own is None:
        return aside(row, Reason.NO_TASK, "job_name")
    if own.gpus == 0:
        return aside(row, Reason.NO_GPU, "job_name")
    problem = _status(row, own)
    if problem is not None:
        return problem
    submit_s, duration_s = row.finite("start_time"), row.finite("end_time") - own.start_s
    if own.start_s < submit_s:
        return aside(row, Reason.IMPOSSIBLE, "start_time")
    return unusable(row, gpus=("job_name", own.gpus), duration=("end_time", duration_s)) or TraceJob(
        job_id=row.text("job_name"),
        submit_s=submit_s,
        gpus=own.gpus,
        duration_s=duration_s,
        user=row.optional("user"),
        measured_s={t: duration_s for t in own.gpu_types if t != OLDER and len(own.gpu_types) == 1},
    )


def _status(row: Row, tasks: _Tasks) -> Aside | None:
    """Jobs that have no length."""
    if row.text("status") == "Running":
        return aside(row, Reason.CENSORED, "status")
    if row.text("status") == "Waiting" or math.isinf(tasks.start_s):
        return aside(row, Reason.NEVER_STARTED, "status")
    for column in ("start_time", "end_time"):
        if row.empty(column):
            return aside(row, Reason.NO_DURATION, column)
    return None
