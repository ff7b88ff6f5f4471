"""Gavel (OSDI'20): jobs of known types, and the steps a second that each type was measured to do on each GPU type.

Jobs: `vc,job_type,num_steps_arg,needs_data_dir,total_steps,arrival_time_s,scale_factor`; job types were assigned to
Philly arrivals at random. Throughputs: `file,gpu,key,model,batch_size,scale_factor,steps_per_s`, where `key` is a
Python tuple of job type and scale factor. Source: stanford-futuredata/gavel (MIT), its traces and throughput tables
as CSV.

Seconds on a type are total steps over steps a second at the job's number of GPUs. Used are the rows of
`simulation_throughputs` with all GPUs on as few nodes as possible (not `*_unconsolidated`). 0 steps a second means that
the type was tried and did not run it. `duration_s` is the time on a V100, the trace's reference type.
"""

import ast
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.files.rows import Row, needs, read_csv
from kilowait.lab.backtest.traces.trace import Aside, Reason, TraceJob, TraceReading, aside, unusable

JOBS = ("vc", "job_type", "total_steps", "arrival_time_s", "scale_factor")
THROUGHPUTS = ("file", "gpu", "key", "steps_per_s")
USED_FILE = "simulation_throughputs"
REFERENCE = "V100"
SPREAD = "_unconsolidated"

Key = tuple[str, int]


def read(path: Path, side_table: Path | None) -> TraceReading:
    """Read jobs from `path` and throughputs from `side_table`; raises InputError without one."""
    if side_table is None:
        raise InputError(f"{path}: Gavel's jobs need the throughputs; name them with --side-table")
    table, left_out = _throughputs(side_table)
    notes = tuple(f"{side_table.name}: {count} rows left out: {why}" for why, count in left_out.items())
    jobs = read_csv(path, needs(path, JOBS))
    return TraceReading(rows=map(partial(_job, table=table), jobs), notes=notes)


def _throughputs(path: Path) -> tuple[Mapping[Key, Mapping[str, float]], Counter[str]]:
    """Steps a second by job type, scale factor and GPU type, and rows that are not used, by reason."""
    table: defaultdict[Key, dict[str, float]] = defaultdict(dict)
    left_out: Counter[str] = Counter()
    for row in read_csv(path, needs(path, THROUGHPUTS)):
        gpu, steps_per_s = row.text("gpu"), row.number("steps_per_s")
        if row.text("file") != USED_FILE:
            left_out[f"of {row.text('file')}, {USED_FILE} is used"] += 1
        elif gpu.endswith(SPREAD):
            left_out["GPUs spread over nodes"] += 1
        elif table[_key(row)].setdefault(gpu.upper(), steps_per_s) != steps_per_s:
            raise row.wrong("steps_per_s", f"another row has other steps a second of {row.text('key')} on {gpu}")
    return dict(table), left_out


def _key(row: Row) -> Key:
    """`('ResNet-18 (batch size 16)', 2)` as a tuple; raises InputError for anything else."""
    try:
        job_type, scale_factor = ast.literal_eval(row.text("key"))
        return str(job_type), int(scale_factor)
    except (ValueError, SyntaxError, TypeError):
        raise row.wrong("key", "must be a tuple of job type and scale factor, like ('A3C', 1)") from None


def _job(row: Row, *, table: Mapping[Key, Mapping[str, float]]) -> TraceJob | Aside:
    steps, gpus = row.finite("total_steps"), row.finite("scale_factor")
    problem = unusable(row, gpus=("scale_factor", gpus), duration=("total_steps", steps))
    if problem is not None:
        return problem
    by_type = table.get((row.text("job_type"), row.whole("scale_factor")), {})
    seconds = {gpu: steps / rate for gpu, rate in by_type.items() if rate > 0}
    if not seconds:
        return aside(row, Reason.UNMEASURED, "job_type")
    return TraceJob(
        job_id=f"line-{row.line}",
        submit_s=row.finite("arrival_time_s"),
        gpus=gpus,
        duration_s=seconds.get(REFERENCE, min(seconds.values())),
        vc=row.optional("vc"),
        barred=frozenset(gpu for gpu, rate in by_type.items() if rate == 0),
        job_type=row.text("job_type"),
        measured_s=seconds,
    )
