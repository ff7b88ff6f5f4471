"""Finished jobs as `sacct --parsable2` writes them, with a head line that names the columns, in any order.

A field may hold line ends and the sign between the columns: a record begins where a line has a job's id in its place.
Steps, jobs that have not ended and the parts of a heterogeneous job are told apart, an array's tasks one by one; a job
that was requeued has several records, of which only one that completed counts.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import combinations_with_replacement, islice

from kilowait.advise.slurm.slurm_commands import output_of
from kilowait.core.errors import InputError

COLUMNS = (
    "JobID", "Cluster", "User", "Partition", "State", "ExitCode", "Submit", "Start", "End", "ElapsedRaw",
    "TimelimitRaw", "AllocTRES", "NodeList", "ConsumedEnergyRaw", "JobName", "Comment",
)  # fmt: skip
NEEDED = ("JobID", "State", "ElapsedRaw", "End", "AllocTRES", "Comment")
_JOB_ID = re.compile(r"\d+(?:_(?:\d+|\[[^\]]*\]))?(?:\+\d+)?(?:\.\w+)?(?:\+\d+)?")
_FORMS = {
    "JobID": _JOB_ID,
    "State": re.compile(r"[A-Z_]+( .*)?"),
    "End": re.compile(r"\d[-\dT:+.Z]*|Unknown|None|"),
    "ElapsedRaw": re.compile(r"\d*"),
    "AllocTRES": re.compile(r"(?:[^\s=,]+=[^\s=,]+(?:,[^\s=,]+=[^\s=,]+)*,?)?"),
}
_GPU = re.compile(r"gres/gpu(?::([^=,]+))?=(\d+)")
_NO_VALUE = 2**64 - 3
"""From here on 64 bits are Slurm's signs for a number that it does not have."""
_FREE = ("Comment", "JobName", "SubmitLine", "WorkDir", "AdminComment", "SystemComment", "Reason")
"""Columns of free text: what is too much in a line belongs to one of them, one that leaves the others right."""
MOST_SURPLUS, MOST_WAYS = 24, 2000
"""Signs too many in a record, and ways to divide them among its columns, that are tried."""
_UNREAD = dict.fromkeys(NEEDED, "")
"""What is read of a record that cannot be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountedJob:
    """One record: `gpus` by the type's word ("" for none), times in seconds since the epoch, `energy_j` of Slurm's own.

    `part` says what kind of record it is where it is no job of its own ("" where it is).
    """

    job_id: str
    cluster: str
    user: str
    state: str
    exit_code: int
    submit_s: float
    end_s: float
    elapsed_s: float
    limit_s: float | None
    gpus: Mapping[str, int]
    energy_j: float | None
    comment: str
    part: str = ""
    name: str = ""

    @property
    def completed(self) -> bool:
        """Whether it ran to its own end."""
        return self.state == "COMPLETED" and self.exit_code == 0 and self.elapsed_s > 0 and not self.part


def ask_accounting(since: str, everybody: bool) -> list[AccountedJob]:
    """Jobs that ended since then (as sacct takes it), one's own or everybody's; raises ServiceError."""
    words = ["sacct", "--parsable2", "--duplicates", f"--starttime={since}", "--format=" + ",".join(COLUMNS)]
    return read_accounting(output_of([*words, *(["--allusers"] if everybody else [])], within_s=120.0), UTC)


def read_accounting(text: str, zone: tzinfo | None) -> list[AccountedJob]:
    """The records of a dump; times without an offset are in `zone` (None: this machine's). Raises InputError."""
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines:
        raise InputError("no line in it; write it with sacct --parsable2 --format=" + ",".join(COLUMNS))
    sign = "|" if "|" in lines[0] else "\t"  # --delimiter
    columns = lines[0].split(sign)
    if missing := [name for name in NEEDED if name not in columns]:
        raise InputError(
            f"its first line has no column {', '.join(missing)}; write it with sacct --parsable2 --format="
            + ",".join(COLUMNS)
        )
    rows = (_row(record, columns, sign) for record in _records(lines[1:], columns, sign))
    return [_job(row, zone) for row in rows]


def _records(lines: Sequence[str], columns: Sequence[str], sign: str) -> Iterator[str]:
    """Lines joined to records.

    Where the id is not the first column a line end may stand before it: another record begins there only where this one
    is whole, or with a line that is whole by itself.
    """
    at, whole = columns.index("JobID"), len(columns)
    record: list[str] = []
    for line in lines:
        parts = line.split(sign)
        in_place = len(parts) > max(at, 1) and _JOB_ID.fullmatch(parts[at])
        by_itself = at > 0 and any(map(_JOB_ID.fullmatch, parts[at : at + 1 + len(parts) - whole]))
        begins = by_itself or (in_place and (at == 0 or "\n".join(record).count(sign) >= whole - 1))
        if record and begins:
            yield "\n".join(record)
            record = []
        record.append(line)
    if record and record[0]:
        yield "\n".join(record)


def _row(record: str, columns: Sequence[str], sign: str) -> dict[str, str]:
    """A record by column, or `_UNREAD`; what is too much goes where it leaves the rest right."""
    parts = record.split(sign)
    surplus = len(parts) - len(columns)
    if surplus <= 0:
        return dict(zip(columns, [*parts, *[""] * -surplus], strict=True))
    places = [columns.index(name) for name in _FREE if name in columns] or [len(columns) - 1]
    ways = combinations_with_replacement(places, surplus) if surplus <= MOST_SURPLUS else ()
    rows = (_divided(parts, columns, sign, Counter(way)) for way in islice(ways, MOST_WAYS))
    return next((row for row in rows if _is_right(row)), _UNREAD)


def _divided(parts: Sequence[str], columns: Sequence[str], sign: str, more: Mapping[int, int]) -> dict[str, str]:
    """Columns of one part each, and of so many `more` as are said."""
    row, begin = dict[str, str](), 0
    for place, name in enumerate(columns):
        end = begin + 1 + more.get(place, 0)
        row[name], begin = sign.join(parts[begin:end]), end
    return row


def _is_right(row: Mapping[str, str]) -> bool:
    """Whether its columns hold what they are called."""
    return all(form.fullmatch(row[name]) for name, form in _FORMS.items())


def _job(row: Mapping[str, str], zone: tzinfo | None) -> AccountedJob:
    job_id, limit = row["JobID"], row.get("TimelimitRaw", "")
    energy = row.get("ConsumedEnergyRaw", "")
    return AccountedJob(
        job_id=job_id,
        cluster=row.get("Cluster", ""),
        user=row.get("User", ""),
        state=row["State"].split(" ")[0],  # CANCELLED by 1000
        exit_code=exit_code_of(row.get("ExitCode", "0:0")),
        submit_s=moment_s(row.get("Submit", ""), zone),
        end_s=moment_s(row["End"], zone),
        elapsed_s=float(row["ElapsedRaw"]) if row["ElapsedRaw"].isdigit() else 0.0,
        limit_s=60.0 * int(limit) if limit.isdigit() else None,
        gpus=gpus_of(row["AllocTRES"]),
        energy_j=float(energy) if energy.isdigit() and 0 < int(energy) < _NO_VALUE else None,
        comment=row["Comment"],
        part=_part(job_id),
        name=row.get("JobName", ""),
    )


def _part(job_id: str) -> str:
    if not job_id:
        return "a record that cannot be told apart"
    if "." in job_id:
        return "a step"
    if "[" in job_id:
        return "tasks that have not started"
    return "a part of a heterogeneous job" if "+" in job_id else ""


def exit_code_of(text: str) -> int:
    """Of `1:0` the code, of `0:9` the signal."""
    code, _, signal = text.partition(":")
    return int(code) if code.isdigit() and code != "0" else int(signal) if signal.isdigit() else 0


def gpus_of(tres: str) -> dict[str, int]:
    """GPUs by type; without types all of them under ""."""
    found = {word: int(count) for word, count in _GPU.findall(tres)}
    typed = {word: count for word, count in found.items() if word}
    return typed or found


def moment_s(text: str, zone: tzinfo | None) -> float:
    """Seconds since the epoch, 0 where there is no time."""
    if text.isdigit():
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
