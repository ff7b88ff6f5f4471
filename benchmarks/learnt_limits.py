"""Limits learnt from finished jobs of a public log, on those that came later: `python -m benchmarks.learnt_limits LOG`.

    python -m benchmarks.learnt_limits hpc2n.swf --json out/bench/learnt_limits.json

The log is what `sacct --parsable2` wrote, or one in the Standard Workload Format, which is written as such first; that
has users and no job names, so that jobs of as many processors and the same requested time count as of one name. Once a
week `kilowait learn --sacct DUMP --limits` learns from all jobs that were over by then; the jobs that are submitted in
the week after are scored: who has a limit, whom it would have ended, how much longer it is than the job. Run times are
the log's, measured there; a job that its own limit ended is left out, as nobody knows how long it would have run.
"""

import argparse
import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.json_record import keep
from kilowait.advise.slurm.accounting import AccountedJob, read_accounting
from kilowait.cli.main import main as kilowait
from kilowait.core.units import DAY_S

HEAD = "JobID|User|JobName|State|ExitCode|Submit|End|ElapsedRaw|TimelimitRaw|AllocTRES|Comment"
WEEK_S = 7 * DAY_S
DAYS = (1, 2, 3)
"""On so many days jobs of a name must have ended."""
BEGIN_S = 1_000_000_000
"""Seconds since the epoch at which a log's clock is taken to be 0."""


def main(words: Sequence[str] | None = None) -> int:
    """Print a row for each number of days, and keep a record where one is asked for."""
    args = _parser().parse_args(words)
    text = args.log.read_text(encoding="utf-8", errors="replace")
    lines = dump_of_swf(text) if text.startswith(";") else text.splitlines()
    jobs = [job for job in read_accounting("\n".join(lines), UTC) if not job.part]
    rows = [{"least_days": days, **scored(jobs, args.risk, days)} for days in DAYS]
    for row in rows:
        said = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()}
        print(", ".join(f"{key} {value}" for key, value in said.items()))
    keep({"log": args.log.name, "jobs": len(jobs), "risk": args.risk, "rows": rows}, args.json)
    return 0


def scored(jobs: Sequence[AccountedJob], risk: float, least_days: int) -> Mapping[str, Any]:
    """Jobs from the second week on, each with what was learnt when its week began."""
    begin_s = min(job.submit_s for job in jobs)
    limited, names = list[tuple[AccountedJob, float]](), 0
    for week in range(1, 1 + int((max(job.submit_s for job in jobs) - begin_s) // WEEK_S)):
        now_s = begin_s + week * WEEK_S
        limits = learnt([job for job in jobs if job.end_s <= now_s], risk, least_days)
        names = len(limits)
        limited += [
            (job, 60.0 * limits[job.user, job.name])
            for job in jobs
            if now_s <= job.submit_s < now_s + WEEK_S and job.completed and (job.user, job.name) in limits
        ]
    later = [job for job in jobs if job.completed and job.submit_s >= begin_s + WEEK_S]
    return {"names": names, **score(later, limited)}


def dump_of_swf(text: str) -> list[str]:
    """A log as sacct would have written it."""
    rows = [words for line in text.splitlines() if not line.startswith(";") and len(words := line.split()) >= 12]
    return [HEAD, *(_line(row) for row in rows if float(row[3]) > 0 and float(row[8]) > 0)]


def _line(row: Sequence[str]) -> str:
    number, submit_s, wait_s, run_s, processors = (int(float(word)) for word in row[:5])
    asked_s, status, user = (int(float(row[place])) for place in (8, 10, 11))
    over = "TIMEOUT" if run_s >= asked_s else "COMPLETED" if status == 1 else "FAILED"
    submitted, ended = (
        datetime.fromtimestamp(BEGIN_S + at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        for at_s in (submit_s, submit_s + wait_s + run_s)
    )
    minutes = max(1, round(asked_s / 60))
    name = f"{processors} processors for {minutes} minutes"
    return f"{number}|user{user}|{name}|{over}|0:0|{submitted}|{ended}|{run_s}|{minutes}|cpu={processors}|"


def learnt(jobs: Sequence[AccountedJob], risk: float, least_days: int) -> dict[tuple[str, str], int]:
    """Minutes by user and name, from the file that the command writes."""
    rows = [
        f"{job.job_id}|{job.user}|{job.name}|{job.state}|{job.exit_code}:0|{job.submit_s:.0f}|{job.end_s:.0f}|"
        f"{job.elapsed_s:.0f}|{(job.limit_s or 0) / 60:.0f}||"
        for job in jobs
    ]
    with tempfile.TemporaryDirectory() as folder:
        dump, limits = Path(folder, "dump.txt"), Path(folder, "limits")
        dump.write_text("\n".join([HEAD, *rows]) + "\n", encoding="utf-8")
        os.environ["KILOWAIT_ADVICE"] = folder
        with contextlib.redirect_stdout(io.StringIO()):
            words = ["learn", "--sacct", str(dump), "--only-compare", "--limits", str(limits)]
            code = kilowait([*words, "--risk", str(risk), "--least-days", str(least_days)])
        if code:
            raise SystemExit(f"kilowait learn ended with {code}")
        found = (line.split() for line in limits.read_text().splitlines())
        return {(_text(user), _text(name)): int(minutes) for minutes, user, name in found}


def _text(digits: str) -> str:
    return bytes.fromhex(digits).decode()


def score(later: Sequence[AccountedJob], limited: Sequence[tuple[AccountedJob, float]]) -> Mapping[str, Any]:
    """Of jobs that completed, and those among them that have a limit."""
    of_users = [job.limit_s / job.elapsed_s for job, _ in limited if job.limit_s]
    return {
        "jobs": len(later),
        "limited": len(limited),
        "ended": sum(job.elapsed_s > limit_s for job, limit_s in limited),
        "limit_to_run": median(limit_s / job.elapsed_s for job, limit_s in limited) if limited else None,
        "users_limit_to_run": median(of_users) if of_users else None,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, metavar="LOG", help="a dump of sacct's, or an SWF file")
    parser.add_argument("--risk", type=float, default=0.05, help="of a limit (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
