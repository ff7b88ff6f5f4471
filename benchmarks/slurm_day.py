"""Days of a public log through a real Slurm, with users' time limits and with predicted ones.

    python -m benchmarks.slurm_day hpc2n.swf --json out/bench/slurm_day.json

The log is in the Standard Workload Format and holds what users asked for. The same day is replayed once for each way
to set limits, each in a Slurm of its own whose clock runs fast (`benchmarks.compressed_slurm`): what ran when it began
runs on, what waited is submitted first, then every job at its time, by sbatch, until all jobs of the day have begun.
Slurm is real; the log's run times are taken for true ones, and predictions are modelled: the true time, off by errors
as wide as a record of `python -m pipelines.evaluate --baselines` measured, with intervals as wide as it said. What
comes of it is what `kilowait sbatch --force` would have set. Needs root, Slurm of Debian and libfaketime.
"""

import argparse
import json
import math
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist, mean, median
from threading import Event
from typing import Any

import numpy as np

from benchmarks.compressed_slurm import CompressedSlurm, StartedJob, compressed_slurm, missing_programs
from benchmarks.json_record import keep
from kilowait.advise.limit_quantile import MARGIN_S, RISK, time_limit
from kilowait.core.jobs import Prediction
from kilowait.core.log_normal import TO_END
from kilowait.core.units import DAY_S, HOUR_S

RECORD = Path(__file__).parents[1] / "docs" / "results" / "step_baselines.json"
GROUPS = {"a known site": "family left out", "a new site": "source left out"}
"""What a site's predictions are like, and which scores of the record say how wrong they are."""
USERS, EXACT, LOWERED = "users", "exact", "the lower of users and a known site"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedJob:
    """A job of the log; times in seconds of the log, `start_s` as it was there."""

    name: str
    submit_s: float
    start_s: float
    run_s: float
    asked_s: float
    processors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """A job to submit `at_s` after the day's begin."""

    name: str
    at_s: float
    processors: int
    run_s: float
    limit_s: float


