"""How many deadlines are missed when jobs wait for hours of less carbon, by wrong predictions: modelled.

    python -m benchmarks.deadline_misses --zones grid.parquet --json out/deadline_misses.json

Samples of the paper's scenario at --load in some zones, as in `benchmarks.carbon_hold`, with perfect foresight of the
signal. Every job has a deadline: 7 to 36 hours after its submission and 10 to 100% more than its longer run time behind
that. What is predicted is wrong, for 30% of the jobs by a log-normal factor of deviation 0.6, for the others of 0.15;
the intervals say so. Three ways: --policy alone; `flexible` around it with 24 hours of slack; and the same with
deadlines that it does not know of.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.carbon_hold import FIRST, LAST, begins_s
from benchmarks.json_record import keep
from kilowait.core.log_normal import TO_END
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import HOUR_S
from kilowait.files.signal_files import read_signal
from kilowait.lab.backtest.backtest import World
from kilowait.lab.backtest.statistics import change_interval, difference_interval
from kilowait.report.interval import Interval
from kilowait.simulate.run import Submission
from kilowait.simulate.simulation import simulate

WAYS = ("no hold", "hold", "hold, deadlines unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A way over all cases: shares of jobs that miss their deadline, points more than without hold, and carbon."""

    way: str
    jobs: int
    missed: float
    expected: float | None
    more_missed: Interval
    carbon_change: Interval
    share_of_blind: float | None


def with_deadline(one: Submission, rng: np.random.Generator) -> Submission:
    """The job with a deadline, and with predictions that are wrong and say how wrong they may be."""
    sd = 0.6 if rng.random() < 0.3 else 0.15
    off, end = math.exp(rng.normal(0, sd)), math.exp(TO_END * sd)
    seen = {
        t: replace(told.times(off), runtime_low_s=told.runtime_s * off / end, runtime_high_s=told.runtime_s * off * end)
        for t, told in one.truth.items()
    }
    longest_s = max(told.runtime_s for told in one.truth.values())
    deadline_s = one.job.submit_s + rng.uniform(7, 36) * HOUR_S + (1 + rng.uniform(0.1, 1)) * longest_s
    return replace(one, seen=seen, job=replace(one.job, deadline_s=deadline_s))


def case(jobs: Sequence[Submission], inventory: dict[str, int], signal: Signal, policy: str) -> dict[str, list[float]]:
    """Missed and expected deadlines, jobs and kg, by way."""
    blind = [replace(one, job=replace(one.job, deadline_s=None)) for one in jobs]
    kept, found = f"flexible({policy},24h)", dict[str, list[float]]()
    for way, named, given in zip(WAYS, (policy, kept, kept), (jobs, jobs, blind), strict=True):
        run = simulate(given, inventory, named, signals={"carbon": signal})
        ends_s = {placement.job_id: placement.end_s for placement in run.placements}
        missed = sum(ends_s[one.job.job_id] > (one.job.deadline_s or 0.0) for one in jobs)
        expected = math.nan if run.deadlines is None else run.deadlines.expected or 0.0
        found[way] = [missed, expected, len(jobs), run.totals["carbon"].jobs]
    return found


def rows(args: argparse.Namespace) -> list[Row]:
    """Every way over all samples and zones."""
    world, found = World(classes=args.classes, seed=args.seed, load=args.load), list[dict[str, list[float]]]()
    work = [(zone, k) for zone in args.names for k in range(args.samples)]
    for zone, k in tqdm(work, unit="case", file=sys.stderr, disable=None):
        (signal,) = read_signal(args.zones, "carbon", zone=zone, column=args.column).signals
        sample, rng = world.sample(k), np.random.default_rng((args.seed, k))
        jobs = [with_deadline(one, rng) for one in sample.submissions]
        moved = signal.later(-begins_s(FIRST, LAST, k, args.samples))
        found.append(case(jobs, dict(sample.inventory), moved, args.policy))
    return [_row(way, found, args.seed) for way in WAYS]


def _row(way: str, found: Sequence[dict[str, list[float]]], seed: int) -> Row:
    ours, base = (np.array([one[name] for one in found]) for name in (way, WAYS[0]))
    blind = np.array([one[WAYS[2]] for one in found])
    jobs, expected = ours[:, 2].sum(), float(ours[:, 1].sum())
    saved, of_blind = (float(kg[:, 3].sum() / base[:, 3].sum()) - 1 for kg in (ours, blind))
    return Row(
        way=way,
        jobs=int(jobs),
        missed=float(ours[:, 0].sum() / jobs),
        expected=None if math.isnan(expected) else expected / float(jobs),
        more_missed=difference_interval(ours[:, 0], base[:, 0], ours[:, 2], np.random.default_rng(seed)),
        carbon_change=change_interval(ours[:, 3], base[:, 3], np.random.default_rng(seed)),
        share_of_blind=saved / of_blind if way == WAYS[1] else None,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and print the table; modelled numbers."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.deadline_misses",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--zones", type=Path, required=True, metavar="FILE", help="hourly carbon intensity by zone, Parquet")
    add("--column", default="gco2_per_kwh_lca", help="its values (default: %(default)s)")
    zones = ["NL", "US-CAL-CISO", "DE-LU", "GB"]
    add("--names", type=lambda text: text.split(","), default=zones, metavar="ZONE,...", help="zones to try")
    add("--classes", default="calibrated", help="table of job classes (default: %(default)s)")
    add("--policy", default="patient", help="default: %(default)s")
    add("--samples", type=int, default=10, help="in each zone (default: %(default)s)")
    add("--load", type=float, default=0.6, help="default: %(default)s")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add("--json", type=Path, metavar="FILE", help="write the rows here")
    args = made.parse_args(argv)
    found = rows(args)
    for row in found:
        more, carbon = row.more_missed, row.carbon_change
        expected = "" if row.expected is None else f"{row.expected:.1%}"
        print(
            f"{row.way:24} missed {row.missed:6.1%} expected {expected:6} more "
            f"{more.estimate:+.1%} [{more.low:+.1%}, {more.high:+.1%}]  carbon {carbon.estimate:+.1%} "
            f"[{carbon.low:+.1%}, {carbon.high:+.1%}]"
        )
    settings = {key: value for key, value in vars(args).items() if key not in ("json", "zones")}
    keep({**settings, "rows": [asdict(row) for row in found]}, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
