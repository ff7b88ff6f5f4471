"""How many jobs of public repositories `kilowait predict` answers, asked as they are submitted, and how many rightly.

    python -m benchmarks.real_jobs --jobs jobs.json --checkouts DIR
    python -m benchmarks.real_jobs --jobs benchmarks/real_jobs_right.json --checkouts DIR --python venv/bin/python \
        --json out/real_jobs.json

A row of --jobs has name, repository, commit, folder, entrypoint, arguments, and where they are known `right`: steps,
flops, parameters. --checkouts holds the repositories as OWNER/NAME; a job whose checkout is missing is `absent`.

Usable: whole or guessed, with a time for device types, and where right values are known, steps within 2%, FLOPs within
5% and parameters equal. Wrong with a straight face: steps off by more than 10% in an answer that is neither partial nor
says what it assumed. A program of another framework, and an entrypoint that only defines things, count apart: right is
to say so. So do rows with `ends`, what the program itself ends with under these arguments: right is an answer without
a whole job's time. Rows with `endless` run until they are stopped: right is an answer that says that nothing tells how
often they run, with the values that are known, and no whole job's time; that is no usable time, so `usable_share`, over
all jobs but the first two kinds, counts them as not usable, and `answered_rightly` counts them. `usable_of_running`
leaves out those with `ends` and `endless`, and `usable_strictly` is the share that has a whole job's time.

--fixtures holds data of jobs that want some, made by `python -m benchmarks.real_jobs_fixtures DIR`: a job with a folder
of its name there is asked from it, with --data for each of its parts.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.asked_predictions import Answer, Asked, add_asking_options, ask, asked_by, named
from benchmarks.json_record import keep
from benchmarks.program_kinds import HONEST, kind_of
from kilowait.core.errors import InputError, KilowaitError

KEYS = ("name", "repository", "folder", "entrypoint", "arguments")
LIMITS = {"steps": 0.02 + 1e-12, "flops": 0.05 + 1e-12, "parameters": 1e-12}
STRAIGHT_FACE = 0.1
ABSENT = "absent"
MOST_WAIT_S = 60.0
RUNS, ENDS, ENDLESS = "runs", "ends", "endless"
SHARES = ("usable_share", "answered_rightly", "usable_of_running", "usable_strictly")
_UNBOUNDED = re.compile(r"nothing says how often|until it is stopped|has no end", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job, what was answered and what that is worth; `off` are the relative errors of values that are known."""

    name: str
    kind: str
    accepted: bool
    state: str
    reason: str
    steps: float
    flops: float
    parameters: float
    right: Mapping[str, float] = field(default_factory=dict)
    off: Mapping[str, float] = field(default_factory=dict)
    usable: bool = False
    straight_face: bool = False
    assumed: tuple[str, ...] = ()
    seconds: float = 0.0
    seconds_again: float | None = None

    @property
    def holds(self) -> dict[str, bool]:
        """Whether each value that is known holds."""
        return {name: abs(error) <= LIMITS[name] for name, error in self.off.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; exits with 2 for a mistake in what was given."""
    args = _parser().parse_args(argv)
    try:
        jobs, asked = chosen_jobs(args), asked_by(args, args.data)
    except KilowaitError as error:
        print(f"benchmarks.real_jobs: {error}", file=sys.stderr)
        return 2
    if args.twice:
        leave_warm(asked)
    rows: list[Row] = []
    for job in tqdm(jobs, unit="job"):
        own = with_fixture(asked, args.fixtures, job["name"])
        rows.append(answered(job, args.checkouts, own, args.twice))
        keep(record(rows), args.json)  # after each, so that a run that is ended has left what it found
    print(as_text(rows))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real_jobs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--jobs", required=True, type=Path, metavar="FILE", help="JSON list of jobs")
    add("--checkouts", required=True, type=Path, metavar="DIR", help="folder of checkouts, each OWNER/NAME")
    add("--data", type=Path, action="append", default=[], metavar="DIR", help="a folder of data; may be repeated")
    add("--fixtures", type=Path, metavar="DIR", help="folder of data by the job's name")
    add("--twice", action="store_true", help="ask each a second time, warm, and time that too")
    add_asking_options(parser, "jobs")
    return parser


def chosen_jobs(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Those of --jobs that --only leaves; raises InputError, also where --checkouts is no folder."""
    jobs = read_jobs(args.jobs, named(args))
    if not args.checkouts.is_dir():
        raise InputError(f"--checkouts {args.checkouts}: no such folder; give the one that holds OWNER/NAME")
    return jobs


def read_jobs(path: Path, only: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The jobs of a file, all or those of these names; raises InputError for a file or row that is none."""
    try:
        jobs = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--jobs {path}: {error}; give a JSON list of jobs") from error
    for number, job in enumerate(jobs if isinstance(jobs, list) else [jobs]):
        missing = [key for key in KEYS if not isinstance(job, dict) or key not in job]
        if missing:
            raise InputError(f"--jobs {path}: row {number} has no {', '.join(missing)}")
    known = {job["name"]: job for job in jobs}
    unknown = [name for name in only or () if name not in known]
    if unknown:
        raise InputError(f"--only {','.join(unknown)}: no such job in {path}")
    return [known[name] for name in only] if only else list(jobs)


def leave_warm(asked: Asked) -> None:
    """Let a prediction leave a process behind for those that come, and wait until it answers."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "job.py"
        script.write_text("import torch\ntorch.ones(8, 8) @ torch.ones(8, 8)\n")
        first = ask(script, None, (), asked, warm=True)
        end_s = time.monotonic() + MOST_WAIT_S
        while ask(script, None, (), asked, warm=True).seconds > first.seconds / 2 and time.monotonic() < end_s:
            time.sleep(1)


def with_fixture(asked: Asked, fixtures: Path | None, name: str) -> Asked:
    """How a job is asked about that has data of its own."""
    folder = fixtures / name if fixtures else None
    if folder is None or not folder.is_dir():
        return asked
    parts = sorted(Path(part.name) for part in folder.iterdir())
    return replace(asked, data=(*(path.resolve() for path in asked.data), *parts), folder=folder.resolve())


def answered(job: Mapping[str, Any], checkouts: Path, asked: Asked, twice: bool = False) -> Row:
    """A job's row."""
    folder = checkouts.resolve() / job["repository"] / job["folder"]
    if not (folder / job["entrypoint"]).is_file():
        reason = f"no {folder / job['entrypoint']}: check {job['repository']} out at {job.get('commit', 'its commit')}"
        return judged(job, RUNS, Answer(state=ABSENT, reason=reason))
    kind = kind_of(folder / job["entrypoint"])
    answer = ask(folder, job["entrypoint"], job["arguments"], asked)
    if twice:
        again = ask(folder, job["entrypoint"], job["arguments"], asked, warm=True)
        answer = replace(answer, seconds_again=again.seconds)
    own = next((name for name in (ENDS, ENDLESS) if job.get(name)), RUNS)
    return judged(job, kind if kind in HONEST else own, answer)


def judged(job: Mapping[str, Any], kind: str, answer: Answer) -> Row:
    """What an answer is worth."""
    right = {name: value for name, value in job.get("right", {}).items() if value is not None}
    off = {name: getattr(answer, name) / value - 1 for name, value in right.items() if value and answer.accepted}
    if kind in HONEST:
        usable = not answer.complete and HONEST[kind].search(answer.text) is not None
    elif kind == ENDS:
        usable = not answer.complete
    elif kind == ENDLESS:
        holds = all(abs(error) <= LIMITS[name] for name, error in off.items())
        usable = not answer.complete and holds and _UNBOUNDED.search(answer.text) is not None
    else:
        usable = answer.complete and all(abs(error) <= LIMITS[name] for name, error in off.items())
    wrong_steps = bool(off.get("steps")) and abs(off["steps"]) > STRAIGHT_FACE
    return Row(
        name=job["name"],
        kind=kind,
        accepted=answer.accepted and answer.state != ABSENT,
        state=answer.state,
        reason=answer.reason,
        steps=answer.steps,
        flops=answer.flops,
        parameters=answer.parameters,
        right=right,
        off=off if answer.complete else {},
        usable=usable,
        straight_face=answer.complete and not answer.doubted and (wrong_steps or kind in (ENDS, ENDLESS)),
        assumed=answer.assumed,
        seconds=answer.seconds,
        seconds_again=answer.seconds_again,
    )


def record(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows and the shares, as JSON takes them."""
    asked_of = [row for row in rows if row.kind not in HONEST]
    running = [row for row in asked_of if row.kind == RUNS]
    apart = [row for row in rows if row.kind in HONEST]
    times = [row.seconds for row in rows if row.state != ABSENT]
    again = [row.seconds_again for row in rows if row.seconds_again is not None]
    return {
        "jobs": len(rows),
        "states": dict(Counter(row.state for row in rows)),
        "usable_share": share([replace(row, usable=row.usable and row.kind != ENDLESS) for row in asked_of]),
        "answered_rightly": share(asked_of),
        "usable_of_running": share(running),
        "usable_strictly": share([replace(row, usable=row.usable and row.kind == RUNS) for row in asked_of]),
        "with_right_values": sum(bool(row.right) for row in rows),
        "apart": {row.name: row.usable for row in apart},
        "straight_face": [row.name for row in rows if row.straight_face],
        "median_seconds": statistics.median(times) if times else None,
        "median_seconds_again": statistics.median(again) if again else None,
        "rows": [{**asdict(row), "holds": row.holds} for row in rows],
    }


def share(rows: Sequence[Row]) -> float | None:
    """Of rows, how many are usable; None for no rows."""
    return sum(row.usable for row in rows) / len(rows) if rows else None


def as_text(rows: Sequence[Row]) -> str:
    """A line a job, then the shares."""
    numbers = f"{'steps':>12} {'FLOPs':>10} {'parameters':>14} {'s':>6}"
    lines = [f"{'job':20} {'state':8} {'usable':6} {numbers}  right values; reason", *map(_line, rows), ""]
    found = record(rows)
    shares = {name: found[name] for name in SHARES}
    lines += [f"{name:18} {'none' if part is None else f'{part:.0%}'}" for name, part in shares.items()]
    lines.append(f"{'states':18} {', '.join(f'{n} {state}' for state, n in found['states'].items())}")
    lines.append(f"{'straight face':18} {', '.join(found['straight_face']) or 'none'}")
    lines.append(f"{'apart':18} {', '.join(f'{n} {_word(ok)}' for n, ok in found['apart'].items()) or 'none'}")
    for name in ("median_seconds", "median_seconds_again"):
        lines += [f"{name:18} {found[name]:.1f}"] if found[name] is not None else []
    return "\n".join(lines)


def _line(row: Row) -> str:
    values = [f"{name} {_word(ok)} ({row.off[name]:+.1%})" for name, ok in row.holds.items()]
    mark = "WRONG" if row.straight_face else "yes" if row.usable else "no"
    numbers = f"{row.steps:12,.0f} {row.flops:10.3g} {row.parameters:14,.0f} {row.seconds:6.1f}"
    told = "; ".join([*values, *([row.reason[:160]] if row.reason else [])])
    return f"{row.name:20} {row.state:8} {mark:6} {numbers}  {told}"


def _word(holds: bool) -> str:
    return "right" if holds else "off"


if __name__ == "__main__":
    sys.exit(main())
