"""Type and power limit chosen together by one price, against the same policy without limits: modelled.

    python -m benchmarks.power_limits
    python -m benchmarks.power_limits --classes paper-like --samples 40 --json out/power_limits.json

Samples of the paper's scenario whose jobs get curves of measured networks (`scenario.limit_curves`). Every price runs
without limits and with them, by a job's own curve and by that of the other networks. Changes are of totals against
`patient` at 1500 s a kWh without limits, with paired 95% intervals over samples.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.json_record import keep
from kilowait.core.units import HOUR_S
from kilowait.lab.backtest.backtest import World
from kilowait.lab.backtest.scenario.limit_curves import with_measured_limits
from kilowait.lab.backtest.statistics import change_interval
from kilowait.policies import POLICIES
from kilowait.policies.limiting.limit_price import LimitPrice
from kilowait.predict.power.power_model import PowerModel
from kilowait.report.interval import Interval
from kilowait.simulate.loop import simulate

BASE = 1500.0
CURVES = ("none", "own", "others")


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Of one sample: kWh of the jobs, hours waited, hours waited and run, the part of jobs under a lower limit."""

    energy_kwh: float
    wait_h: float
    completion_h: float
    limited: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A policy and price with a kind of curve, against the base."""

    policy: str
    s_per_kwh: float
    limit_s_per_kwh: float
    curves: str
    energy_change: Interval
    completion_change: Interval
    wait_change: Interval
    wait_h: float
    limited: float


def one(world: World, index: int, policy: str, prices: tuple[float, float], curves: str, model: PowerModel) -> Totals:
    """One sample under one policy."""
    sample = world.sample(index)
    if curves == "none":
        submissions, limits = list(sample.submissions), None
    else:
        rng = np.random.default_rng((world.seed, index, 19))
        submissions = with_measured_limits(sample.submissions, model, rng, "own" if curves == "own" else "others")
        limits = LimitPrice(s_per_kwh=prices[1])
    rule = POLICIES[policy]
    built = rule(wait_s_per_kwh=prices[0]) if "wait_s_per_kwh" in rule.takes else rule(kappa=1e-6)
    run = simulate(submissions, sample.inventory, built, nodes=sample.nodes, limits=limits)
    by_id = {submission.job.job_id: submission for submission in submissions}
    wait_h = sum(p.wait_s for p in run.placements) / HOUR_S
    limited = [
        p.limit_w is not None and p.limit_w < by_id[p.job_id].truth[p.gpu_type].limits[0].limit_w
        for p in run.placements
    ]
    return Totals(
        energy_kwh=sum(p.energy_kwh for p in run.placements),
        wait_h=wait_h,
        completion_h=wait_h + sum(p.runtime_s for p in run.placements) / HOUR_S,
        limited=float(np.mean(limited)),
    )


def rows(args: argparse.Namespace) -> list[Row]:
    """Every price without and with limits."""
    world, model = World(classes=args.classes, seed=args.seed, load=args.load), PowerModel.load_default()
    work = [("patient", (BASE, BASE), "none")]
    work += [
        (policy, (price, limit_price), curves)
        for policy in args.policies
        for price, limit_price in args.prices
        for curves in CURVES
        if (policy, (price, limit_price), curves) not in work
    ]
    found, base = list[Row](), list[Totals]()
    with tqdm(total=len(work) * args.samples, unit="run", file=sys.stderr, disable=None) as bar:
        for policy, prices, curves in work:
            results = []
            for index in range(args.samples):
                results.append(one(world, index, policy, prices, curves, model))
                bar.update()
            base = base or results
            found.append(_row(policy, prices, curves, results, base, args.seed))
    return found


def _row(
    policy: str, prices: tuple[float, float], curves: str, results: Sequence[Totals], base: Sequence[Totals], seed: int
) -> Row:
    def change(name: str) -> Interval:
        ours, theirs = ([getattr(totals, name) for totals in of] for of in (results, base))
        return change_interval(ours, theirs, np.random.default_rng(seed))

    return Row(
        policy=policy,
        s_per_kwh=prices[0],
        limit_s_per_kwh=prices[1],
        curves=curves,
        energy_change=change("energy_kwh"),
        completion_change=change("completion_h"),
        wait_change=change("wait_h"),
        wait_h=float(np.mean([totals.wait_h for totals in results])),
        limited=float(np.mean([totals.limited for totals in results])),
    )


def show(found: Sequence[Row]) -> None:
    """The table, for people."""
    heads = " ".join(f"{head:>24}" for head in ("energy", "completion", "waiting"))
    print(f"{'policy':<10} {'s/kWh':>7} {'limits':>7} {'curves':<7} {heads}  limited")
    for row in found:
        cells = " ".join(f"{_shown(i):>24}" for i in (row.energy_change, row.completion_change, row.wait_change))
        print(
            f"{row.policy:<10} {row.s_per_kwh:>7g} {row.limit_s_per_kwh:>7g} {row.curves:<7} {cells}  {row.limited:.0%}"
        )


def _shown(interval: Interval) -> str:
    return f"{interval.estimate:+.2%} [{interval.low:+.2%}, {interval.high:+.2%}]"


def _pair(text: str) -> tuple[float, float]:
    """`1500` or `1500:3000`: the price of waiting, and that of limits where it is another."""
    first, _, second = text.partition(":")
    return float(first), float(second or first)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", default="calibrated")
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--load", type=float, default=1.0)
    parser.add_argument("--policies", nargs="+", default=["patient"])
    parser.add_argument("--prices", nargs="+", type=_pair, default=[(1500.0, 1500.0), (6000.0, 6000.0)])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = rows(args)
    show(found)
    keep({"samples": args.samples, "classes": args.classes, "rows": [asdict(row) for row in found]}, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
