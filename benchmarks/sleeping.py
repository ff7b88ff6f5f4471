"""What a cluster's energy is made of, and what sleeping nodes save of it, beside what a policy saves: modelled.

    python -m benchmarks.sleeping
    python -m benchmarks.sleeping --classes paper-like --samples 20 --json out/sleeping.json

Samples of the paper's scenario, their GPUs on nodes of eight (the last of a type smaller), hosts of --host-watts beside
their boards, idle boards at the catalogue's idle power. Every policy runs with nodes that are always on and with nodes
that sleep after each of --after-s and wake in --wake-s. Changes are of the totals against Simple on nodes that are
always on, and against the same policy on nodes that are always on, with paired 95% intervals. The best schedule is of
the placements on nodes that are always on, known afterwards: a node sleeps in every gap that is longer than a wake-up,
and is awake in time. What a timeout takes over that is of the same placements too.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.json_record import keep
from kilowait.core.hardware import idle_power_w
from kilowait.core.units import HOUR_S, JOULES_PER_KWH
from kilowait.lab.backtest.backtest import PolicySpec, World
from kilowait.lab.backtest.statistics import change_interval
from kilowait.policies import POLICIES
from kilowait.report.interval import Interval
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Run
from kilowait.simulate.sleeping import ClusterEnergy, Sleeping, SleepRule

GPUS_A_NODE = 8
PARAMETERS: dict[str, dict[str, Any]] = {"value": {"kappa": 1e-6}, "patient": {"wait_s_per_kwh": 1500}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A policy with a timeout, infinite for nodes that never sleep: means a sample, and changes against Simple, and
    against the policy itself, on nodes that never sleep; of what all energy comes to over the best schedule."""

    policy: str
    sleeps: bool
    after_s: float | None
    jobs_kwh: float
    idle_boards_kwh: float
    hosts_kwh: float
    total_kwh: float
    wait_h: float
    wakes: float
    asleep_share: float
    energy_change: Interval
    wait_change: Interval
    energy_change_of_policy: Interval
    wait_change_of_policy: Interval
    over_best: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where one sample's energy went, hours of waiting, and kWh of the same placements by timeout and at best."""

    energy: ClusterEnergy
    wait_h: float
    timed_kwh: float
    best_kwh: float


