"""How many small programs `kilowait predict` answers as the first lines of each say: `python -m benchmarks.small_jobs`.

    python -m benchmarks.small_jobs --programs DIR
    python -m benchmarks.small_jobs --programs DIR --python venv/bin/python --json out/small_jobs.json

A program states in its leading comment, after "Right:", its optimizer steps, its FLOPs (a number with its unit, the
result of a sum, a range, or "at most"), its memory, or environment variables of its job. Right: steps within 2%, FLOPs
within 15% (20% below 1 MFLOP), and a doubt (an assumption that is said, or not whole) where those lines ask for one; a
program of another framework is right with the line that says so. Doubted: not right, but the answer says itself that
it is partial or failed, or what it assumed. Wrong: the rest.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf, prod
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.asked_predictions import Answer, Asked, add_asking_options, ask, asked_by, named
from benchmarks.json_record import keep
from benchmarks.program_kinds import HONEST, kind_of
from kilowait.core.errors import InputError

STEPS_WITHIN, FLOPS_WITHIN, FEW_FLOPS, FEW_WITHIN = 0.02, 0.15, 1e6, 0.2
RIGHT, DOUBTED, WRONG = "right", "doubted", "wrong"
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_NUMBER = r"(\d[\d,]*(?:\.\d+)?(?:e\d+)?)"
_STEPS = re.compile(rf"{_NUMBER} (?:optimizer )?steps?\b")
_RANGE = re.compile(rf"{_NUMBER} to {_NUMBER} ([kMGTP]?)FLOP")
_WITH_UNIT = re.compile(rf"{_NUMBER} ([kMGTP]?)FLOP")
_MEMORY = re.compile(rf"= {_NUMBER} MB\b")
_TOTALS = (
    re.compile(rf"(?:together|each:|\de\d+:) {_NUMBER}"),
    re.compile(rf"= {_NUMBER}(?! ?MB)(?![\d,*^(])"),
)
_PRODUCT = re.compile(r"\d[\d,]*(?:\*\d[\d,]*){2,}")
_ENVIRONMENT = re.compile(r"\b([A-Z][A-Z_]+=\S+) in the job's environment")
_GPUS = re.compile(r"takes (\d+) GPU")
_DOUBT = re.compile(r"stated assumption|at most", re.IGNORECASE)
_START = re.compile(r"predict (\S+)/ with the entrypoint (\S+?),?\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a program's first lines say of it; None for what they do not."""

    steps: float | None = None
    flops: tuple[float, float] | None = None
    memory_bytes: float | None = None
    gpus: int | None = None
    environment: tuple[str, ...] = ()
    doubt: bool = False
    start: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallRow:
    """A program, what it states, what was answered and what that is worth."""

    name: str
    verdict: str
    state: str
    steps: float
    flops: float
    stated: Stated
    reason: str
    seconds: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; exits with 2 for a mistake in what was given."""
    args = _parser().parse_args(argv)
    try:
        programs = _programs(args.programs, named(args))
    except InputError as error:
        print(f"benchmarks.small_jobs: {error}", file=sys.stderr)
        return 2
    asked = asked_by(args)
    rows = [answered(program, asked) for program in tqdm(programs, unit="program")]
    keep(record(rows), args.json)
    print(as_text(rows))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.small_jobs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--programs", required=True, type=Path, metavar="DIR", help="folder of programs")
    add_asking_options(parser, "programs")
    return parser


def _programs(folder: Path, only: Sequence[str] | None) -> list[Path]:
    found = {path.stem: path for path in sorted(folder.glob("*.py"))}
    if not found:
        raise InputError(f"--programs {folder}: no Python programs there")
    unknown = [name for name in only or () if name.removesuffix(".py") not in found]
    if unknown:
        raise InputError(f"--only {','.join(unknown)}: no such program in {folder}")
    return [found[name.removesuffix(".py")] for name in only] if only else list(found.values())


def stated(text: str) -> Stated:
    """What the leading comment of a program says."""
    lines = re.sub(r'^"""[\s\S]*?"""\n', "", text).splitlines()
    comment = " ".join(
        line.lstrip("# ") for line in lines[: next((i for i, x in enumerate(lines) if x[:1] != "#"), 99)]
    )
    right = comment[max(0, comment.find("Right")) :]
    steps, memory, gpus = _STEPS.search(right), _MEMORY.search(right), _GPUS.search(right)
    start = _START.search(comment)
    return Stated(
        steps=_number(steps[1]) if steps else None,
        flops=None if memory else _flops(right),
        memory_bytes=_number(memory[1]) * 1e6 if memory else None,
        gpus=int(gpus[1]) if gpus else None,
        environment=tuple(_ENVIRONMENT.findall(comment)),
        doubt=_DOUBT.search(right) is not None,
        start=(start[1], start[2]) if start else None,
    )


def _flops(right: str) -> tuple[float, float] | None:
    """The least and the most FLOPs that are right, before any tolerance."""
    if found := _RANGE.search(right):
        return _number(found[1]) * _UNITS[found[3]], _number(found[2]) * _UNITS[found[3]]
    most = _most(right)
    if most is None:
        return None
    least = 0.0 if "at most" in right else most / 2 if "(half" in right else most
    return least, most


def _most(right: str) -> float | None:
    """The total: the last number with a unit, else the last result of a sum, else the largest product."""
    if found := _WITH_UNIT.findall(right):
        return _number(found[-1][0]) * _UNITS[found[-1][1]]
    for pattern in _TOTALS:
        if totals := pattern.findall(right):
            return _number(totals[-1])
    products = [prod(map(_number, found.split("*"))) for found in _PRODUCT.findall(right)]
    return max(products, default=None)


def _number(text: str) -> float:
    return float(text.rstrip(",").replace(",", ""))


def answered(program: Path, asked: Asked) -> SmallRow:
    """A program's row."""
    said = stated(program.read_text(encoding="utf-8"))
    extra = [word for pair in said.environment for word in ("--env", pair)]
    source, entrypoint = (program.parent / said.start[0], said.start[1]) if said.start else (program, None)
    answer = ask(source, entrypoint, [], asked, extra)
    return SmallRow(
        name=program.stem,
        verdict=verdict(said, answer, kind_of(program)),
        state=answer.state,
        steps=answer.steps,
        flops=answer.flops,
        stated=said,
        reason=answer.reason,
        seconds=answer.seconds,
    )


