"""How long one decision takes, by policy and length of the queue, beside the limits that are set for it.

    python -m benchmarks.decision_times --json out/bench/decision_times.json

decision:  a full cluster with a long queue; before each decision a job ends, after it one comes. `cpu_ms` is the time
           of the core alone, `p99_ms` that of the clock, which on a busy machine counts others' work too. `ratio` is
           the median over that of a measure of the machine, taken in the same run: the queue is sorted once by the
           least GPU-seconds in plain Python. Kernels are compiled and loaded before.
instant:   the first decision when all jobs come at one instant to an empty cluster.
whole run: all jobs under patient, from the first event to the last (two types, bursts).
All times are measured, on one core.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.decision import latency, plain_sort_ms, submitted_at_once
from benchmarks.jobs import Setting, mean_queue, submissions
from benchmarks.json_record import keep
from kilowait.policies import POLICIES, Policy
from kilowait.policies.planning import compiled_plans
from kilowait.simulate.loop import simulate

TEN, FORTY = Setting(jobs=1, types=10), Setting(jobs=1, types=40, gpus=8)
WORLDS = ((100, TEN, 10.0), (1_000, TEN, 50.0), (10_000, FORTY, 250.0))
NAMES = ("value", "easy", "conservative", "patient", "anticipatory")
RUN_LIMIT_S = 60.0


def policy(name: str) -> Policy:
    """A policy as it is without options, Value with a kappa."""
    return POLICIES[name](kappa=1e-5) if name == "value" else POLICIES[name]()


def decision(name: str, waiting: int, setting: Setting, limit_ms: float, decisions: int) -> dict[str, Any]:
    """The row of one policy and queue."""
    found = latency(name, policy(name), setting, decisions, waiting)
    sorted_ms = plain_sort_ms(setting, waiting)
    return {
        "policy": name,
        "types": found.types,
        "waiting": waiting,
        "p50_ms": found.p50_ms,
        "p99_ms": found.p99_ms,
        "cpu_p50_ms": found.cpu_p50_ms,
        "cpu_p99_ms": found.cpu_p99_ms,
        "limit_ms": limit_ms,
        "sorting_ms": sorted_ms,
        "ratio": found.cpu_p50_ms / sorted_ms,
    }


def instant(name: str, waiting: int, setting: Setting) -> dict[str, Any]:
    """The first decision on so many jobs that come at once."""
    cluster = submitted_at_once(setting, waiting)
    began_s = time.process_time()
    started = len(policy(name)(cluster))
    return {
        "policy": name,
        "types": setting.types,
        "waiting": waiting,
        "started": started,
        "cpu_ms": (time.process_time() - began_s) * 1e3,
    }


def whole_run(jobs: int) -> dict[str, Any]:
    """So many jobs under patient."""
    setting = Setting(jobs=jobs, burst_jobs=1_200)
    submission_list = submissions(setting)
    began_s, cpu_s = time.perf_counter(), time.process_time()
    run = simulate(submission_list, setting.inventory, policy("patient"))
    return {
        "policy": "patient",
        "jobs": jobs,
        "mean_queue": mean_queue(run),
        "wall_s": time.perf_counter() - began_s,
        "cpu_s": time.process_time() - cpu_s,
        "limit_s": RUN_LIMIT_S,
    }


def warmed(name: str) -> None:
    """Compile and load what a policy decides with."""
    setting = replace(TEN, jobs=150, types=2, gpus=4)
    simulate(submissions(setting), setting.inventory, policy(name))


def measure(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """All tables."""
    if options.compiled:
        compiled_plans.pays(compiled_plans.LOADING_OPTIONS)
    names = [name.strip() for name in options.policies.split(",")]
    steps: list[tuple[str, Callable[[], dict[str, Any]]]] = []
    for name in names:
        warmed(name)
        steps += [("decision", lambda n=name, w=w: decision(n, *w, options.decisions)) for w in WORLDS]
        steps.append(("instant", lambda n=name: instant(n, 10_000, FORTY)))
    if options.jobs:
        steps.append(("whole run", lambda: whole_run(options.jobs)))
    tables: dict[str, list[dict[str, Any]]] = {}
    for table, step in tqdm(steps, desc="decisions", file=sys.stderr):
        tables.setdefault(table, []).append(step())
    return tables


def report(tables: dict[str, list[dict[str, Any]]]) -> None:
    """The tables as text."""
    for name, rows in tables.items():
        print(f"\n{name} (measured)")
        print("  ".join(key.rjust(12) for key in rows[0]))
        for row in rows:
            print("  ".join(_shown(value).rjust(12) for value in row.values()))


def _shown(value: object) -> str:
    if isinstance(value, float) and value < 100:
        return f"{value:.3g}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.decision_times",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--policies", default=",".join(NAMES), metavar="NAMES", help="(default: %(default)s)")
    p.add_argument("--decisions", type=int, default=200, help="of each policy and queue (default: %(default)s)")
    p.add_argument("--jobs", type=int, default=100_000, help="of the whole run, 0 for none (default: %(default)s)")
    p.add_argument(
        "--no-compiled", dest="compiled", action="store_false", help="the Python plans until kernels pay, as a baseline"
    )
    p.add_argument("--json", type=Path, help="also write all numbers here")
    options = p.parse_args(argv)
    if not options.compiled:
        compiled_plans.LOADING_OPTIONS = sys.maxsize
    tables = measure(options)
    report(tables)
    keep(tables, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
