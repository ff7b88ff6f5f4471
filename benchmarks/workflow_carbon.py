"""Carbon and completion of recorded workflows when less runs while the grid is dirty: modelled.

    python -m benchmarks.workflow_carbon --workflows wfinstances_dags.csv.gz --zones grid.parquet --json out.json

A sample is --many workflows (columns workflow, task, runtime_s, parents) on --gpus boards of one type, begun at random
times of three days, each with at least 20 and at most 150 tasks. A recorded second counts as --seconds, so that a
workflow meets more than one hour of the grid, as in the paper of PCAPS (arXiv:2502.09717). A task draws 1 kW. Compared
with --policy alone are its wrapping by `important`, by the same with importance within a workflow, by the same with all
tasks alike (each held back until the hour is below b), and by `provisioned`, with a perfect forecast. Completion is the
mean time from the submission of a workflow to the end of its last task.
"""

import argparse
import csv
import gzip
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.carbon_hold import zone_signals
from benchmarks.json_record import keep
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job, Prediction
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import DAY_S, HOUR_S
from kilowait.files.signal_files import moment
from kilowait.policies import POLICIES, Policy
from kilowait.policies.wrappers.important import by_chain, important
from kilowait.policies.wrappers.provisioned import provisioned
from kilowait.simulate.foreseen_signals import reports
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission

Task = tuple[str, float, tuple[str, ...]]


def in_its_workflow(cluster: Cluster) -> dict[str, float]:
    """As `by_chain`, over the longest chain that waits of the same workflow."""
    chains, longest = by_chain(cluster), defaultdict[str, float](float)
    for job_id, share in chains.items():
        longest[job_id[:2]] = max(longest[job_id[:2]], share)
    return {job_id: share / longest[job_id[:2]] if longest[job_id[:2]] else 1.0 for job_id, share in chains.items()}


WRAPPED: dict[str, Callable[[Policy, float], Policy]] = {
    "important": important,
    "important in its workflow": lambda policy, gamma: important(policy, gamma, in_its_workflow),
    "all alike": lambda policy, gamma: important(policy, gamma, lambda cluster: dict.fromkeys(cluster.waiting, 0.0)),
    "provisioned": lambda policy, gamma: provisioned(policy, 1 - gamma),
}
GAMMAS = (0.2, 0.4, 0.6, 0.8, 1.0)


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


def figures(jobs: Sequence[Submission], gpus: int, policy: Policy, signal: Signal) -> tuple[float, float]:
    """Carbon in kg, and hours to the end of a workflow on average."""
    run = simulate(jobs, {"A": gpus}, policy, reports=reports([signal]))
    grams, ends_s = 0.0, defaultdict[str, float](float)
    for p in run.placements:
        grams += signal.integral(p.start_s, p.end_s) / HOUR_S
        workflow = p.job_id[:2]
        ends_s[workflow] = max(ends_s[workflow], p.end_s - p.submit_s)
    return grams / 1000, float(np.mean(list(ends_s.values()))) / HOUR_S


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
    add("--gpus", type=int, default=16, help="default: %(default)s")
    add("--many", type=int, default=8, help="workflows a sample (default: %(default)s)")
    add("--seconds", type=float, default=60.0, help="what a recorded second counts as (default: %(default)g)")
    add("--samples", type=int, default=40, help="default: %(default)s")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add("--json", type=Path, metavar="FILE", help="write the rows here")
    args = made.parse_args(argv)
    rows = compared(args)
    print(f"{'wrapper':26} {'gamma':>5} {'carbon':>8} {'completion':>11}")
    for row in rows:
        print(f"{row['wrapper']:26} {row['gamma']:5.1f} {row['carbon_change']:+8.1%} {row['completion_change']:+11.1%}")
    settings = {key: value for key, value in vars(args).items() if not isinstance(value, Path)}
    keep({**settings, "rows": rows}, args.json)
    return 0


def compared(args: argparse.Namespace) -> list[dict[str, float | str]]:
    """A row a wrapper and gamma: changes of the means over all samples, and standard errors of the paired ones."""
    rng, tasks = np.random.default_rng(args.seed), workflows(args.workflows)
    zones = [signal for _, signal in zone_signals(args.zones, args.column)]
    found = defaultdict[tuple[str, float], list[tuple[float, float]]](list)
    for index in range(args.samples):
        jobs, signal = sample(tasks, args.many, args.seconds, rng), zones[index % len(zones)]
        begin_s = moment("2022-01-10T00:00Z") + float(rng.integers(0, 250)) * DAY_S
        signal = signal.later(-begin_s)
        base = figures(jobs, args.gpus, POLICIES[args.policy](), signal)
        for name, wrap in WRAPPED.items():
            for gamma in GAMMAS:
                ours = figures(jobs, args.gpus, wrap(POLICIES[args.policy](), gamma), signal)
                found[name, gamma].append((ours[0] / base[0] - 1, ours[1] / base[1] - 1))
    return [_row(name, gamma, np.array(changes)) for (name, gamma), changes in found.items()]


def _row(name: str, gamma: float, changes: np.ndarray) -> dict[str, float | str]:
    means, errors = changes.mean(axis=0), changes.std(axis=0, ddof=1) / len(changes) ** 0.5
    return {
        "wrapper": name,
        "gamma": gamma,
        "carbon_change": float(means[0]),
        "completion_change": float(means[1]),
        "carbon_error": float(errors[0]),
        "completion_error": float(errors[1]),
    }


if __name__ == "__main__":
    sys.exit(main())
