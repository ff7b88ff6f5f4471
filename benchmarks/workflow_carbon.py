"""Carbon and completion of recorded workflows when less runs while the grid is dirty: modelled.

    python -m benchmarks.workflow_carbon --workflows wfinstances_dags.csv.gz --zones grid.parquet --json out.json

A sample is --many workflows (columns workflow, task, runtime_s, parents) on boards of one type, begun at random times
of three days, each with at least 20 and at most 150 tasks. A recorded second counts as --seconds, so that a workflow
meets more than one hour of the grid, as in the paper of PCAPS (arXiv:2502.09717). A task draws 1 kW. Compared with
--policy alone are its wrapping by `important`, by the same with all tasks alike (each held back until the hour is below
b), and by `provisioned`, with a perfect forecast, for each number of boards of --gpus. Completion is the mean time from
the submission of a workflow to the end of its last task, makespan the end of the last of all. Changes are means over
samples. "Alike" is what holding all tasks alike takes to save as much carbon, between two of its gammas in proportion;
all with paired 95% intervals.
"""

import argparse
import csv
import gzip
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.carbon_hold import zone_signals
from benchmarks.json_record import keep
from kilowait.core.arrays import FloatArray
from kilowait.core.jobs import Job, Prediction
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import DAY_S, HOUR_S
from kilowait.files.signal_files import moment
from kilowait.lab.backtest.statistics import RESAMPLES
from kilowait.policies import POLICIES, Policy
from kilowait.policies.wrappers.important import important
from kilowait.policies.wrappers.provisioned import provisioned
from kilowait.report.interval import CONFIDENCE, Interval
from kilowait.simulate.foreseen_signals import reports
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission

Task = tuple[str, float, tuple[str, ...]]


ALIKE = "all alike"
WRAPPED: dict[str, Callable[[Policy, float], Policy]] = {
    "important": important,
    ALIKE: lambda policy, gamma: important(policy, gamma, lambda cluster: dict.fromkeys(cluster.waiting, 0.0)),
    "provisioned": lambda policy, gamma: provisioned(policy, 1 - gamma),
}
GAMMAS = dict.fromkeys(WRAPPED, (0.25, 0.5, 0.75, 1.0)) | {ALIKE: (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)}

Changes = dict[tuple[str, float], FloatArray]
"""By wrapper and gamma: of every sample the changes of carbon, completion and makespan, as shares (samples, 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A wrapper at a gamma: changes against the policy alone, and completion less that of all alike at its carbon."""

    gpus: int
    wrapper: str
    gamma: float
    carbon: Interval
    completion: Interval
    makespan: Interval
    completion_against_alike: Interval | None
    makespan_against_alike: Interval | None


def workflows(path: Path) -> list[list[Task]]:
    """The tasks of each workflow of a middle size."""
    found = defaultdict[str, list[Task]](list)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            parents = tuple(row["parents"].replace(";", " ").replace("|", " ").split())
            found[row["workflow"]].append((row["task"], max(1.0, float(row["runtime_s"])), parents))
    return [tasks for tasks in found.values() if 20 <= len(tasks) <= 150]


def sample(all_tasks: Sequence[list[Task]], many: int, seconds: float, rng: np.random.Generator) -> list[Submission]:
    """Some of the workflows as jobs, parents before their children."""
    made = list[Submission]()
    for serial, index in enumerate(rng.choice(len(all_tasks), many, replace=False).tolist()):
        begun_s = float(rng.uniform(0, 3 * DAY_S))
        for task, runtime_s, parents in all_tasks[index]:
            told = {"A": Prediction(runtime_s=runtime_s * seconds, energy_kwh=runtime_s * seconds / HOUR_S)}
            after = tuple(f"{serial:02}-{parent:0>4}" for parent in parents)
            job = Job(job_id=f"{serial:02}-{task:0>4}", submit_s=begun_s, gpus=1, after=after)
            made.append(Submission(job=job, truth=told, seen=told))
    return made