def verdict(said: Stated, answer: Answer, kind: str) -> str:
    """RIGHT, DOUBTED or WRONG."""
    if kind in HONEST:
        return RIGHT if not answer.complete and HONEST[kind].search(answer.text) else WRONG
    doubted = answer.doubted or (said.doubt and answer.state == "guessed")
    holds = answer.state not in ("failed", "off", "refused", "late") and all(_checks(said, answer))
    if holds and (doubted or not said.doubt):
        return RIGHT
    return DOUBTED if doubted else WRONG


def _checks(said: Stated, answer: Answer) -> list[bool]:
    """Whether each value that is stated holds."""
    checks = [abs(answer.steps - said.steps) <= STEPS_WITHIN * said.steps] if said.steps is not None else []
    if said.flops is not None:
        least, most = said.flops
        within = FEW_WITHIN if most < FEW_FLOPS else FLOPS_WITHIN
        checks.append(least * (1 - within) <= answer.flops <= (most * (1 + within) or inf))
    if said.memory_bytes is not None:
        checks.append(abs(answer.peak_memory_bytes / said.memory_bytes - 1) <= FLOPS_WITHIN)
    return checks + ([answer.gpus == said.gpus] if said.gpus is not None else [])


def record(rows: Sequence[SmallRow]) -> dict[str, Any]:
    """The rows and how many there are of each verdict, as JSON takes them."""
    return {**{name: sum(row.verdict == name for row in rows) for name in (RIGHT, DOUBTED, WRONG)},
            "rows": [asdict(row) for row in rows]}  # fmt: skip


def as_text(rows: Sequence[SmallRow]) -> str:
    """A line a program, then how many there are of each verdict."""
    lines = [
        f"{'program':26} {'verdict':8} {'state':8} {'steps':>8} {'stated':>8} {'FLOPs':>10} {'stated':>19}  reason"
    ]
    lines += map(_line, rows)
    counts = Counter(row.verdict for row in rows)
    return "\n".join([*lines, "", ", ".join(f"{counts[name]} {name}" for name in (RIGHT, DOUBTED, WRONG))])


def _line(row: SmallRow) -> str:
    steps = "-" if row.stated.steps is None else f"{row.stated.steps:,.0f}"
    flops = "-" if row.stated.flops is None else " to ".join(f"{end:.4g}" for end in dict.fromkeys(row.stated.flops))
    numbers = f"{row.steps:8,.0f} {steps:>8} {row.flops:10.4g} {flops:>19}"
    return f"{row.name:26} {row.verdict:8} {row.state:8} {numbers}  {row.reason[:140]}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
