"""Whether a price that steers itself holds its target in worlds that nothing was tuned on. Modelled.

    python -m benchmarks.steering --samples 10 --json out/bench/steering.json
    python -m benchmarks.steering --samples 2 --days 372 --json out/bench/steering_a_year.json
    python -m benchmarks.steering --samples 20 --trace philly:FILE:11cb48 --trace openb:PODS --window-jobs 200

The paper's scenario with both class tables, at two loads and three degrees of burstiness; or windows of traces
(calibrated classes, load 0.9). `steered` is patient with max_extra_wait 0: all waiting at most that of Value (relative
kappa 1), and two minutes a job (`FLOOR_S`). `met` is whether it ends at most 2% above that with 90% of the tuned share.
`tuned` is patient at the one price, of those below, that saves most on the very samples shown while all waiting stays
within Value's: no tuning beforehand can do better; where none does, the one that waits least. `fixed` is patient at its
default price. Waiting is of all samples together against Value's, the share that of what lies between Simple and the
energy bound. Every sample begins knowing nothing, so that in two months a good part of the time is learning, and keeps
the target by itself, where the tuned price may keep it in the sum over samples alone: `--days` makes one sample longer,
with as many jobs a day.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.json_record import keep
from kilowait.lab.backtest.backtest import Sampled, World
from kilowait.lab.backtest.bounds.lower_bounds import greenest_kwh
from kilowait.lab.backtest.scenario.arrivals import ArrivalPattern
from kilowait.lab.backtest.trace_options import inventory_option
from kilowait.lab.backtest.traces import read_trace
from kilowait.lab.backtest.traces.trace_world import trace_world
from kilowait.policies import POLICIES, Policy
from kilowait.policies.steering.price_search import FLOOR_S
from kilowait.simulate.loop import simulate

PRICES_S = (0, 120, 250, 500, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 12_000, 16_000, 32_000)


def policies(extra: float) -> dict[str, Policy]:
    """What is compared."""
    return {
        "simple": POLICIES["simple"](),
        "value": POLICIES["value"](kappa_relative=1.0),
        "steered": POLICIES["patient"](max_extra_wait=extra),
        "fixed": POLICIES["patient"](),
        **{f"{price}": POLICIES["patient"](wait_s_per_kwh=price) for price in PRICES_S},
    }


def sampled(index: int, world: Sampled, extra: float) -> dict[str, tuple[float, float]]:
    """Seconds of waiting and kWh of one sample under each; the bound has no waiting."""
    sample, found = world.sample(index), {}
    for name, policy in policies(extra).items():
        run = simulate(sample.submissions, sample.inventory, policy, nodes=sample.nodes)
        found[name] = sum(p.wait_s for p in run.placements), sum(p.energy_kwh for p in run.placements)
    return {**found, "bound": (0.0, greenest_kwh(sample)), "jobs": (len(run.placements), 0.0)}


class SteeredWorld(NamedTuple):
    """A world by its name, its load and burstiness (of a trace its own: None)."""

    name: str
    world: Sampled
    load: float
    burstiness: float | None
    samples: int


def row(setting: SteeredWorld, extra: float, executor: ProcessPoolExecutor) -> dict[str, Any]:
    """One world."""
    found = list(executor.map(partial(sampled, world=setting.world, extra=extra), range(setting.samples)))
    totals = {name: np.sum([one[name] for one in found], axis=0) for name in found[0]}
    value_s, simple_kwh, bound_kwh = totals["value"][0], totals["simple"][1], totals["bound"][1]

    def share(name: str) -> float:
        return float((simple_kwh - totals[name][1]) / (simple_kwh - bound_kwh))

    def above(wait_s: float) -> float | None:
        return float(wait_s / value_s - 1) if value_s else None  # nobody waits under Value

    within = [f"{p}" for p in PRICES_S if totals[f"{p}"][0] <= (1 + extra) * value_s]
    tuned = max(within or [min(map(str, PRICES_S), key=lambda name: totals[name][0])], key=share)
    may_s = (1 + extra) * value_s + FLOOR_S * totals["jobs"][0]
    return {
        "world": setting.name,
        "classes": setting.world.classes,
        "load": setting.load,
        "burstiness": setting.burstiness,
        "value_waits_s": float(value_s / totals["jobs"][0]),
        "wait_of_steered": above(totals["steered"][0]),
        "of_target": float(totals["steered"][0] / may_s - 1),
        "share_of_steered": share("steered"),
        "wait_of_tuned": above(totals[tuned][0]),
        "share_of_tuned": share(tuned),
        "tuned_s_per_kwh": float(tuned),
        "wait_of_fixed": above(totals["fixed"][0]),
        "share_of_value": share("value"),
        "of_tuned": share("steered") / share(tuned),
        "met": bool(totals["steered"][0] <= 1.02 * may_s and share("steered") >= 0.9 * share(tuned)),
    }


def arrivals(days: float, burstiness: float) -> ArrivalPattern:
    """The scenario's arrivals over so many days, as many a day as it has."""
    usual = ArrivalPattern()
    return ArrivalPattern(burstiness=burstiness, days=days, expected=usual.expected * days / usual.days)