def nodes_of(gpus: int) -> tuple[int, ...]:
    """Nodes of eight, and one for the rest."""
    return (GPUS_A_NODE,) * (gpus // GPUS_A_NODE) + ((rest,) if (rest := gpus % GPUS_A_NODE) else ())


def one(world: World, index: int, policy: str, rule: SleepRule) -> Outcome:
    """One sample under a policy with a rule."""
    run, jobs_kwh, ends_s = simulated(world, index, policy, rule)
    assert run.sleeping is not None
    gaps, jobs_only_kwh, ends_gaps_s = simulated(world, index, policy, replace(rule, after_s=0.0, wake_s=0.0))
    assert gaps.sleeping is not None
    busy_kwh = gaps.sleeping.energy(jobs_only_kwh, ends_gaps_s).total_kwh
    return Outcome(
        energy=run.sleeping.energy(jobs_kwh, ends_s),
        wait_h=sum(placement.wait_s for placement in run.placements) / HOUR_S,
        timed_kwh=busy_kwh + gaps_kwh(gaps.sleeping, ends_gaps_s, rule, rule.after_s),
        best_kwh=busy_kwh + gaps_kwh(gaps.sleeping, ends_gaps_s, rule, None),
    )


def simulated(world: World, index: int, policy: str, rule: SleepRule) -> tuple[Run, float, float]:
    """A run, the kWh of its jobs, and when its last job ended."""
    sample = world.sample(index)
    spec = PolicySpec(label=policy, policy=policy, parameters=PARAMETERS.get(policy, {}))
    nodes = {gpu_type: nodes_of(gpus) for gpu_type, gpus in sample.inventory.items()}
    run = simulate(sample.submissions, sample.inventory, spec.build(), nodes=nodes, sleep=rule)
    return run, sum(p.energy_kwh for p in run.placements), max(p.end_s for p in run.placements)


def gaps_kwh(sleeping: Sleeping, ends_s: float, rule: SleepRule, after_s: float | None) -> float:
    """What nodes draw while nothing runs on them; `sleeping` are nodes that slept whenever they were idle.

    By a timeout of `after_s`, with a wake-up where a gap is longer; with None at best: asleep in every gap that is
    longer than a wake-up, which is over when the gap is. After the last job nobody is woken.
    """
    joules = 0.0
    for (gpu_type, _), use in sleeping.nodes.items():
        awake_s = 0.0
        for begins_s, gap_ends_s in sleeping.asleep(use, ends_s):
            gap_s, wake_s = gap_ends_s - begins_s, rule.wake_s if gap_ends_s < ends_s else 0.0
            if after_s is None:
                awake_s += min(gap_s, wake_s)
            else:
                awake_s += min(gap_s, after_s) + (wake_s if gap_s > after_s else 0.0)
        joules += awake_s * (rule.host_w + use.gpus * (idle_power_w(gpu_type) or 0.0))
    return joules / JOULES_PER_KWH


def rows(args: argparse.Namespace) -> list[Row]:
    """Every policy, always on and with sleep."""
    world, found, base = World(classes=args.classes, seed=args.seed, load=args.load), list[Row](), list[Outcome]()
    timeouts = (inf, *args.after_s)
    with tqdm(
        total=len(args.policies) * len(timeouts) * args.samples, unit="run", file=sys.stderr, disable=None
    ) as bar:
        for policy in args.policies:
            own = list[Outcome]()
            for after_s in timeouts:
                rule, results = SleepRule(after_s=after_s, wake_s=args.wake_s, host_w=args.host_watts), list[Outcome]()
                for index in range(args.samples):
                    results.append(one(world, index, policy, rule))
                    bar.update()
                base, own = base or results, own or results
                found.append(_row(policy, after_s, results, base, own, args.seed))
    return found


def _row(
    policy: str,
    after_s: float,
    results: Sequence[Outcome],
    base: Sequence[Outcome],
    own: Sequence[Outcome],
    seed: int,
) -> Row:
    def mean(name: str) -> float:
        return float(np.mean([getattr(one.energy, name) for one in results]))

    def change(of: Callable[[Outcome], float], others: Sequence[Outcome]) -> Interval:
        ours, theirs = [of(one) for one in results], [of(one) for one in others]
        return change_interval(ours, theirs, np.random.default_rng(seed))

    timed, best = [one.timed_kwh for one in results], [one.best_kwh for one in results]
    return Row(
        policy=policy,
        sleeps=after_s < inf,
        after_s=after_s if after_s < inf else None,
        jobs_kwh=mean("jobs_kwh"),
        idle_boards_kwh=mean("idle_boards_kwh"),
        hosts_kwh=mean("hosts_kwh"),
        total_kwh=mean("total_kwh"),
        wait_h=float(np.mean([one.wait_h for one in results])),
        wakes=mean("wakes"),
        asleep_share=mean("asleep_share"),
        energy_change=change(_kwh, base),
        wait_change=change(_wait_h, base),
        energy_change_of_policy=change(_kwh, own),
        wait_change_of_policy=change(_wait_h, own),
        over_best=change_interval(timed, best, np.random.default_rng(seed)),
    )


def _kwh(one: Outcome) -> float:
    return one.energy.total_kwh


def _wait_h(one: Outcome) -> float:
    return one.wait_h


def show(found: Sequence[Row]) -> None:
    """The table, for people."""
    numbers = " ".join(f"{head:>11}" for head in ("jobs", "idle boards", "hosts", "all kWh"))
    heads = f"{'against simple, always on':26} {'wait h':>8} {'wait':>7} {'wakes':>6} {'over best':>9}"
    print(f"{'policy':14} {'nodes':9} {numbers}  {heads}")
    for row in found:
        change = row.energy_change
        cells = (row.jobs_kwh, row.idle_boards_kwh, row.hosts_kwh, row.total_kwh)
        print(
            f"{row.policy:14} {f'{row.after_s:g} s' if row.sleeps else 'always on':9} "
            + " ".join(f"{cell:11,.0f}" for cell in cells)
            + f"  {change.estimate:+7.1%} [{change.low:+.1%}, {change.high:+.1%}]".ljust(28)
            + f" {row.wait_h:8,.0f} {row.wait_change_of_policy.estimate:+7.1%} {row.wakes:6.0f} "
            + f"{row.over_best.estimate:+9.1%}"
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
    after = "an idle node sleeps after so long (default: %(default)s)"
    add("--after-s", type=float, nargs="+", default=[900.0, 180.0], metavar="S", help=after)
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
