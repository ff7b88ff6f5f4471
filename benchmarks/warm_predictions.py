"""Seconds of a first prediction and of the second, of a changed script: `python -m benchmarks.warm_predictions`.

    python -m benchmarks.warm_predictions --checkouts DIR --python venv/bin/python
    python -m benchmarks.warm_predictions --jobs benchmarks/real_jobs_right.json --checkouts DIR --only NAME,NAME

Each job of --jobs (rows as of benchmarks.real_jobs) is copied, predicted with nothing loaded before, changed by a line
at the end of its entrypoint, and predicted again by the process that the first prediction left behind, once that has
loaded what it does and waits. `cpu` are CPU seconds of all that took part in the second prediction, with what it has
begun to load for a third; on a machine that is busy they say more than its seconds. Programs of another framework are
left out. An answer that differs from the first in steps, FLOPs or parameters is marked.
"""

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from tqdm import tqdm

from benchmarks.asked_predictions import Answer, Asked, add_asking_options, ask, asked_by
from benchmarks.json_record import keep
from benchmarks.program_kinds import HONEST, kind_of
from benchmarks.real_jobs import chosen_jobs
from kilowait.core.errors import KilowaitError

JOBS = Path(__file__).parent / "real_jobs_right.json"
QUIET_S, MOST_WAIT_S = 1.5, 300.0
"""Nothing of the process that stands by runs for so long: it waits; and so long it is given to come to that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmRow:
    """Seconds of both predictions of a job, CPU seconds of the second, and whether it found the same."""

    name: str
    state: str
    cold_s: float
    second_s: float
    second_cpu_s: float
    same: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; exits with 2 for a mistake in what was given."""
    args = _parser().parse_args(argv)
    try:
        jobs = chosen_jobs(args)
    except KilowaitError as error:
        print(f"benchmarks.warm_predictions: {error}", file=sys.stderr)
        return 2
    asked, rows = asked_by(args), []
    print(f"{'job':20} {'state':8} {'cold s':>7} {'second s':>8} {'cpu s':>6}", flush=True)
    for job in tqdm([job for job in jobs if _runs(job, args.checkouts)], unit="job"):
        rows.append(timed_twice(job, args.checkouts, asked))
        print(_line(rows[-1]), flush=True)
    found = {name: median(getattr(row, name) for row in rows) for name in _TIMES} if rows else {}
    keep({"jobs": len(rows), "medians": found, "rows": [asdict(row) for row in rows]}, args.json)
    print(f"{'median':29} " + " ".join(f"{found[name]:{width}.1f}" for name, width in _TIMES.items() if rows))
    return 0


_TIMES = {"cold_s": 7, "second_s": 8, "second_cpu_s": 6}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.warm_predictions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--jobs", type=Path, default=JOBS, metavar="FILE", help="JSON list of jobs (default: %(default)s)"
    )
    parser.add_argument("--checkouts", required=True, type=Path, metavar="DIR", help="folder of checkouts, OWNER/NAME")
    add_asking_options(parser, "jobs")
    return parser


def _runs(job: Mapping[str, Any], checkouts: Path) -> bool:
    entrypoint = checkouts / job["repository"] / job["folder"] / job["entrypoint"]
    return entrypoint.is_file() and kind_of(entrypoint) not in HONEST


def timed_twice(job: Mapping[str, Any], checkouts: Path, asked: Asked) -> WarmRow:
    """A job's row."""
    with TemporaryDirectory() as place, _runtime_folder() as runtime:
        folder = Path(place) / Path(job["repository"]).name
        leave_out = shutil.ignore_patterns(".git")
        source = checkouts / job["repository"] / job["folder"]
        shutil.copytree(source, folder, symlinks=True, ignore=leave_out, ignore_dangling_symlinks=True)
        first = ask(folder, job["entrypoint"], job["arguments"], asked, warm=True)
        process = _standing_by(runtime)
        before_s = _cpu_s(process)
        with (folder / job["entrypoint"]).open("a") as script:
            script.write("\n# changed\n")
        again = ask(folder, job["entrypoint"], job["arguments"], asked, warm=True)
        return WarmRow(
            name=job["name"],
            state=again.state,
            cold_s=first.seconds,
            second_s=again.seconds,
            second_cpu_s=_cpu_s(process) - before_s,
            same=_facts(first) == _facts(again),
        )


@contextmanager
def _runtime_folder() -> Iterator[Path]:
    """A folder for sockets of this row alone; whatever stands by there is ended."""
    with TemporaryDirectory() as name:
        os.environ["XDG_RUNTIME_DIR"] = name
        try:
            yield Path(name)
        finally:
            for lock in Path(name, "kilowait").glob("*.lock"):
                with suppress(ValueError, ProcessLookupError):
                    os.kill(int(lock.read_text()), signal.SIGTERM)
            _wait(lambda: not list(Path(name, "kilowait").glob("*")))


def _standing_by(runtime: Path) -> psutil.Process | None:
    """The process that the first prediction left, once it waits with all it started; None where there is none."""
    folder = Path(runtime, "kilowait")
    if not _wait(lambda: any(path.is_socket() and not path.suffix for path in folder.glob("*"))):
        return None
    process = psutil.Process(int(next(folder.glob("*.lock")).read_text()))
    quiet_since_s = [time.monotonic()]

    def waits() -> bool:
        if any(part.status() != psutil.STATUS_SLEEPING for part in _family(process)):
            quiet_since_s[0] = time.monotonic()
        return time.monotonic() - quiet_since_s[0] > QUIET_S

    _wait(waits)
    return process


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _cpu_s(process: psutil.Process | None) -> float:
    """CPU seconds of a process, those that it started and those that these have waited for."""
    total_s = 0.0
    for part in _family(process) if process else ():
        with suppress(psutil.NoSuchProcess):
            total_s += sum(part.cpu_times()[:4])
    return total_s


def _wait(holds: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + MOST_WAIT_S
    while time.monotonic() < end_s:
        with suppress(psutil.NoSuchProcess):
            if holds():
                return True
        time.sleep(0.1)
    return False


def _facts(answer: Answer) -> tuple[object, ...]:
    return answer.state, answer.steps, answer.flops, answer.parameters


def _line(row: WarmRow) -> str:
    told = "" if row.same else "  differs"
    return f"{row.name:20} {row.state:8} {row.cold_s:7.1f} {row.second_s:8.1f} {row.second_cpu_s:6.1f}{told}"


if __name__ == "__main__":
    sys.exit(main())
