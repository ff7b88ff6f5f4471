"""What a cluster's energy is made of, and what sleeping nodes save of it, beside what a policy saves: modelled.

    python -m benchmarks.sleeping
    python -m benchmarks.sleeping --classes paper-like --samples 20 --json out/sleeping.json

Samples of the paper's scenario, their GPUs on nodes of eight (the last of a type smaller), hosts of --host-watts beside
their boards, idle boards at the catalogue's idle power. Every policy runs with nodes that are always on and with nodes
that sleep after --after-s and wake in --wake-s. Changes are of the totals against Simple on nodes that are always on,
with paired 95% intervals.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.json_record import keep
from kilowait.core.units import HOUR_S
from kilowait.lab.backtest.backtest import PolicySpec, World
from kilowait.lab.backtest.statistics import change_interval
from kilowait.policies import POLICIES
from kilowait.report.interval import Interval
from kilowait.simulate.loop import simulate
from kilowait.simulate.sleeping import ClusterEnergy, SleepRule

GPUS_A_NODE = 8
PARAMETERS: dict[str, dict[str, Any]] = {"value": {"kappa": 1e-6}, "patient": {"wait_s_per_kwh": 1500}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A policy with or without sleep: means a sample, and changes against Simple that never sleeps."""

    policy: str
    sleeps: bool
    jobs_kwh: float
    idle_boards_kwh: float
    hosts_kwh: float
    total_kwh: float
    wait_h: float
    wakes: float
    asleep_share: float
    energy_change: Interval
    wait_change: Interval


def nodes_of(gpus: int) -> tuple[int, ...]:
    """Nodes of eight, and one for the rest."""
    return (GPUS_A_NODE,) * (gpus // GPUS_A_NODE) + ((rest,) if (rest := gpus % GPUS_A_NODE) else ())


def one(world: World, index: int, policy: str, rule: SleepRule) -> tuple[ClusterEnergy, float]:
    """Where one sample's energy went, and hours of waiting."""
    sample = world.sample(index)
    spec = PolicySpec(label=policy, policy=policy, parameters=PARAMETERS.get(policy, {}))
    nodes = {gpu_type: nodes_of(gpus) for gpu_type, gpus in sample.inventory.items()}
    run = simulate(sample.submissions, sample.inventory, spec.build(), nodes=nodes, sleep=rule)
    assert run.sleeping is not None
    jobs_kwh = sum(placement.energy_kwh for placement in run.placements)
    energy = run.sleeping.energy(jobs_kwh, max(placement.end_s for placement in run.placements))
    return energy, sum(placement.wait_s for placement in run.placements) / HOUR_S


def rows(args: argparse.Namespace) -> list[Row]:
    """Every policy, always on and with sleep."""
    world = World(classes=args.classes, seed=args.seed, load=args.load)
    found, base = list[Row](), None
    rules = {
        after_s: SleepRule(after_s=after_s, wake_s=args.wake_s, host_w=args.host_watts)
        for after_s in (inf, args.after_s)
    }
    work = [(policy, after_s) for policy in args.policies for after_s in rules]
    with tqdm(total=len(work) * args.samples, unit="run", file=sys.stderr, disable=None) as bar:
        for policy, after_s in work:
            results = []
            for index in range(args.samples):
                results.append(one(world, index, policy, rules[after_s]))
                bar.update()
            base = base or results
            found.append(_row(policy, after_s, results, base, args.seed))
    return found


def _row(
    policy: str,
    after_s: float,
    results: Sequence[tuple[ClusterEnergy, float]],
    base: Sequence[tuple[ClusterEnergy, float]],
    seed: int,
) -> Row:
    def mean(name: str) -> float:
        return float(np.mean([getattr(energy, name) for energy, _ in results]))

    def change(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
        return change_interval(ours, theirs, np.random.default_rng(seed))

    return Row(
        policy=policy,
        sleeps=after_s < inf,
        jobs_kwh=mean("jobs_kwh"),
        idle_boards_kwh=mean("idle_boards_kwh"),
        hosts_kwh=mean("hosts_kwh"),
        total_kwh=mean("total_kwh"),
        wait_h=float(np.mean([wait for _, wait in results])),
        wakes=mean("wakes"),
        asleep_share=mean("asleep_share"),
        energy_change=change([e.total_kwh for e, _ in results], [e.total_kwh for e, _ in base]),
        wait_change=change([wait for _, wait in results], [wait for _, wait in base]),
    )


def show(found: Sequence[Row]) -> None:
    """The table, for people."""
    numbers = " ".join(f"{head:>11}" for head in ("jobs", "idle boards", "hosts", "all kWh"))
    print(f"{'policy':14} {'nodes':9} {numbers}  {'against simple, always on':26} {'wait h':>8} {'wakes':>6}")
    for row in found:
        change = row.energy_change
        cells = (row.jobs_kwh, row.idle_boards_kwh, row.hosts_kwh, row.total_kwh)
        print(
            f"{row.policy:14} {'sleep' if row.sleeps else 'always on':9} "
            + " ".join(f"{cell:11,.0f}" for cell in cells)
            + f"  {change.estimate:+7.1%} [{change.low:+.1%}, {change.high:+.1%}]".ljust(28)
            + f" {row.wait_h:8,.0f} {row.wakes:6.0f}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and print the table; modelled numbers."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.sleeping", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("--classes", default="calibrated", help="table of job classes (default: %(default)s)")
    add("--policies", type=lambda text: text.split(","), default=["simple", "value", "patient"], metavar="NAME,...")
    add("--samples", type=int, default=8, help="default: %(default)s")
    add("--load", type=float, default=1.0, help="default: %(default)s")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add("--after-s", type=float, default=900.0, help="an idle node sleeps after so long (default: %(default)s)")
    add("--wake-s", type=float, default=180.0, help="default: %(default)s")
    add("--host-watts", type=float, default=400.0, help="of a node beside its boards (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the rows here")
    args = made.parse_args(argv)
    if unknown := [name for name in args.policies if name not in POLICIES]:
        made.error(f"--policies {unknown[0]}: unknown; choose from {', '.join(POLICIES)}")
    found = rows(args)
    show(found)
    keep({**vars(args), "json": None, "rows": [asdict(row) for row in found]}, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
