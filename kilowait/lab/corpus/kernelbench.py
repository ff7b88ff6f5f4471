"""KernelBench (Ouyang et al. 2025): public PyTorch programs with measured forward passes on many GPUs.

A row of the timing table is one program's mean over timed calls in one run on one board. The program is a file of the
repository at the commit that was timed; it defines `Model`, `get_inputs` and `get_init_inputs`, and the time is of
`Model(*get_init_inputs())(*get_inputs())` under torch.no_grad, fp32 by PyTorch's defaults (TF32 in
convolutions, not in products), in train mode: entry "forward".

Runs are kept apart in the table of timings. A label is the geometric mean over all runs of a program on a device type:
runs differ by factors (another host, another driver), and no run is known to be the right one. Where runs of one type
disagree by more than 10% the label is flagged.

Not covered: running the programs, and any other measurement than time.
"""

import ast
import csv
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kilowait.core import hardware
from kilowait.core.errors import InputError, SourceError
from kilowait.core.jobs import Provenance
from kilowait.lab.corpus.git_blobs import Blob, Wanted, read_blobs
from kilowait.program.source import source_from_bytes

ENTRY = "forward"
TOLERANCE = 0.1
"""Runs of one device type that differ by more than this share of their mean flag the label."""

COLUMNS = (
    "run",
    "level",
    "problem",
    "mean",
    "std",
    "hardware",
    "timing_commit",
    "source_path",
    "source_blob_at_commit",
)
"""What the timing table must have; `mean` and `std` are milliseconds."""

_DEFINES = {"Model", "get_inputs", "get_init_inputs"}
_KINDS = re.compile(
    r"(?P<loss>[a-z]*loss)|(?P<scan>cumsum|cumprod)|(?P<reduction>[a-z]+_reduction|argmax|argmin)"
    r"|(?P<pooling>[a-z]+_pooling)|(?P<transposed_convolution>conv_?transpose)|(?P<convolution>conv)"
    r"|(?P<matrix_product>matmul|matri|gemm|bmm)|(?P<normalisation>[a-z0-9]*norm)"
    r"|(?P<activation>[a-z]*(?:relu|sigmoid|tanh|softmax|swish|gelu|elu|softplus|softsign))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row that is left out: its line in the file, the column and value at fault, and why."""

    line: int
    column: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One accepted row: a program's mean and standard deviation over timed calls, in seconds, in one run."""

    line: int
    run: str
    level: str
    problem: str
    hardware: str
    device_type: str
    commit: str
    source_path: str
    blob: str
    runtime_s: float
    std_s: float
    content_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The bytes of programs by content hash, the timings of them, and what was left out."""

    programs: Mapping[str, bytes]
    timings: Sequence[Timing]
    refused: Sequence[Refused]
    other_levels: int


def import_kernelbench(repository: Path | str, timings: Path | str, levels: Collection[str]) -> Imported:
    """Read the rows of `levels` (such as "1") and their programs.

    Every row of the file is accepted, refused with a reason, or counted under `other_levels`. Raises InputError for
    a file that is no such table or of which no row is left, and for a repository that cannot be read.
    """
    numbered = list(_rows(timings))
    level_rows = [(line, row) for line, row in numbered if row["level"].removeprefix("level") in levels]
    checked = [_check(line, row) for line, row in level_rows]
    valid_timings = [outcome for outcome in checked if isinstance(outcome, Timing)]
    blobs = read_blobs(repository, [(t.commit, t.source_path) for t in valid_timings])
    sourced = [_with_source(timing, blobs) for timing in valid_timings]
    unique = list(_without_duplicates([pair for pair in sourced if not isinstance(pair, Refused)]))
    accepted = [pair for pair in unique if not isinstance(pair, Refused)]
    refused = [outcome for outcome in (*checked, *sourced, *unique) if isinstance(outcome, Refused)]
    if not accepted:
        first = f"; line {refused[0].line}, column {refused[0].column}: {refused[0].reason}" if refused else ""
        raise InputError(f"{timings}: no usable row of level {', '.join(sorted(levels))} among {len(numbered)}{first}")
    return Imported(
        programs={timing.content_hash: data for timing, data in accepted},
        timings=[timing for timing, _ in accepted],
        refused=sorted(refused, key=lambda r: r.line),
        other_levels=len(numbered) - len(level_rows),
    )


def _rows(path: Path | str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows with their line numbers (the header is line 1)."""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path}: lacks the columns {', '.join(missing)}; it has {reader.fieldnames}")
            for row in reader:
                yield reader.line_num, {name: row[name].strip() for name in COLUMNS}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file: {error}") from error


