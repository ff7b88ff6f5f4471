"""Our own columns, for traces of any other origin: CSV (.csv, .csv.gz) or Parquet (.parquet).

| column | meaning |
|---|---|
| job_id | any text; of several rows with one id the first counts |
| submit_s | seconds on any clock |
| gpus | GPUs of the whole job, a fraction where it shared one |
| duration_s | seconds it ran; empty where unknown, and the row is set aside |
| user, vc, job_type | optional text: user, virtual cluster, kind of job |
| allowed | optional: GPU types it may use, between vertical bars; empty for any |
| <TYPE>_s | optional: measured seconds on this type |
| <TYPE>_kwh | optional beside <TYPE>_s: measured kWh of the whole job there |

An empty <TYPE>_s means that it was not measured there. Unknown columns are errors, so that a typing mistake is seen.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.files.parquet import read_any_table, text_rows
from kilowait.files.rows import Row, needs, read_csv
from kilowait.lab.backtest.traces.trace import Aside, Reason, TraceJob, TraceReading, aside, unusable

REQUIRED = ("job_id", "submit_s", "gpus", "duration_s")
OPTIONAL = ("user", "vc", "job_type", "allowed")


def read(path: Path, side_table: Path | None) -> TraceReading:
    """Read a CSV or Parquet file of the columns above."""
    rows = _parquet(path) if path.suffix == ".parquet" else read_csv(path, partial(_check_header, path))
    return TraceReading(rows=map(_job, rows))


def _check_header(path: Path, header: Sequence[str]) -> None:
    """Raises InputError for missing, unknown and doubled columns."""
    needs(path, REQUIRED)(header)
    for column in header:
        if column in (*REQUIRED, *OPTIONAL):
            known = True
        elif column.endswith("_kwh"):
            known = column.removesuffix("kwh") + "s" in header
        else:
            known = column.endswith("_s") and column != "_s"
        if not known or header.count(column) > 1:
            problem = "stands twice" if known else f"unknown; columns are {', '.join(REQUIRED + OPTIONAL)}, <TYPE>_s"
            raise InputError(f"{path}, line 1, column {column!r}: {problem}{'' if known else ' and <TYPE>_kwh'}")


def _parquet(path: Path) -> Iterator[Row]:
    data = read_any_table(path)
    _check_header(path, data.column_names)
    yield from text_rows(path, data)


def _job(row: Row) -> TraceJob | Aside:
    job_id, submit_s, gpus = row.text("job_id"), row.finite("submit_s"), row.finite("gpus")
    seconds, kwh = _measured(row)
    if row.empty("duration_s"):
        return aside(row, Reason.NO_DURATION, "duration_s")
    duration_s = row.finite("duration_s")
    return unusable(row, gpus=("gpus", gpus), duration=("duration_s", duration_s)) or TraceJob(
        job_id=job_id,
        submit_s=submit_s,
        gpus=gpus,
        duration_s=duration_s,
        user=row.optional("user"),
        vc=row.optional("vc"),
        allowed=row.parts("allowed"),
        job_type=row.optional("job_type"),
        measured_s=seconds,
        measured_kwh=kwh,
    )


def _measured(row: Row) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Seconds and kWh by type, where given."""
    seconds, kwh = {}, {}
    for column in row.values:
        if column in REQUIRED or column in OPTIONAL or row.empty(column):
            continue
        if column.endswith("_kwh"):
            gpu_type = column.removesuffix("_kwh")
            if row.empty(f"{gpu_type}_s"):
                raise row.wrong(f"{gpu_type}_s", f"must be given, as {column} is ({row.values[column]!r})")
            kwh[gpu_type] = row.number(column)
        else:
            seconds[column.removesuffix("_s")] = row.number(column, positive=True)
    return seconds, kwh
