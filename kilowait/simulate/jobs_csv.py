"""Jobs and predictions from CSV, placements to CSV: the files of `kilowait simulate`.

Columns are `job_id,submit_s,gpus` and two a GPU type, `<TYPE>_s` and `<TYPE>_kwh` (the whole job over all its GPUs);
both empty means that the job may not run there. An optional `<TYPE>_gpus` overrides `gpus` on that type. Optional
columns `user` and `priority` (a whole number, the larger the more urgent, empty for 0) are for policies that look at
them, and `checkpoint_s`, seconds that it takes to go on from a checkpoint, for those that preempt; a job without one
cannot be preempted. Optional columns `slack_s`, for how long after its submission a job may be kept for cheaper hours,
and `deadline_s`, when it shall be done on the clock of `submit_s`, are empty where nothing is said; `after` has the ids
of jobs after which it runs, with spaces between. Optional columns
`gpu_milli` (thousandths of a board for a job of one GPU, empty for a whole one)
and `one_node` (yes or no, empty for no: all GPUs of one node) say where a job fits; its seconds and kWh are those of
its share. Optional columns `<TYPE>_low_s` and `<TYPE>_high_s`, `<TYPE>_low_kwh` and `<TYPE>_high_kwh` are the ends of
90% prediction intervals, both or neither. Types that the cluster does not have are left out: their columns must come in
pairs, their values are not read. Every complaint names the file, the line, the column and the value.
"""

import csv
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import WHOLE
from kilowait.files.rows import Row, read_csv
from kilowait.simulate.run import Placement, Submission