def _check(line: int, row: Mapping[str, str]) -> Timing | Refused:
    """What the row itself says, or the first thing wrong with it."""

    def refuse(column: str, reason: str) -> Refused:
        return Refused(line=line, column=column, value=row[column], reason=reason)

    for column in COLUMNS:
        if not row[column]:
            return refuse(column, "empty")
    numbers: dict[str, float] = {}
    for column, least in (("mean", math.ulp(0.0)), ("std", 0.0)):
        value = _number(row[column])
        if value is None or not least <= value < math.inf:
            return refuse(column, f"must be finite milliseconds {'> 0' if least else '>= 0'}, got {row[column]!r}")
        numbers[column] = value / 1000
    try:
        device_type = hardware.canonical(row["hardware"])
    except InputError as error:
        return refuse("hardware", str(error))
    return Timing(
        line=line,
        device_type=device_type,
        runtime_s=numbers["mean"],
        std_s=numbers["std"],
        commit=row["timing_commit"],
        blob=row["source_blob_at_commit"],
        **{name: row[name] for name in ("run", "level", "problem", "hardware", "source_path")},
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _with_source(timing: Timing, blobs: Mapping[Wanted, Blob | str]) -> tuple[Timing, bytes] | Refused:
    """The timing and its program, or what is wrong with the program."""

    def refuse(column: str, value: str, reason: str) -> Refused:
        return Refused(line=timing.line, column=column, value=value, reason=reason)

    blob = blobs[timing.commit, timing.source_path]
    if isinstance(blob, str):
        return refuse("timing_commit" if "commit id" in blob or "fetch" in blob else "source_path", timing.commit, blob)
    if blob.oid != timing.blob:
        actual = f"the file at that commit is blob {blob.oid}, not the one that was timed"
        return refuse("source_blob_at_commit", timing.blob, actual)
    try:
        source = source_from_bytes(timing.source_path, blob.data)
        missing_names = _DEFINES - set(_defined(source.text))
    except (SourceError, SyntaxError, ValueError) as error:
        return refuse("source_path", timing.source_path, f"not a program: {error}")
    if missing_names:
        return refuse("source_path", timing.source_path, f"the program defines no {', '.join(sorted(missing_names))}")
    return replace(timing, content_hash=source.content_hash), blob.data


def _defined(text: str) -> Iterator[str]:
    """Names that the module defines by class or def at its top level."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name


def _without_duplicates(pairs: Sequence[tuple[Timing, bytes]]) -> Iterator[tuple[Timing, bytes] | Refused]:
    """The first row of each (run, level, problem); later ones are refused, whatever they say."""
    first: dict[tuple[str, str, str], int] = {}
    for timing, data in pairs:
        key = (timing.run, timing.level, timing.problem)
        if key in first:
            reason = f"a second time of {timing.level}/{timing.problem} in this run; line {first[key]} has the first"
            yield Refused(line=timing.line, column="run", value=timing.run, reason=reason)
        else:
            first[key] = timing.line
            yield timing, data


def family(level: str, problem: str) -> str:
    """What kind of program the file's name says it is: the first operation it names, such as level2/convolution."""
    match = _KINDS.search(re.sub(r"^\d+_", "", problem.removesuffix(".py")))
    return f"{level}/{match.lastgroup if match and match.lastgroup else 'other'}".replace("_", " ")


def file_name(timing: Timing) -> str:
    """The program's name in the corpus folder; versions of one problem differ in the hash."""
    stem = re.sub(r"[^A-Za-z0-9]+", "_", timing.problem.removesuffix(".py")).strip("_")
    return f"{timing.level}_{stem}_{timing.content_hash[:8]}.py"


def _placed(timings: Sequence[Timing]) -> dict[str, Timing]:
    """For each program the first timing of it: its place in the corpus."""
    return {timing.content_hash: timing for timing in reversed(timings)}


def manifest_rows(imported: Imported) -> list[dict[str, Any]]:
    """Rows of columns.CORPUS; versions of one problem share a group."""
    return [
        {
            "content_hash": content_hash,
            "path": file_name(timing),
            "family": family(timing.level, timing.problem),
            "group": f"{timing.level}/{timing.problem.removesuffix('.py')}",
            "style": "kernelbench",
            "scale": "gpu",
            "hyperparameters": "{}",
            "source_bytes": len(imported.programs[content_hash]),
            "entry": ENTRY,
        }
        for content_hash, timing in sorted(_placed(imported.timings).items(), key=lambda item: item[1].line)
    ]


def label_rows(imported: Imported) -> list[dict[str, Any]]:
    """Rows of columns.POOLED_LABELS: one a program and device type, the geometric mean of its runs.

    `spread` is std / mean over the timed calls of a single run, and where there are several the distance between
    the slowest and the fastest run over their mean, if that is more.
    """
    pools: dict[tuple[str, str], list[Timing]] = {}
    for timing in imported.timings:
        pools.setdefault((timing.content_hash, timing.device_type), []).append(timing)
    placed = {row["content_hash"]: row for row in manifest_rows(imported)}
    return [_label(placed[script], device_type, pool) for (script, device_type), pool in pools.items()]


def _label(program: Mapping[str, Any], device_type: str, pool: Sequence[Timing]) -> dict[str, Any]:
    times = [timing.runtime_s for timing in pool]
    within = sum(timing.std_s / timing.runtime_s for timing in pool) / len(pool)
    between = (max(times) - min(times)) / (sum(times) / len(times))
    return {
        **{name: program[name] for name in ("content_hash", "family", "group", "style")},
        "device_type": device_type,
        "runs": len(pool),
        "runtime_s": math.exp(sum(math.log(value) for value in times) / len(times)),
        "energy_j": None,
        "spread": max(within, between),
        "flagged": between > TOLERANCE,
        "runtime_provenance": str(Provenance.MEASURED),
        "energy_provenance": None,
        "run": "+".join(dict.fromkeys(timing.run for timing in pool)),
    }
