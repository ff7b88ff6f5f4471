"""Microsoft Philly (2017) as CSV: `timestamp,duration,num_gpus,gpu_time,cluster`.

`timestamp` is the submission (ISO date and time; without a zone it is taken as it stands), `duration` seconds of
running, `num_gpus` whole GPUs, `gpu_time` GPU-seconds and optional, `cluster` the virtual cluster. Source of the
layout: the Sia simulator's Philly files (siasosp23/artifacts), cut from msr-fiddle/philly-traces. There is no job
id, so a job is named after its line; no user, no GPU type.
"""

import math
from datetime import UTC, datetime
from pathlib import Path

from kilowait.files.rows import Row, needs, read_csv
from kilowait.lab.backtest.traces.trace import Aside, Reason, TraceJob, TraceReading, aside, unusable

COLUMNS = ("timestamp", "duration", "num_gpus", "cluster")
GPU_TIME_TOLERANCE = 0.01
"""`gpu_time` may differ from duration times GPUs by this share: it was rounded."""


def read(path: Path, side_table: Path | None) -> TraceReading:
    """Read the file; where `gpu_time` stands and is not duration times GPUs, the row is impossible."""
    return TraceReading(rows=map(_job, read_csv(path, needs(path, COLUMNS))))


def _job(row: Row) -> TraceJob | Aside:
    submit_s, duration_s, gpus = _time_s(row), row.finite("duration"), row.finite("num_gpus")
    problem = unusable(row, gpus=("num_gpus", gpus), duration=("duration", duration_s))
    if problem is None and not gpus.is_integer():
        problem = aside(row, Reason.IMPOSSIBLE, "num_gpus")
    if problem is None and not row.empty("gpu_time") and not _agrees(row, gpus * duration_s):
        problem = aside(row, Reason.IMPOSSIBLE, "gpu_time")
    return problem or TraceJob(
        job_id=f"line-{row.line}",
        submit_s=submit_s,
        gpus=gpus,
        duration_s=duration_s,
        vc=row.optional("cluster"),
    )


def _agrees(row: Row, gpu_s: float) -> bool:
    return math.isclose(row.finite("gpu_time"), gpu_s, rel_tol=GPU_TIME_TOLERANCE)


def _time_s(row: Row) -> float:
    """Seconds since 1970; raises InputError for anything but an ISO date and time."""
    try:
        moment = datetime.fromisoformat(row.text("timestamp"))
    except ValueError:
        raise row.wrong("timestamp", "must be a date and time like 2017-09-07 03:58:57") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
