"""A cluster's carbon against its jobs' completion time: each lever alone, and all of them together: modelled.

    python -m benchmarks.levers --zones grid.parquet --json out/levers.json

Samples of the paper's scenario, begun at dates spread over 2022, each in the next zone of --zones (columns
datetime_utc, zone and the carbon intensity of a kWh, as --column names it), GPUs on nodes of eight, hosts of
--host-watts beside their boards, jobs with curves of measured networks for power limits. The base is `value` at full
power on nodes that are always on, with nothing kept. The levers are the price by which `patient` waits for greener
types instead, the price of power limits, hours that every job may be kept (`flexible`, perfect foresight), and after
how long idle nodes sleep, which wake in --wake-s. Carbon is of jobs, idle boards and hosts, until the last job is over,
completion the time from submission to the end, over all jobs. Changes are against the base, every sample counting
alike, with paired 95% intervals. Beside each lever alone stands, of all together, what emitted least of what took no
longer, chosen on --chosen-on other samples, and by how much that differs from the lever on the samples shown.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from math import inf
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.carbon_hold import FIRST, LAST, begins_s, zone_signals
from benchmarks.json_record import keep
from benchmarks.sleeping import nodes_of
from kilowait.core.arrays import FloatArray
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import HOUR_S
from kilowait.lab.backtest.backtest import World
from kilowait.lab.backtest.scenario.limit_curves import with_measured_limits
from kilowait.lab.backtest.scenario.paper_scenario import Role, Sample
from kilowait.lab.backtest.statistics import change_interval, difference_interval
from kilowait.policies.limiting.limit_price import LimitPrice
from kilowait.predict.power.power_model import PowerModel
from kilowait.report.interval import Interval
from kilowait.simulate.simulation import simulate
from kilowait.simulate.sleeping import SleepRule

TOGETHER = "together"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What is done: prices in s a kWh, hours that jobs may be kept, seconds after which idle nodes sleep."""

    lever: str
    type_price: float = 0.0
    limit_price: float | None = None
    slack_h: int = 0
    sleep_after_s: float = inf

    @property
    def policy(self) -> str:
        """Its name."""
        inner = "patient" if self.type_price else "value"
        return f"flexible({inner},{self.slack_h}h)" if self.slack_h else inner

    @property
    def parameters(self) -> dict[str, float]:
        """Those of its policy."""
        return {"wait_s_per_kwh": self.type_price} if self.type_price else {"kappa": 1e-6}

    @property
    def setting(self) -> str:
        """What differs from the base, in words."""
        parts = {
            f"types {self.type_price:g}": self.type_price,
            f"limits {self.limit_price or 0:g}": self.limit_price,
            f"kept {self.slack_h} h": self.slack_h,
            f"asleep after {self.sleep_after_s:g} s": self.sleep_after_s < inf,
        }
        return ", ".join(text for text, differs in parts.items() if differs)


