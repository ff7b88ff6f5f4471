"""How much of the energy that can be saved `patient` or `anticipatory` saves, at no more waiting than Value: modelled.

    python -m benchmarks.patience --cells paper-like:1,calibrated:1 --samples 100 --json light.json
    python -m benchmarks.patience --cells paper-like:2,calibrated:2 --samples 40 --fronts --json double.json
    python -m benchmarks.patience --policy anticipatory --validation 30 --cells calibrated:1 --workers 2
    python -m benchmarks.patience --residuals out/model/residuals.parquet --json noisy.json

The share saved is (Simple - ours) / (Simple - bound) in the jobs' energy; the bound has every job on its greenest
type. Of --kappas the one with the least waiting, and of --prices (seconds of waiting a kWh) the one that saves most
while patient waits no longer than that Value, are chosen on validation samples. Both then run on test samples, where
that budget may be missed. --fronts runs all prices, kappas and gammas on the test samples instead, and checks whether
every point of Value and Greedy is beaten by a point of patient in waiting and energy.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.json_record import keep
from kilowait.core.errors import InputError
from kilowait.core.units import HOUR_S
from kilowait.lab.backtest.backtest import PolicySpec, World, run_policy
from kilowait.lab.backtest.bounds.lower_bounds import greenest_kwh
from kilowait.lab.backtest.scenario.noise import ErrorPool, read_errors
from kilowait.lab.backtest.statistics import change_interval
from kilowait.report.interval import Interval
from kilowait.simulate.scores import score

KAPPAS = (1e-6, 3.16e-6, 1e-5)
PRICES = (
    0,
    125,
    250,
    375,
    500,
    625,
    750,
    875,
    *range(1000, 3000, 125),
    *range(3000, 6000, 250),
    6000,
    8000,
    12_000,
    16_000,
)
FRONT_PRICES = (0, 250, 1000, 2000, 4000, 8000, 16_000, 32_000, 128_000, 1e6, 1e8)
FRONT_KAPPAS = (0, 1e-6, 1e-5, 1e-4, 1e-3)
GAMMAS = (0, 100, 1000, 3000, 10_000, 100_000)
BOUND = "bound"
PLANNERS = ("patient", "anticipatory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """One policy on the same samples: hours of waiting and kWh of the jobs, one number a sample."""

    wait_h: list[float]
    energy_kwh: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What patient saves in one world; `wait_change` is its total waiting against Value's, both intervals paired."""

    policy: str
    classes: str
    load: float
    predictions: str
    samples: int
    validation_samples: int
    kappa: float
    wait_s_per_kwh: float
    value_share: Interval
    share: Interval
    wait_change: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Totals over all samples of a policy with one parameter, and whether a point of patient is as good in both."""

    policy: str
    parameter: float
    wait_h: float
    energy_kwh: float
    beaten: bool = False


def one(index: int, world: World, spec: PolicySpec | None) -> tuple[float, float]:
    """Hours of waiting and kWh of one sample; no policy means the bound."""
    sample = world.sample(index)
    if spec is None:
        return 0.0, greenest_kwh(sample)
    scores = score(run_policy(sample, spec))
    return scores.total_wait_s / HOUR_S, scores.energy_kwh


class Bench:
    """Runs policies on the first `samples` of a world."""

    def __init__(self, world: World, samples: int, executor: Executor) -> None:
        self.world, self.samples, self._executor = world, samples, executor
        self.run = cache(self._run)

    def _run(self, policy: str, parameter: float = 0.0) -> Totals:
        pairs = list(
            self._executor.map(partial(one, world=self.world, spec=self._spec(policy, parameter)), range(self.samples))
        )
        return Totals(wait_h=[wait for wait, _ in pairs], energy_kwh=[energy for _, energy in pairs])

    def _spec(self, policy: str, parameter: float) -> PolicySpec | None:
        parameters = {
            "value": {"kappa": parameter},
            "greedy": {"gamma": parameter},
            **{name: {"wait_s_per_kwh": parameter, "error_sd": error_sd(self.world.errors)} for name in PLANNERS},
        }
        return (
            None if policy == BOUND else PolicySpec(label=policy, policy=policy, parameters=parameters.get(policy, {}))
        )

    def share(self, ours: Totals) -> Interval:
        """The share saved of the energy between Simple and the bound."""
        bound = np.array(self.run(BOUND).energy_kwh)
        remaining = change(np.array(ours.energy_kwh) - bound, np.array(self.run("simple").energy_kwh) - bound)
        return Interval(estimate=-remaining.estimate, low=-remaining.high, high=-remaining.low)


def error_sd(errors: ErrorPool | None) -> float:
    """The standard deviation of the logarithm of the predictor's run-time errors, 0 for exact predictions."""
    return 0.0 if errors is None else float(errors.log_errors[:, :, 0].std())


def change(ours: Sequence[float] | Any, baseline: Sequence[float] | Any) -> Interval:
    """The paired relative change of the totals, always with the same draws."""
    return change_interval(ours, baseline, np.random.default_rng(0))


