"""The Standard Workload Format, version 2.2, of the Parallel Workloads Archive.

Source: cs.huji.ac.il/labs/parallel/workload/swf.html. A line a job, 18 numbers between blanks, -1 for what is unknown;
lines that begin with `;` are comments. Processors count as GPUs: allocated ones, requested ones where that is
unknown. The format names no GPU type. Of several lines with one job number (checkpointed jobs: the whole first, its
parts after) the first counts.
"""

from collections.abc import Iterator
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.files.rows import Row, open_text, readable
from kilowait.lab.backtest.traces.trace import Aside, Reason, TraceJob, TraceReading, aside, unusable

FIELDS = (
    "job_number", "submit_time", "wait_time", "run_time", "allocated_processors", "average_cpu_time", "used_memory",
    "requested_processors", "requested_time", "requested_memory", "status", "user_id", "group_id",
    "executable_number", "queue_number", "partition_number", "preceding_job_number", "think_time",
)  # fmt: skip
"""Field names in the order of the definition; times in seconds."""

UNKNOWN = -1.0


def read(path: Path, side_table: Path | None) -> TraceReading:
    """Read a log, `.gz` too; the user is the user id, the virtual cluster the queue number, the estimate what was asked
    for (requested time), where that is known and > 0."""
    return TraceReading(rows=map(_job, _rows(path)))


def _rows(path: Path) -> Iterator[Row]:
    with readable(path), open_text(path) as file:
        for number, line in enumerate(file, start=1):
            values = line.split()
            if not values or values[0].startswith(";"):
                continue
            if len(values) != len(FIELDS):
                raise InputError(f"{path}, line {number}: {len(values)} values, the format has 18: {line.strip()!r}")
            yield Row(path=path, line=number, values=dict(zip(FIELDS, values, strict=True)))


def _job(row: Row) -> TraceJob | Aside:
    submit_s, run_s = row.finite("submit_time"), row.finite("run_time")
    if submit_s < 0:
        return aside(row, Reason.IMPOSSIBLE, "submit_time")
    if run_s == UNKNOWN:
        return aside(row, Reason.NO_DURATION, "run_time")
    column = "allocated_processors" if row.finite("allocated_processors") != UNKNOWN else "requested_processors"
    gpus = row.finite(column)
    if gpus == UNKNOWN:
        return aside(row, Reason.NO_GPU, column)
    asked_s = row.finite("requested_time")
    return unusable(row, gpus=(column, gpus), duration=("run_time", run_s)) or TraceJob(
        job_id=row.text("job_number"),
        submit_s=submit_s,
        gpus=gpus,
        duration_s=run_s,
        user=_known(row, "user_id"),
        vc=_known(row, "queue_number"),
        estimate_s=asked_s if asked_s > 0 else None,
    )


def _known(row: Row, column: str) -> str | None:
    return None if row.finite(column) == UNKNOWN else row.text(column)