BASE = Way(lever="base")
WAYS = (
    BASE,
    *(Way(lever="type", type_price=price) for price in (1500.0, 3000.0, 6000.0)),
    *(Way(lever="limit", limit_price=price) for price in (1500.0, 3000.0, 6000.0)),
    *(Way(lever="time", slack_h=hours) for hours in (6, 12, 24)),
    *(Way(lever="sleep", sleep_after_s=after_s) for after_s in (900.0, 300.0)),
    *(
        Way(lever=TOGETHER, type_price=types, limit_price=limits, slack_h=hours, sleep_after_s=300.0)
        for types, limits, hours in (
            (500.0, None, 0),
            (1000.0, None, 0),
            (1500.0, 500.0, 0),
            (1500.0, 1500.0, 0),
            (3000.0, 3000.0, 0),
            (6000.0, 6000.0, 0),
            (6000.0, 6000.0, 12),
            (6000.0, 6000.0, 24),
        )
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A way against the base, and the way of all together that is set against it."""

    lever: str
    setting: str
    carbon: Interval
    completion: Interval
    beside: str | None
    carbon_beside: Interval | None
    completion_beside: Interval | None


@cache
def model() -> PowerModel:
    """The curves of measured networks."""
    return PowerModel.load_default()


def one(sample: Sample, way: Way, signal: Signal, args: argparse.Namespace) -> tuple[float, float]:
    """Kilograms of the cluster, and hours from submission to the end over all jobs."""
    found = simulate(
        sample.submissions,
        {gpu_type: nodes_of(gpus) for gpu_type, gpus in sample.inventory.items()},
        way.policy,
        limits=None if way.limit_price is None else LimitPrice(s_per_kwh=way.limit_price),
        sleep=SleepRule(after_s=way.sleep_after_s, wake_s=args.wake_s, host_w=args.host_watts),
        signals={"carbon": signal},
        **way.parameters,
    )
    kilograms = found.totals["carbon"].cluster
    assert kilograms is not None  # the idle watts of both types are in the catalogue
    return kilograms, sum(p.end_s - p.submit_s for p in found.placements) / HOUR_S


def with_curves(sample: Sample, seed: int, index: int) -> Sample:
    """The sample, its jobs with curves of measured networks, which policies see."""
    rng = np.random.default_rng((seed, index, 19))
    return replace(sample, submissions=tuple(with_measured_limits(sample.submissions, model(), rng, "own")))


def changes(args: argparse.Namespace, role: Role, samples: int) -> dict[Way, FloatArray]:
    """By way, carbon and completion of every sample over those of the base, (samples, 2)."""
    world, zones = World(classes=args.classes, seed=args.seed, role=role), list(zone_signals(args.zones, args.column))
    found: dict[Way, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for k in tqdm(range(samples), unit="sample", file=sys.stderr, disable=None):
        sample = with_curves(world.sample(k), args.seed, k)
        signal = zones[k % len(zones)][1].later(-begins_s(FIRST, LAST, k, samples))
        for way in WAYS:
            found[way].append(one(sample, way, signal, args))
    base = np.array(found[BASE])
    return {way: np.array(values) / base for way, values in found.items()}


def beside(way: Way, chosen_on: Mapping[Way, FloatArray]) -> Way | None:
    """Of all together the least carbon that took no longer than a lever alone; None for others, and where none did."""
    if way.lever in (TOGETHER, BASE.lever):
        return None
    carbon, hours = chosen_on[way].mean(axis=0)
    means = {other: values.mean(axis=0) for other, values in chosen_on.items() if other.lever == TOGETHER}
    able = {other: mean[0] for other, mean in means.items() if mean[1] <= hours and mean[0] < carbon}
    return min(able, key=able.__getitem__, default=None)


def rows(found: Mapping[Way, FloatArray], chosen_on: Mapping[Way, FloatArray], seed: int) -> list[Row]:
    """Every way."""
    base = np.ones_like(found[BASE][:, 0])

    def change(way: Way, k: int) -> Interval:
        return change_interval(found[way][:, k], base, np.random.default_rng(seed))

    def against(way: Way | None, lever: Way, k: int) -> Interval | None:
        if way is None:
            return None
        return difference_interval(found[way][:, k], found[lever][:, k], base, np.random.default_rng(seed))

    return [
        Row(
            lever=way.lever,
            setting=way.setting,
            carbon=change(way, 0),
            completion=change(way, 1),
            beside=None if other is None else other.setting,
            carbon_beside=against(other, way, 0),
            completion_beside=against(other, way, 1),
        )
        for way in WAYS
        for other in [beside(way, chosen_on)]
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and print the table; modelled numbers."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.levers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("--zones", type=Path, required=True, metavar="FILE", help="hourly carbon intensity by zone, Parquet")
    add("--column", default="gco2_per_kwh_lca", help="its values (default: %(default)s)")
    add("--classes", default="calibrated", help="table of job classes (default: %(default)s)")
    add("--samples", type=int, default=40, help="default: %(default)s")
    add("--chosen-on", type=int, default=20, help="samples on which ways are chosen (default: %(default)s)")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add("--wake-s", type=float, default=180.0, help="default: %(default)s")
    add("--host-watts", type=float, default=400.0, help="of a node beside its boards (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the rows here")
    args = made.parse_args(argv)
    chosen_on = changes(args, "validation", args.chosen_on)
    made_rows = rows(changes(args, "test", args.samples), chosen_on, args.seed)
    for row in made_rows:
        cells = (row.carbon, row.completion, row.carbon_beside, row.completion_beside)
        print(f"{row.lever:9} {row.setting:50}", *(f"{_shown(cell):26}" for cell in cells), row.beside or "")
    settings = {key: value for key, value in vars(args).items() if not isinstance(value, Path)}
    keep({**settings, "rows": [asdict(row) for row in made_rows]}, args.json)
    return 0


def _shown(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.estimate:+.1%} [{interval.low:+.1%}, {interval.high:+.1%}]"


if __name__ == "__main__":
    sys.exit(main())