_FIXED = ("job_id", "submit_s", "gpus")
_OPTIONAL = ("user", "priority", "checkpoint_s", "slack_s", "deadline_s", "after", "gpu_milli", "one_node")
_YES_NO = {"yes": True, "no": False, "": False}
_UNITS = ("s", "kwh")
_END = re.compile(r"(.+)_(low|high)_(s|kwh)")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One line of a jobs file: the job and its numbers by GPU type."""

    job: Job
    by_type: Mapping[str, Prediction]
    line: int


def read_submissions(
    jobs: Path | str, gpu_types: Collection[str], predictions: Path | str | None = None
) -> list[Submission]:
    """Read true values from `jobs` and what a policy sees from `predictions` (None: it sees the truth).

    Only the columns of `gpu_types` count. A predictions file may hold further jobs, which are left out. Raises
    InputError for anything malformed, for a job that `predictions` lacks, and for one whose submit time, GPUs or
    allowed types differ there.
    """
    rows = read_jobs(jobs, gpu_types)
    if predictions is None:
        return [Submission(job=row.job, truth=row.by_type, seen=row.by_type) for row in rows.values()]
    predicted_rows = read_jobs(predictions, gpu_types)
    for row in rows.values():
        _check_agree(row, predicted_rows.get(row.job.job_id), Path(jobs), Path(predictions))
    return [
        Submission(job=row.job, truth=row.by_type, seen=predicted_rows[job_id].by_type) for job_id, row in rows.items()
    ]


def read_jobs(path: Path | str, gpu_types: Collection[str]) -> dict[str, JobRow]:
    """Read a jobs file by job id, in its order; a header alone is no jobs. Raises InputError naming the culprit."""
    path = Path(path)
    rows: dict[str, JobRow] = {}
    for csv_row in read_csv(path, partial(_check_header, path, gpu_types)):
        row = _row(csv_row, gpu_types)
        earlier = rows.setdefault(row.job.job_id, row)
        if earlier is not row:
            raise csv_row.wrong("job_id", f"must be unique, line {earlier.line} has it too")
    return rows


def write_placements(path: Path | str, placements: Iterable[Placement]) -> None:
    """Write `job_id,start_s,gpu_type` in the order of the decisions; raises InputError when it cannot be written.

    Where a power limit was chosen there is a column `limit_w` too, in watts a board.
    """
    rows = [(p.job_id, repr(p.start_s), p.gpu_type, "" if p.limit_w is None else f"{p.limit_w:g}") for p in placements]
    columns = 4 if any(row[3] for row in rows) else 3
    try:
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("job_id", "start_s", "gpu_type", "limit_w")[:columns])
            writer.writerows(row[:columns] for row in rows)
    except OSError as error:
        raise InputError(f"{path}: the placements cannot be written: {error.strerror}") from error


def _check_header(path: Path, gpu_types: Collection[str], header: Sequence[str]) -> None:
    """Raises InputError for missing, unknown and doubled columns."""
    where = f"{path}, line 1"
    if not header:
        raise InputError(f"{where}: no header; the first line must be {','.join(_FIXED)} and two columns a GPU type")
    _check_names(where, gpu_types)
    duplicates = sorted({column for column in header if header.count(column) > 1})
    if duplicates:
        raise InputError(f"{where}, column {duplicates[0]}: stands {header.count(duplicates[0])} times")
    ends = _interval_ends(gpu_types, header)
    other_types = {t for column in header if column not in (*_FIXED, *_OPTIONAL, *ends) and (t := _pair_type(column))}
    required = [*_FIXED, *(f"{t}_{unit}" for t in (*gpu_types, *sorted(other_types)) for unit in _UNITS)]
    for column in (*required, *ends.values()):
        if column not in header:
            raise InputError(f"{where}, column {column}: missing; the file has {', '.join(header)}")
    allowed = {*required, *ends, *_OPTIONAL, *(f"{t}_gpus" for t in (*gpu_types, *other_types))}
    for column in header:
        if column not in allowed:
            raise InputError(f"{where}, column {column!r}: unknown; a GPU type has <TYPE>_s, <TYPE>_kwh, <TYPE>_gpus")


def _check_names(where: str, gpu_types: Collection[str]) -> None:
    """Raises InputError for types whose columns would be those of something else."""
    for name in {"submit", "checkpoint", "slack", "deadline"} & set(gpu_types):
        raise InputError(f"{where}, column {name}_s: no GPU type can be called {name!r}; rename it")
    for gpu_type, end in product(gpu_types, ("low", "high")):
        if f"{gpu_type}_{end}" in gpu_types:
            raise InputError(
                f"{where}, column {gpu_type}_{end}_s: a GPU type called '{gpu_type}_{end}', or an end of an interval "
                f"of '{gpu_type}'? Rename one of the types"
            )


def _interval_ends(gpu_types: Collection[str], header: Sequence[str]) -> dict[str, str]:
    """Columns of intervals by name, each with the one of the other end; a type may be called X_low."""
    ends = {}
    for column in header:
        if match := _END.fullmatch(column):
            stem, end, unit = match.groups()
            if f"{stem}_{end}" not in gpu_types and (stem in gpu_types or f"{stem}_{unit}" in header):
                ends[column] = f"{stem}_{'high' if end == 'low' else 'low'}_{unit}"
    return ends


def _pair_type(column: str) -> str | None:
    """The GPU type whose time or energy `column` holds, None for any other column."""
    return next((column.removesuffix(end) for end in ("_kwh", "_s") if column.endswith(end)), None)


def _row(csv_row: Row, gpu_types: Collection[str]) -> JobRow:
    job_id = csv_row.values["job_id"]
    if not job_id.strip():
        raise csv_row.wrong("job_id", "must not be empty")
    by_type = {t: p for t in gpu_types if (p := _prediction(csv_row, t)) is not None}
    overrides = {t: csv_row.whole(f"{t}_gpus") for t in gpu_types if csv_row.values.get(f"{t}_gpus", "").strip()}
    job = Job(
        job_id=job_id,
        submit_s=csv_row.number("submit_s"),
        gpus=csv_row.whole("gpus"),
        gpus_by_type=overrides,
        allowed=frozenset(by_type),
        user=csv_row.values.get("user", "").strip() or None,
        priority=csv_row.integer("priority"),
        checkpoint_s=_seconds(csv_row, "checkpoint_s"),
        slack_s=_seconds(csv_row, "slack_s"),
        deadline_s=_seconds(csv_row, "deadline_s"),
        after=tuple(dict.fromkeys(csv_row.values.get("after", "").split())),
        gpu_milli=_share(csv_row, overrides),
        one_node=_one_node(csv_row),
    )
    return JobRow(job=job, by_type=by_type, line=csv_row.line)


def _seconds(csv_row: Row, column: str) -> float | None:
    return None if csv_row.empty(column) else csv_row.number(column)


def _share(csv_row: Row, overrides: Mapping[str, int]) -> int:
    """Thousandths of a board, a whole one where nothing is said."""
    if csv_row.empty("gpu_milli"):
        return WHOLE
    milli = csv_row.whole("gpu_milli")
    if milli > WHOLE:
        raise csv_row.wrong("gpu_milli", f"must be at most {WHOLE}, a whole GPU")
    if milli < WHOLE and {csv_row.whole("gpus"), *overrides.values()} != {1}:
        raise csv_row.wrong("gpu_milli", f"below {WHOLE} it is a share of one GPU, and the job takes more")
    return milli


def _one_node(csv_row: Row) -> bool:
    text = csv_row.values.get("one_node", "").strip().lower()
    if text not in _YES_NO:
        raise csv_row.wrong("one_node", "must be yes or no, or empty for no")
    return _YES_NO[text]


def _prediction(csv_row: Row, gpu_type: str) -> Prediction | None:
    """The numbers of one type, None where both cells are empty."""
    time, energy = f"{gpu_type}_s", f"{gpu_type}_kwh"
    empty = [column for column in (time, energy) if not csv_row.values[column].strip()]
    if len(empty) == 2:
        _check_no_interval(csv_row, gpu_type)
        return None
    if empty:
        other = energy if empty == [time] else time
        raise csv_row.wrong(
            empty[0], f"must be given, as {other} is ({csv_row.values[other]!r}); empty both to forbid it"
        )
    runtime_s, energy_kwh = csv_row.number(time, positive=True), csv_row.number(energy)
    runtime_low_s, runtime_high_s = _interval(csv_row, gpu_type, "s", runtime_s)
    energy_low_kwh, energy_high_kwh = _interval(csv_row, gpu_type, "kwh", energy_kwh)
    return Prediction(
        runtime_s=runtime_s,
        energy_kwh=energy_kwh,
        runtime_low_s=runtime_low_s,
        runtime_high_s=runtime_high_s,
        energy_low_kwh=energy_low_kwh,
        energy_high_kwh=energy_high_kwh,
    )


def _check_no_interval(csv_row: Row, gpu_type: str) -> None:
    for unit, end in product(_UNITS, ("low", "high")):
        if not csv_row.empty(f"{gpu_type}_{end}_{unit}"):
            raise csv_row.wrong(f"{gpu_type}_{end}_{unit}", f"must be empty, as {gpu_type}_s and {gpu_type}_kwh are")


def _interval(csv_row: Row, gpu_type: str, unit: str, point: float) -> tuple[float, float] | tuple[None, None]:
    """Both ends, or None twice where the file gives none; raises InputError unless they lie around `point`."""
    columns = [f"{gpu_type}_{end}_{unit}" for end in ("low", "high")]
    if all(csv_row.empty(column) for column in columns):
        return None, None
    for column in columns:
        if csv_row.empty(column):
            raise csv_row.wrong(column, "must be given, as the other end of the interval is")
    low, high = (csv_row.number(column, positive=True) for column in columns)
    for column, valid in zip(columns, (low <= point, point <= high), strict=True):
        if not valid:
            side = "at most" if column == columns[0] else "at least"
            raise csv_row.wrong(column, f"must be {side} {gpu_type}_{unit} ({point!r})")
    return low, high


def _check_agree(row: JobRow, predicted: JobRow | None, jobs: Path, predictions: Path) -> None:
    """Raises InputError unless `predicted` is about the same job."""
    job_id = row.job.job_id
    where = f"{predictions}: job {job_id!r} ({jobs}, line {row.line})"
    if predicted is None:
        raise InputError(f"{where} is missing from column job_id; every job needs a line of predictions")
    where = f"{predictions}, line {predicted.line}, column"
    for gpu_type in sorted(row.by_type.keys() ^ predicted.by_type.keys()):
        difference = "is allowed here, but not" if gpu_type in predicted.by_type else "may not be empty: it is allowed"
        raise InputError(f"{where} {gpu_type}_s: job {job_id!r} {difference} in {jobs}, line {row.line}")
    job, predicted_job = row.job, predicted.job
    if job.submit_s != predicted_job.submit_s:
        raise InputError(f"{where} submit_s: {predicted_job.submit_s!r} is {job.submit_s!r} in {jobs}, line {row.line}")
    for name in ("gpu_milli", "one_node"):
        if getattr(job, name) != getattr(predicted_job, name):
            raise InputError(
                f"{where} {name}: {getattr(predicted_job, name)} is {getattr(job, name)} in {jobs}, line {row.line}"
            )
    for gpu_type in row.by_type:
        if job.gpus_on(gpu_type) != predicted_job.gpus_on(gpu_type):
            raise InputError(
                f"{where} gpus or {gpu_type}_gpus: {predicted_job.gpus_on(gpu_type)} is {job.gpus_on(gpu_type)} "
                f"in {jobs}, line {row.line}"
            )