def figures(jobs: Sequence[Submission], gpus: int, policy: Policy, signal: Signal) -> FloatArray:
    """Carbon in kg, hours to the end of a workflow on average, and to the end of the last."""
    run = simulate(jobs, {"A": gpus}, policy, reports=reports([signal]))
    grams, ends_s = 0.0, defaultdict[str, float](float)
    for p in run.placements:
        grams += signal.integral(p.start_s, p.end_s) / HOUR_S
        workflow = p.job_id[:2]
        ends_s[workflow] = max(ends_s[workflow], p.end_s - p.submit_s)
    last_s = max(p.end_s for p in run.placements) - min(p.submit_s for p in run.placements)
    return np.array([grams / 1000, float(np.mean(list(ends_s.values()))) / HOUR_S, last_s / HOUR_S])


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and print the table; modelled numbers."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.workflow_carbon",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--workflows", type=Path, required=True, help="CSV, gzipped")
    add("--zones", type=Path, required=True, help="carbon by the hour and zone, Parquet")
    add("--column", default="gco2_per_kwh_lca", help="its values (default: %(default)s)")
    add("--policy", default="sjf", help="default: %(default)s")
    add("--gpus", type=int, nargs="+", default=[32, 128], help="default: %(default)s")
    add("--many", type=int, default=8, help="workflows a sample (default: %(default)s)")
    add("--seconds", type=float, default=60.0, help="what a recorded second counts as (default: %(default)g)")
    add("--samples", type=int, default=40, help="default: %(default)s")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add("--json", type=Path, metavar="FILE", help="write the rows here")
    args = made.parse_args(argv)
    rows = [row for gpus in args.gpus for row in rows_of(gpus, compared(args, gpus), args.seed)]
    print(f"{'GPUs':>4} {'wrapper':12} {'gamma':>5} {'carbon':>24} {'completion':>26} {'against alike':>26}")
    for row in rows:
        print(
            f"{row.gpus:4} {row.wrapper:12} {row.gamma:5.2f} {_shown(row.carbon):>24} {_shown(row.completion):>26} "
            f"{_shown(row.completion_against_alike):>26}"
        )
    settings = {key: value for key, value in vars(args).items() if not isinstance(value, Path)}
    keep({**settings, "rows": [asdict(row) for row in rows]}, args.json)
    return 0


def _shown(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.estimate:+.1%} [{interval.low:+.1%}, {interval.high:+.1%}]"


def compared(args: argparse.Namespace, gpus: int) -> Changes:
    """Every wrapper and gamma on every sample."""
    rng, tasks = np.random.default_rng(args.seed), workflows(args.workflows)
    zones = [signal for _, signal in zone_signals(args.zones, args.column)]
    found = defaultdict[tuple[str, float], list[FloatArray]](list)
    for index in range(args.samples):
        jobs, signal = sample(tasks, args.many, args.seconds, rng), zones[index % len(zones)]
        begin_s = moment("2022-01-10T00:00Z") + float(rng.integers(0, 250)) * DAY_S
        signal = signal.later(-begin_s)
        base = figures(jobs, gpus, POLICIES[args.policy](), signal)
        for name, gamma in ((name, gamma) for name, gammas in GAMMAS.items() for gamma in gammas):
            ours = figures(jobs, gpus, WRAPPED[name](POLICIES[args.policy](), gamma), signal)
            found[name, gamma].append(ours / base - 1)
    return {key: np.array(changes) for key, changes in found.items()}


def rows_of(gpus: int, changes: Changes, seed: int) -> list[Row]:
    """A row a wrapper and gamma."""
    count = len(next(iter(changes.values())))
    draws = np.vstack([np.arange(count), np.random.default_rng(seed).integers(0, count, size=(RESAMPLES, count))])
    means = {key: values[draws].mean(axis=1) for key, values in changes.items()}  # (1 + resamples, 3), all first
    alike = np.stack([np.zeros_like(means[ALIKE, GAMMAS[ALIKE][0]]), *(means[ALIKE, g] for g in GAMMAS[ALIKE])])
    return [_row(gpus, *key, values, None if key[0] == ALIKE else alike) for key, values in means.items()]


def _row(gpus: int, wrapper: str, gamma: float, means: FloatArray, alike: FloatArray | None) -> Row:
    carbon, completion, makespan = (_interval(means[:, k]) for k in range(3))
    against = [None, None] if alike is None else [_interval(means[:, k] - at_carbon(alike, means, k)) for k in (1, 2)]
    return Row(
        gpus=gpus,
        wrapper=wrapper,
        gamma=gamma,
        carbon=carbon,
        completion=completion,
        makespan=makespan,
        completion_against_alike=against[0],
        makespan_against_alike=against[1],
    )


def at_carbon(alike: FloatArray, means: FloatArray, k: int) -> FloatArray:
    """What the way that is sorted by gamma (gammas, draws, 3) takes of column k where it saves as much as `means`."""
    return np.array(
        [
            np.interp(-mine[0], -way[order, 0], way[order, k])
            for way, mine in zip(alike.swapaxes(0, 1), means, strict=True)
            for order in [np.argsort(-way[:, 0], kind="stable")]
        ]
    )


def _interval(values: FloatArray) -> Interval:
    """The first, and where nearly all the others lie."""
    low, high = np.quantile(values[1:], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(estimate=float(values[0]), low=float(low), high=float(high))


if __name__ == "__main__":
    sys.exit(main())
