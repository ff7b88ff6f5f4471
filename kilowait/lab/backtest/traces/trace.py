"""What a trace becomes: jobs in order of submission, and a report of every row that is not among them.

A cell that cannot be read is an error. A row that can be read but is no job (it never ran, it ends before it starts)
is set aside and counted by reason.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from kilowait.core.errors import InputError
from kilowait.files.rows import Row


class Reason(StrEnum):
    """Why a row of a trace is no job of the backtest."""

    CENSORED = "censored: still running when the trace ends"
    NEVER_STARTED = "never started"
    NO_DURATION = "no duration given"
    ZERO_LENGTH = "zero length"
    NO_GPU = "asks for no GPU"
    NO_TASK = "no row in the task table"
    UNMEASURED = "no measured throughput of its type at its number of GPUs"
    IMPOSSIBLE = "impossible values"
    DUPLICATE_ID = "job id seen before"
    OTHER_VC = "another virtual cluster than the one asked for"
    BEYOND_LIMIT = "after the first jobs asked for"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceJob:
    """A job that ran: `submit_s` from the trace's first arrival, `gpus` with fractions, `duration_s` as it ran.

    `allowed` names the GPU types it asked for (None: any), `barred` types it was seen not to run on; both as the trace
    writes them. `measured_s` and `measured_kwh` hold what the trace measured by type, seconds and kWh of the whole job
    over all its GPUs. `one_node` says that its GPUs must be of one node. `estimate_s` is how long its user said that it
    would take. Raises InputError for a time, a length or a number of GPUs that no job can have.
    """

    job_id: str
    submit_s: float
    gpus: float
    duration_s: float
    user: str | None = None
    vc: str | None = None
    allowed: frozenset[str] | None = None
    barred: frozenset[str] = frozenset()
    job_type: str | None = None
    one_node: bool = False
    measured_s: Mapping[str, float] = field(default_factory=dict)
    measured_kwh: Mapping[str, float] = field(default_factory=dict)
    estimate_s: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.submit_s):
            raise InputError(f"job {self.job_id}: submit_s must be finite, got {self.submit_s!r}")
        for name in ("gpus", "duration_s", *(() if self.estimate_s is None else ("estimate_s",))):
            got = getattr(self, name)
            if not (math.isfinite(got) and got > 0):
                raise InputError(f"job {self.job_id}: {name} must be finite and > 0, got {got!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A row that is no job: why, and the row as an example."""

    reason: Reason
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceReading:
    """What a format's reader hands over: a job or an aside for every row, and what it left out of side tables."""

    rows: Iterable[TraceJob | Aside]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceReport:
    """Where every row of a trace went: `rows_read` = `used` + the sum of `set_aside`.

    `unsorted` counts used jobs that the file lists after another used one that was submitted later; they were sorted.
    `examples` shows the first row of each reason. `first_submit_s` is the trace's own time of the first arrival.
    """

    source: str
    format: str
    rows_read: int
    used: int
    set_aside: Mapping[Reason, int]
    examples: Mapping[Reason, str]
    unsorted: int
    first_submit_s: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The jobs by submission, the first at 0 s, and the report."""

    jobs: tuple[TraceJob, ...]
    report: TraceReport


def aside(row: Row, reason: Reason, column: str) -> Aside:
    """The row set aside, with the value of `column` that decided it."""
    shown = row.values.get(column, "")
    return Aside(reason=reason, example=f"{row.unit} {row.line}, {column} {shown!r}")


def unusable(row: Row, *, gpus: tuple[str, float], duration: tuple[str, float]) -> Aside | None:
    """The aside of a row whose GPUs or seconds are no job's, None for a job's; each is (column, value)."""
    column, count = gpus
    if count <= 0:
        return aside(row, Reason.NO_GPU if count == 0 else Reason.IMPOSSIBLE, column)
    column, seconds = duration
    if seconds <= 0:
        return aside(row, Reason.ZERO_LENGTH if seconds == 0 else Reason.IMPOSSIBLE, column)
    return None


def assemble(
    reading: TraceReading, *, source: str, name: str, vc: str | None = None, limit: int | None = None
) -> Trace:
    """Sort what was read, keep one virtual cluster and the first `limit` jobs if asked, and count everything.

    Raises InputError when no job is left, with the report's counts.
    """
    rows = list(reading.rows)
    asides = [row for row in rows if isinstance(row, Aside)]
    jobs = [row for row in rows if isinstance(row, TraceJob)]
    kept = _first_of_each_id(_of_vc(jobs, vc, asides), asides)
    ordered = _first_submitted(kept, limit, asides)
    used = {job.job_id for job in ordered}
    start_s = ordered[0].submit_s if ordered else 0.0
    report = TraceReport(
        source=source,
        format=name,
        rows_read=len(rows),
        used=len(ordered),
        set_aside=dict(sorted(Counter(a.reason for a in asides).items())),
        examples={a.reason: a.example for a in reversed(asides)},
        unsorted=_late([job for job in kept if job.job_id in used]),
        first_submit_s=start_s,
        notes=reading.notes,
    )
    if not ordered:
        raise InputError(_nothing_left(report, vc, jobs))
    return Trace(jobs=tuple(replace(job, submit_s=job.submit_s - start_s) for job in ordered), report=report)


def _of_vc(jobs: Sequence[TraceJob], vc: str | None, asides: list[Aside]) -> list[TraceJob]:
    """The jobs of one virtual cluster, all for None; the others go to `asides`."""
    if vc is None:
        return list(jobs)
    asides += [_left_out(job, Reason.OTHER_VC) for job in jobs if job.vc != vc]
    return [job for job in jobs if job.vc == vc]


def _first_of_each_id(jobs: Sequence[TraceJob], asides: list[Aside]) -> list[TraceJob]:
    """The first job of each id; later ones go to `asides`."""
    first: dict[str, TraceJob] = {}
    asides += [_left_out(job, Reason.DUPLICATE_ID) for job in jobs if first.setdefault(job.job_id, job) is not job]
    return list(first.values())


def _first_submitted(jobs: Sequence[TraceJob], limit: int | None, asides: list[Aside]) -> list[TraceJob]:
    """The first `limit` jobs by submission, all for None; the others go to `asides`."""
    ordered = sorted(jobs, key=lambda job: job.submit_s)
    asides += [] if limit is None else [_left_out(job, Reason.BEYOND_LIMIT) for job in ordered[limit:]]
    return ordered[:limit]


def _left_out(job: TraceJob, reason: Reason) -> Aside:
    return Aside(reason=reason, example=f"job {job.job_id!r}" + ("" if job.vc is None else f" of {job.vc}"))


def _late(jobs: Sequence[TraceJob]) -> int:
    """Jobs that stand after one submitted later."""
    latest, late = -math.inf, 0
    for job in jobs:
        late += job.submit_s < latest
        latest = max(latest, job.submit_s)
    return late


def _nothing_left(report: TraceReport, vc: str | None, jobs: Sequence[TraceJob]) -> str:
    counts = "; ".join(f"{reason}: {count}" for reason, count in report.set_aside.items()) or "the file has no rows"
    have = ", ".join(sorted({job.vc for job in jobs if job.vc is not None})) or "none named"
    hint = "" if vc is None else f"; --vc {vc!r} was asked for, virtual clusters here: {have}"
    return f"{report.source}: no usable job among {report.rows_read} rows ({counts}){hint}"