def main(words: Sequence[str] | None = None) -> int:
    """Replay, print a table, and keep a record where one is asked for."""
    args = _parser().parse_args(words)
    if missing := missing_programs():
        raise SystemExit(f"missing: {', '.join(missing)}; apt-get install slurmctld slurmd slurm-client faketime")
    jobs, processors = read_log(args.log)
    days = args.day or busiest_days(jobs, args.days)
    limits = limits_of(jobs, json.loads(args.errors.read_text())["result"]["scores"], args.seed)
    scored = {day: [job for job in jobs if job.submit_s // DAY_S == day] for day in days}
    works = {(day, name): _work(jobs, day * DAY_S, own) for day in days for name, own in limits.items()}
    wanted = {day: {job.name for job in of_day} for day, of_day in scored.items()}
    started = _side_by_side(works, wanted, processors, args.speed)
    rows = [score(day, name, scored[day], limits[name], started[day, name]) for day, name in works]
    for row in rows:
        print(
            f"day {row['day']}, {row['limits']:>36}: waits {row['mean_wait_h']:.2f} h, p95 {row['p95_wait_h']:.2f} h, "
            f"ended by their limit {row['killed']} of {row['jobs']}"
        )
    asked = {"processors": processors, "speed": args.speed, "seed": args.seed, "log": args.log.name}
    described = [{"day": day, "jobs": len(scored[day]), "at_their_limit": _at_limit(scored[day])} for day in days]
    keep({**asked, "days": described, "scores": rows}, args.json)
    return 0


def read_log(path: Path) -> tuple[list[LoggedJob], int]:
    """The jobs of a log (`.gz` too) in order of submission, and the processors of its machine.

    A job that ran for longer than it asked for is cut to that: what else it would have needed the log does not say.
    """
    table = np.loadtxt(path, comments=";", ndmin=2)
    jobs = [
        LoggedJob(
            name=f"{row[0]:.0f}",
            submit_s=float(row[1]),
            start_s=float(row[1] + row[2]),
            run_s=float(min(row[3], row[8])),
            asked_s=float(row[8]),
            processors=int(row[4]),
        )
        for row in table
        if row[2] >= 0 and row[3] >= 0 and row[8] > 0 and row[4] > 0
    ]
    header = [line for line in path.read_text().splitlines() if line.startswith("; MaxProcs:")]
    return sorted(jobs, key=lambda job: job.submit_s), int(header[0].partition(":")[2])


def busiest_days(jobs: Sequence[LoggedJob], count: int) -> list[int]:
    """The days on which most of those were submitted that then waited for an hour and longer."""
    days = Counter(int(job.submit_s // DAY_S) for job in jobs if job.start_s - job.submit_s >= HOUR_S)
    return [day for day, _ in days.most_common(count)]


def limits_of(jobs: Sequence[LoggedJob], scores: Sequence[Mapping[str, Any]], seed: int) -> dict[str, dict[str, float]]:
    """For each way to set limits the limit (s) of each job by name."""
    longest_s = max(job.asked_s for job in jobs)
    own = {row["group"]: row for row in scores if row["predictor"] == "kilowait"}
    predicted = {
        f"predicted, {site}": {
            job.name: predicted_limit_s(job.run_s, own[group], deviate, longest_s)
            for job, deviate in zip(jobs, np.random.default_rng(seed).standard_normal(len(jobs)), strict=True)
        }
        for site, group in GROUPS.items()
    }
    users = {job.name: job.asked_s for job in jobs}
    known = predicted["predicted, a known site"]
    lowered = {name: min(asked_s, known[name]) for name, asked_s in users.items()}
    exact = {job.name: job.run_s + MARGIN_S for job in jobs}
    return {USERS: users, **predicted, LOWERED: lowered, EXACT: exact}


def predicted_limit_s(run_s: float, score: Mapping[str, Any], deviate: float, longest_s: float) -> float:
    """The limit (s) of a job that runs for `run_s` where its prediction is off by so many standard deviations.

    `score` has the `bias` of predictions, the `width` of their intervals (upper end over lower), and the
    `needed_width` that would have held 90% of the truths.
    """
    deviation = math.log(score["needed_width"]) / (2 * NormalDist().inv_cdf(0.95))
    predicted_s = max(run_s, 1.0) * score["bias"] * math.exp(deviation * deviate)
    to_end = math.exp(math.log(score["width"]) / 2 * TO_END / NormalDist().inv_cdf(0.95))
    prediction = Prediction(
        runtime_s=predicted_s, energy_kwh=0.0, runtime_low_s=predicted_s / to_end, runtime_high_s=predicted_s * to_end
    )
    limit = time_limit([prediction], RISK, MARGIN_S, longest_s)
    assert limit is not None  # it has an interval
    return limit.seconds


def _work(jobs: Sequence[LoggedJob], begin_s: float, limits: Mapping[str, float]) -> list[Limited]:
    """What is submitted: what ran when the day began, then what waited, then the rest.

    Who runs already keeps what is left of the limit that he asked for, whichever way the others' are set.
    """
    running = [job for job in jobs if job.submit_s < begin_s and job.start_s <= begin_s < job.start_s + job.run_s]
    waiting = [job for job in jobs if job.submit_s < begin_s < job.start_s]
    later = [job for job in jobs if job.submit_s >= begin_s]
    rest = [
        Limited(
            name=job.name,
            at_s=0.0,
            processors=job.processors,
            run_s=job.start_s + job.run_s - begin_s,
            limit_s=job.start_s + job.asked_s - begin_s,
        )
        for job in running
    ]
    return rest + [
        Limited(
            name=job.name,
            at_s=max(job.submit_s - begin_s, 0.0),
            processors=job.processors,
            run_s=job.run_s,
            limit_s=limits[job.name],
        )
        for job in (*waiting, *later)
    ]


Key = tuple[int, str]


def _side_by_side(
    works: Mapping[Key, Sequence[Limited]], wanted: Mapping[int, set[str]], processors: int, speed: float
) -> dict[Key, dict[str, StartedJob]]:
    """What became of the wanted jobs in each; whoever ends this ends all of it, daemons too."""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ThreadPoolExecutor(len(works)) as pool:
        try:
            runs = {
                key: pool.submit(replayed, work, wanted[key[0]], processors, speed, stop) for key, work in works.items()
            }
            return {key: run.result() for key, run in runs.items()}
        finally:
            stop.set()


def replayed(
    work: Sequence[Limited], wanted: set[str], processors: int, speed: float, stop: Event
) -> dict[str, StartedJob]:
    """What became of the wanted jobs, once all of them have begun, or of those that have when it is to stop."""
    with compressed_slurm(processors, max(job.limit_s for job in work), speed) as cluster:
        began_s = time.monotonic()
        for job in work:
            if stop.wait(max(0.0, began_s + job.at_s / speed - time.monotonic())):
                break
            if job.at_s > DAY_S and wanted <= set(cluster.started()):
                break
            _submit(cluster, job)
        while not wanted <= set(cluster.started()) and not stop.wait(1.0):
            pass
        return {name: job for name, job in cluster.started().items() if name in wanted}


def _submit(cluster: CompressedSlurm, job: Limited) -> None:
    try:
        cluster.submit(job.name, job.processors, job.limit_s, job.run_s)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"sbatch refused job {job.name}: {error.stderr}") from error


def score(
    day: int, name: str, jobs: Sequence[LoggedJob], limits: Mapping[str, float], started: Mapping[str, StartedJob]
) -> dict[str, Any]:
    """Of the day's jobs: how long they waited, how many their limit ends, and how long limits were.

    `killed` are those whose limit is shorter than their run time; `by_slurm` says how many of these Slurm had ended
    when the last job of the day began, and `in_vain` whom else: those whose start or end took long on this machine.
    """
    waits_h = [started[job.name].wait_s / HOUR_S for job in jobs]
    short = [started[job.name].wait_s / HOUR_S for job in jobs if job.run_s < HOUR_S]
    killed = [job for job in jobs if limits[job.name] < job.run_s]
    ended = {job.name for job in jobs if started[job.name].state == "TIMEOUT"}
    return {
        "day": day,
        "limits": name,
        "jobs": len(jobs),
        "mean_wait_h": mean(waits_h),
        "p95_wait_h": float(np.percentile(waits_h, 95)),
        "median_wait_h": median(waits_h),
        "short_jobs": len(short),
        "mean_wait_of_short_h": mean(short),
        "killed": len(killed),
        "killed_share": len(killed) / len(jobs),
        "by_slurm": len(ended & {job.name for job in killed}),
        "in_vain": len(ended - {job.name for job in killed}),
        "killed_processor_h": sum(job.processors * limits[job.name] for job in killed) / HOUR_S,
        "median_limit_to_run": median(limits[job.name] / max(job.run_s, 1.0) for job in jobs),
    }


def _at_limit(jobs: Sequence[LoggedJob]) -> int:
    """How many ran for as long as they had asked for: their limit may have ended them when the log was written."""
    return sum(1 for job in jobs if job.run_s >= job.asked_s)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, metavar="LOG", help="an SWF file, as of the Parallel Workloads Archive")
    parser.add_argument("--day", type=int, action="append", metavar="N", help="a day of the log; may be repeated")
    text = "so many on which most jobs waited for an hour, all at once (default: %(default)s)"
    parser.add_argument("--days", type=int, default=3, metavar="N", help=text)
    parser.add_argument("--speed", type=float, default=240.0, help="seconds in a second (default: %(default)g)")
    parser.add_argument("--errors", type=Path, default=RECORD, metavar="FILE", help="scores (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the errors (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
