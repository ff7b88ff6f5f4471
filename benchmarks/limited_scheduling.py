"""Speed of the simulator with signals and power limits beside that without: jobs a second of one core, in one run.

    python -m benchmarks.limited_scheduling --json out/bench/limited_scheduling.json

Bursts of jobs on 32 A100 and 32 A6000 at a load of 0.95, with curves of measured networks, under each policy:

plain:      neither signals nor limits.
signals:    carbon, price and water change by the hour and are foreseen as yesterday; what the jobs' energy comes to by
            all three is counted, and is part of the time.
limits:     a limit for each job, by a price.
budget:     70% of what all boards may draw is never passed.
all:        signals, limits by a price, and the budget.

A rate is of processor time of this process, curves not counted, of the fastest of --repeats runs (measured). The ratio
is to plain in the same run. Beside it are the rate of the loop in Python on the first --python-jobs, and whether both
place these alike, to the last digit.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.jobs import Setting, submissions
from benchmarks.json_record import keep
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import DAY_S, HOUR_S
from kilowait.lab.backtest.scenario.limit_curves import with_measured_limits
from kilowait.policies import POLICIES, Policy
from kilowait.policies.limiting.limit_price import LimitPrice
from kilowait.predict.power.power_model import PowerModel
from kilowait.simulate.foreseen_signals import YESTERDAY, reports
from kilowait.simulate.loop import Engine, simulate
from kilowait.simulate.run import Placement, Run, Submission
from kilowait.simulate.signal_totals import TOTALS, signal_totals
from kilowait.simulate.within_power.power_budget import PowerBudget

TYPES = ("A100", "A6000")
PART = 0.7
CASES = ("plain", "signals", "limits", "budget", "all")
TARGET = 20_000
"""Jobs a second with signals and limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedRate:
    """One policy in one case; `ratio` is to its plain rate, `limited` the part of jobs with a limit."""

    policy: str
    case: str
    jobs: int
    jobs_per_s: float
    target: int | None
    ratio: float
    limited: float
    python_jobs: int
    python_jobs_per_s: float
    python_ratio: float
    same_placements: bool


def jobs_with_curves(jobs: int, seed: int) -> list[Submission]:
    """Jobs of the scheduling benchmark on boards of the catalogue."""
    plain = submissions(Setting(jobs=jobs, burst_jobs=1_200, seed=seed))
    named = []
    for one in plain:
        truth = dict(zip(TYPES, one.truth.values(), strict=True))
        named.append(replace(one, truth=truth, seen=truth))
    return with_measured_limits(named, PowerModel.load_default(), np.random.default_rng(seed), "own")


def hourly_signals(until_s: float, seed: int) -> list[Signal]:
    """Random values by the hour, from a week before the first job until a day after `until_s`."""
    rng, hours = np.random.default_rng(seed), int(until_s // HOUR_S) + 24 * 9
    times_s = tuple(HOUR_S * k - 7 * DAY_S for k in range(hours))
    return [
        Signal(name=name, times_s=times_s, values=tuple(rng.uniform(1, 100, hours).tolist()), ends_s=times_s[-1] + 1)
        for name in TOTALS
    ]


def one_run(of: Sequence[Submission], case: str, policy: Policy, signals: Sequence[Signal], engine: Engine) -> Run:
    """One case from the list of jobs to the placements, and to what the energy comes to."""
    inventory = dict.fromkeys(TYPES, Setting(jobs=1).gpus)
    power: dict[str, Any] = {}
    if case in ("limits", "all"):
        power["limits"] = LimitPrice()
    if case in ("budget", "all"):
        power["budget"] = PowerBudget(watts=PART * sum(GPU_TYPES[t].peak_w * n for t, n in inventory.items()))
    told = reports(signals, YESTERDAY) if case in ("signals", "all") else ()
    run = simulate(of, inventory, policy, engine=engine, reports=told, **power)
    if case in ("signals", "all"):
        signal_totals(run, signals)
    return run


def fastest_s(action: Callable[[], object], repeats: int) -> float:
    """Processor seconds of the fastest of several calls."""
    found = []
    for _ in range(repeats):
        gc.collect()
        started = time.process_time()
        action()
        found.append(time.process_time() - started)
    return min(found)


def rates(args: argparse.Namespace) -> list[LimitedRate]:
    """All policies in all cases."""
    of = jobs_with_curves(args.jobs, args.seed)
    signals, few = hourly_signals(3 * of[-1].job.submit_s, args.seed), of[: args.python_jobs]
    found = list[LimitedRate]()
    with tqdm(total=len(args.policies) * len(CASES), file=sys.stderr, disable=None) as bar:
        for name in args.policies:
            policy, plain_s = POLICIES[name](**POLICIES[name].settled({})), 0.0
            for case in CASES:
                row, seconds = _rate(of, few, (name, case), policy, signals, args.repeats)
                plain_s = plain_s or seconds
                found.append(replace(row, ratio=plain_s / seconds))
                bar.update()
    return found


def _rate(
    of: Sequence[Submission],
    few: Sequence[Submission],
    labels: tuple[str, str],
    policy: Policy,
    signals: Sequence[Signal],
    repeats: int,
) -> tuple[LimitedRate, float]:
    name, case = labels
    run = one_run(of, case, policy, signals, "compiled")  # loads the kernel
    seconds = fastest_s(lambda: one_run(of, case, policy, signals, "compiled"), repeats)
    ours, theirs = list[Placement](), list[Placement]()
    ours += one_run(few, case, policy, signals, "compiled").placements
    few_s = fastest_s(lambda: one_run(few, case, policy, signals, "compiled"), repeats)
    python_s = fastest_s(lambda: theirs.extend(one_run(few, case, policy, signals, "python").placements), 1)
    row = LimitedRate(
        policy=name,
        case=case,
        jobs=len(of),
        jobs_per_s=len(of) / seconds,
        target=TARGET if case == "all" else None,
        ratio=1.0,
        limited=float(np.mean([p.limit_w is not None for p in run.placements])),
        python_jobs=len(few),
        python_jobs_per_s=len(few) / python_s,
        python_ratio=python_s / few_s,
        same_placements=ours == theirs,
    )
    return row, seconds


def show(found: Sequence[LimitedRate]) -> None:
    """The table, for people."""
    print(
        f"{'policy':<8} {'case':<8} {'jobs/s':>10} {'ratio':>6} {'limited':>8} {'Python, jobs/s':>15}  same placements"
    )
    for row in found:
        print(
            f"{row.policy:<8} {row.case:<8} {row.jobs_per_s:>10,.0f} {row.ratio:>6.2f} {row.limited:>8.0%} "
            f"{row.python_jobs_per_s:>15,.0f}  {'yes' if row.same_placements else 'NO'}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; 1 where placements differ."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.limited_scheduling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--policies", nargs="+", default=["simple", "value", "sjf"], help="default: %(default)s")
    add("--jobs", type=int, default=40_000, help="default: %(default)s")
    add("--python-jobs", type=int, default=2_000, help="default: %(default)s")
    add("--repeats", type=int, default=3, help="runs of each; the fastest counts (default: %(default)s)")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add("--json", type=Path, metavar="FILE", help="also write all numbers here")
    args = parser.parse_args(argv)
    found = rates(args)
    show(found)
    kept: Mapping[str, object] = {"jobs": args.jobs, "rows": [asdict(row) for row in found]}
    keep(kept, args.json)
    return 0 if all(row.same_placements for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