def chosen(
    bench: Bench, prices: Sequence[float], kappas: Iterable[float], policy: str = "patient"
) -> tuple[float, float]:
    """The waiting-tuned kappa, and the highest price within its waiting, by bisection: waiting rises with the price.

    The lowest price where none keeps the budget.
    """
    kappa = min(kappas, key=lambda k: sum(bench.run("value", k).wait_h))
    budget_h = sum(bench.run("value", kappa).wait_h)
    low, high = 0, len(prices)
    while high - low > 1:
        middle = (low + high) // 2
        within = sum(bench.run(policy, prices[middle]).wait_h) <= budget_h
        low, high = (middle, high) if within else (low, middle)
    return kappa, prices[low]


def cell(validation: Bench, test: Bench, policy: str) -> Cell:
    """Choose on validation samples, measure on test samples."""
    kappa, price = chosen(validation, PRICES, KAPPAS, policy)
    value, ours = test.run("value", kappa), test.run(policy, price)
    return Cell(
        policy=policy,
        classes=test.world.classes,
        load=test.world.load,
        predictions=test.world.predictions,
        samples=test.samples,
        validation_samples=validation.samples,
        kappa=kappa,
        wait_s_per_kwh=price,
        value_share=test.share(value),
        share=test.share(ours),
        wait_change=change(ours.wait_h, value.wait_h),
    )


def fronts(bench: Bench) -> list[Point]:
    """All points of the three policies; those of Value and Greedy know whether patient beats them."""

    def point(policy: str, parameter: float) -> Point:
        totals = bench.run(policy, parameter)
        return Point(policy=policy, parameter=parameter, wait_h=sum(totals.wait_h), energy_kwh=sum(totals.energy_kwh))

    ours = [point("patient", price) for price in FRONT_PRICES]
    other_points = [point("value", k) for k in FRONT_KAPPAS] + [point("greedy", g) for g in GAMMAS]
    return ours + [replace(p, beaten=any(beats(our_point, p) for our_point in ours)) for p in other_points]


def beats(ours: Point, other: Point) -> bool:
    """As little waiting and as little energy (to a part in a million, for rounding), and less of one."""
    no_worse = ours.wait_h <= other.wait_h and ours.energy_kwh <= other.energy_kwh * (1 + 1e-6)
    return no_worse and (ours.wait_h, ours.energy_kwh) != (other.wait_h, other.energy_kwh)


def show_cell(found: Cell) -> None:
    """One line of the table, in percent."""
    spans = [
        f"{100 * i.estimate:+.1f}% [{100 * i.low:+.1f}, {100 * i.high:+.1f}]"
        for i in (found.share, found.value_share, found.wait_change)
    ]
    print(
        f"{found.policy}, {found.classes} x{found.load:g} {found.predictions}: {found.samples} samples, "
        f"kappa {found.kappa:g}, {found.wait_s_per_kwh:g} s/kWh: share {spans[0]}, Value's {spans[1]}, "
        f"waiting against Value {spans[2]}"
    )


def show_fronts(world: World, points: Sequence[Point]) -> None:
    """The points, and which of them patient does not beat."""
    print(f"{world.classes} x{world.load:g} {world.predictions}: waiting h, energy kWh")
    for p in points:
        verdict = "" if p.policy == "patient" else " beaten" if p.beaten else " NOT BEATEN"
        print(f"  {p.policy:8} {p.parameter:10g} {p.wait_h:12,.0f} {p.energy_kwh:12,.0f}{verdict}")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.patience",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--cells", default="paper-like:1,calibrated:1", help="table:load,... (default: %(default)s)")
    p.add_argument("--policy", choices=PLANNERS, default="patient", help="whose saving (default: %(default)s)")
    p.add_argument("--samples", type=int, default=100, help="test samples (default: %(default)s)")
    p.add_argument("--validation", type=int, default=60, help="validation samples (default: %(default)s)")
    p.add_argument("--seed", type=int, default=2024)
    p.add_argument("--residuals", type=Path, help="policies see the truth times these errors, from pipelines.train")
    p.add_argument("--fronts", action="store_true", help="compare the fronts instead, of patient")
    p.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    p.add_argument("--json", type=Path, help="also write what was found here")
    return p


def worlds(args: argparse.Namespace) -> list[World]:
    """The test worlds asked for; raises InputError for a cell that is not table:load."""
    errors = read_errors(args.residuals) if args.residuals else None
    world_list = []
    for text in args.cells.split(","):
        classes, _, load = text.partition(":")
        try:
            world_list.append(World(classes=classes, seed=args.seed, load=float(load), errors=errors))
        except ValueError:
            raise InputError(f"--cells takes table:load like calibrated:2, got {text!r}") from None
    return world_list


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table or the fronts; exit code 1 when a front is not beaten everywhere."""
    args = parser().parse_args(argv)
    rows: list[dict[str, Any]] = []
    unbeaten = 0
    with ProcessPoolExecutor(args.workers) as executor:
        for world in worlds(args):
            test = Bench(world, args.samples, executor)
            if args.fronts:
                points = fronts(test)
                show_fronts(world, points)
                unbeaten += sum(not p.beaten for p in points if p.policy != "patient")
                rows.append({"classes": world.classes, "load": world.load, "points": [asdict(p) for p in points]})
            else:
                result = cell(Bench(replace(world, role="validation"), args.validation, executor), test, args.policy)
                show_cell(result)
                rows.append(asdict(result))
            sys.stdout.flush()
    keep(rows, args.json)
    return 1 if unbeaten else 0


if __name__ == "__main__":
    sys.exit(main())
