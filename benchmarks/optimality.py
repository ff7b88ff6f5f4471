"""How far policies are from the offline optimum on small samples of the paper's scenario; everything is modelled.

    python -m benchmarks.optimality --samples 10 --time-limit-s 20

A sample is `--days` days of the scenario at its usual arrivals a day, so queues are as in the paper's 62 days and the
jobs few enough for a proof. The cost is seconds of waiting plus --wait-s-per-kwh seconds a kWh, what patient,
anticipatory and milp minimise. The optimum knows every arrival beforehand, which no policy can; part of what is left to
it is that. A policy is compared with the best schedule found and with the proved bound: its distance from the true
optimum lies between.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from tqdm import tqdm

from benchmarks.json_record import keep
from kilowait.core.errors import KilowaitError
from kilowait.core.jobs import Provenance
from kilowait.core.units import HOUR_S
from kilowait.lab.backtest.backtest import PolicySpec, World, run_policy
from kilowait.lab.backtest.bounds.optimum import cost_s, optimum
from kilowait.lab.backtest.scenario.arrivals import ArrivalPattern
from kilowait.lab.backtest.world_options import DEFAULT_CLASSES, DEFAULT_SEED, table_names
from kilowait.policies.patient import DEFAULT_WAIT_S_PER_KWH
from kilowait.policies.value import DEFAULT_KAPPA
from kilowait.report.table import NOTHING, TableView, terminal
from kilowait.simulate.run import Run
from kilowait.simulate.scores import score

OPTIMUM = "offline optimum"
BOUND = "proved bound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sample under one policy, the optimum or the bound; the bound has a cost only."""

    classes: str
    sample: int
    jobs: int
    schedule: str = BOUND
    cost_s: float = 0.0
    wait_s: float | None = None
    energy_kwh: float | None = None


def specs(wait_s_per_kwh: float) -> list[PolicySpec]:
    """The policies compared, those that price a kWh at this price."""
    priced = {"wait_s_per_kwh": wait_s_per_kwh}
    parameters: Mapping[str, Mapping[str, float]] = {
        "simple": {},
        "sjf": {},
        "value": {"kappa": DEFAULT_KAPPA},
        "patient": priced,
        "anticipatory": priced,
        "milp": priced,
    }
    return [PolicySpec(label=name, policy=name, parameters=values) for name, values in parameters.items()]


def rows(world: World, index: int, wait_s_per_kwh: float, time_limit_s: float) -> list[Row]:
    """A sample's rows: the bound, the optimum and every policy."""
    sample = world.sample(index)
    best = optimum(sample, wait_s_per_kwh=wait_s_per_kwh, time_limit_s=time_limit_s)
    blank = Row(classes=world.classes, sample=index, jobs=len(sample.submissions))
    runs = {OPTIMUM: best.run} | {spec.label: run_policy(sample, spec) for spec in specs(wait_s_per_kwh)}
    return [
        replace(blank, cost_s=best.bound_s),
        *(_scored(blank, name, run, wait_s_per_kwh) for name, run in runs.items()),
    ]


def _scored(blank: Row, name: str, run: Run, wait_s_per_kwh: float) -> Row:
    scores, cost = score(run), cost_s(run, wait_s_per_kwh)
    return replace(blank, schedule=name, cost_s=cost, wait_s=scores.total_wait_s, energy_kwh=scores.energy_kwh)


def table(found: Sequence[Row], classes: str, wait_s_per_kwh: float) -> TableView:
    """Totals of all samples of one table of classes, and what each schedule costs above the optimum and the bound."""
    class_rows = [row for row in found if row.classes == classes]
    names = list(dict.fromkeys(row.schedule for row in class_rows))
    totals = {name: [row for row in class_rows if row.schedule == name] for name in names}
    cost = {name: sum(row.cost_s for row in schedule_rows) for name, schedule_rows in totals.items()}
    samples, jobs = len(totals[OPTIMUM]), [row.jobs for row in totals[OPTIMUM]]
    pairs = zip(totals[BOUND], totals[OPTIMUM], strict=True)
    worst_gap = max((1 - bound.cost_s / best.cost_s for bound, best in pairs if best.cost_s), default=0.0)
    return TableView(
        title=f"Distance from the offline optimum, classes {classes}",
        headings=("schedule", "cost\nh", "above the\noptimum", "above the\nbound", "waiting\nh", "energy\nkWh"),
        rows=tuple(
            (
                name,
                f"{cost[name] / HOUR_S:,.1f}",
                f"{cost[name] / cost[OPTIMUM] - 1:+.1%}",
                f"{cost[name] / cost[BOUND] - 1:+.1%}",
                _total([row.wait_s for row in schedule_rows], HOUR_S),
                _total([row.energy_kwh for row in schedule_rows], 1.0),
            )
            for name, schedule_rows in totals.items()
        ),
        provenance=Provenance.MODELLED,
        notes=(
            f"Totals of {samples} samples of {min(jobs)} to {max(jobs)} jobs; cost: waiting and {wait_s_per_kwh:g} s a "
            f"kWh. Largest gap between a sample's optimum as found and its bound: {worst_gap:.1%}.",
        ),
    )


def _total(values: Sequence[float | None], unit: float) -> str:
    numbers = [value for value in values if value is not None]
    return f"{sum(numbers) / unit:,.1f}" if numbers else NOTHING


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(prog="python -m benchmarks.optimality", description=__doc__.split("\n")[0])
    p.add_argument("--samples", type=int, default=10, metavar="N", help="samples a table of classes (default: 10)")
    p.add_argument("--days", type=float, default=10.0, help="days a sample, 3.06 jobs a day (default: %(default)s)")
    p.add_argument("--classes", default=DEFAULT_CLASSES, metavar="NAMES", help="(default: %(default)s)")
    p.add_argument("--seed", type=int, default=DEFAULT_SEED, help="(default: %(default)s)")
    p.add_argument(
        "--wait-s-per-kwh", type=float, default=DEFAULT_WAIT_S_PER_KWH, metavar="S", help="(default: %(default)s)"
    )
    p.add_argument("--time-limit-s", type=float, default=20.0, metavar="S", help="for each optimum (default: 20)")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every sample's rows here")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns its exit status."""
    args = parser().parse_args(argv)
    default = ArrivalPattern()
    arrivals = ArrivalPattern(expected=default.expected * args.days / default.days, days=args.days)
    all_rows: list[Row] = []
    try:
        worlds = [World(classes=name, seed=args.seed, arrivals=arrivals) for name in table_names(args.classes)]
        for world in worlds:
            for index in tqdm(range(args.samples), desc=world.classes, unit="sample", file=sys.stderr):
                all_rows += rows(world, index, args.wait_s_per_kwh, args.time_limit_s)
    except KilowaitError as error:
        print(f"benchmarks.optimality: {error}", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 120)
    for world in worlds:
        console.print(terminal(table(all_rows, world.classes, args.wait_s_per_kwh)))
    keep({"provenance": Provenance.MODELLED, "rows": [asdict(row) for row in all_rows]}, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