def of_trace(text: str, options: argparse.Namespace) -> SteeredWorld:
    """The windows of a trace, given as FORMAT:FILE or FORMAT:FILE:CLUSTER."""
    name, path, *cluster = text.split(":")
    trace = read_trace(path, name, vc=cluster[0] if cluster else None)
    world = trace_world(
        trace,
        inventory_option(options.gpus),
        load=options.trace_load,
        samples=options.samples,
        seed=options.seed,
        window_jobs=options.window_jobs,
    )
    return SteeredWorld(
        " ".join([name, *cluster]), world, options.trace_load, None, min(options.samples, world.windows)
    )


def scenarios(options: argparse.Namespace) -> list[SteeredWorld]:
    """The paper's scenario in all ways that are asked for."""
    return [
        SteeredWorld(
            "scenario",
            World(classes=classes, seed=options.seed, load=float(load), arrivals=arrivals(options.days, float(bursts))),
            float(load),
            float(bursts),
            options.samples,
        )
        for classes in options.classes.split(",")
        for load in options.loads.split(",")
        for bursts in options.burstiness.split(",")
    ]


PLAIN = ("load", "burstiness", "tuned_s_per_kwh", "value_waits_s")


def show(rows: Sequence[dict[str, Any]], heading: bool) -> None:
    """The table as text, shares in percent."""
    if heading:
        print("".join(f"{key:>18}" for key in rows[0]))
    for one in rows:
        cells = [
            f"{v}" if isinstance(v, str | bool | None) else f"{v:.6g}" if k in PLAIN else f"{100 * v:+.1f}%"
            for k, v in one.items()
        ]
        print("".join(f"{cell:>18}" for cell in cells), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.steering",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--samples", type=int, default=10, help="of each world (default: %(default)s)")
    p.add_argument("--seed", type=int, default=77, help="of the samples (default: %(default)s)")
    p.add_argument("--extra", type=float, default=0.0, help="the target, as a share (default: %(default)s)")
    p.add_argument("--loads", default="1,2", help="between commas (default: %(default)s)")
    p.add_argument("--burstiness", default="0,40,120", help="between commas (default: %(default)s)")
    p.add_argument("--days", type=float, default=62.0, help="of arrivals in a sample (default: %(default)g)")
    p.add_argument("--classes", default="paper-like,calibrated", help="between commas (default: %(default)s)")
    p.add_argument("--trace", action="append", default=[], metavar="FORMAT:FILE[:CLUSTER]", help="instead, repeatable")
    p.add_argument("--gpus", default="A100=8,A6000=16", help="of traces (default: %(default)s)")
    p.add_argument("--trace-load", type=float, default=0.9, help="of traces (default: %(default)s)")
    p.add_argument("--window-jobs", type=int, help="of traces (default: as many as give that many windows)")
    p.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    p.add_argument("--json", type=Path, help="also write all numbers here")
    options = p.parse_args(argv)
    settings = [of_trace(text, options) for text in options.trace] or scenarios(options)
    with ProcessPoolExecutor(options.workers) as executor:
        rows = []
        for setting in settings:
            rows.append(row(setting, options.extra, executor))
            show(rows[-1:], heading=len(rows) == 1)
    keep(rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
