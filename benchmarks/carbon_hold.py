"""How much less carbon flexible jobs emit, by zone and by what is known of the hours ahead: modelled.

    python -m benchmarks.carbon_hold --zones grid.parquet --json out/carbon_hold.json
    python -m benchmarks.carbon_hold --zones grid.parquet --forecasts dacf.csv --classes paper-like --samples 2

Samples of the paper's scenario, begun at dates spread over 2022, each in every zone of --zones (columns datetime_utc,
zone and the carbon intensity of a kWh, as --column names it). Every job may be kept for --slack-h hours after its
submission, by `flexible` around --policy, with perfect foresight and with the values of the last 24 hours. --forecasts
has zones of its own, with what was measured and a day-ahead forecast of it (columns datetime_utc, zone,
gco2_per_kwh_direct, day_ahead_forecast): there that forecast is tried too. Changes are of the jobs' carbon against
--policy alone, with paired 95% intervals over samples and zones. The bound starts each job as if it were alone on
unlimited GPUs, on the type that it has under --policy: at the best hour within the slack, against at once. With
--checkpoint-s jobs may be stopped and take so long to go on; the bound then has each run in the cheapest hours until
its run time and the slack are over, as if going on took nothing.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from benchmarks.json_record import keep
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import DAY_S, HOUR_S
from kilowait.files.signal_files import moment, read_signal
from kilowait.lab.backtest.backtest import World
from kilowait.lab.backtest.scenario.paper_scenario import Sample, with_checkpoints
from kilowait.lab.backtest.statistics import change_interval
from kilowait.report.interval import Interval
from kilowait.simulate.foreseen_signals import Foresight
from kilowait.simulate.run import Run
from kilowait.simulate.simulation import Simulation, simulate

FIRST, LAST = "2022-01-08T00:00Z", "2022-10-01T00:00Z"
FIRST_FORECAST, LAST_FORECAST = "2021-07-08T00:00Z", "2021-10-08T00:00Z"
"""Between these dates samples begin: a sample goes on for about two months."""

SEEN = ("perfect", "yesterday", "day ahead")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One sample in one zone: carbon of the jobs in kg, their energy in kWh, hours of waiting, by what was known."""

    source: str
    zone: str
    bound: float
    base: tuple[float, float, float]
    held: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Changes of the jobs' carbon and of carbon a kWh over the cases of a source or a zone, with the mean bound.

    The shares are those changes over the bound; waiting is in hours a case.
    """

    source: str
    zone: str
    foresight: str
    cases: int
    carbon_change: Interval
    per_kwh_change: Interval
    bound: float
    share: float
    per_kwh_share: float
    wait_h: float
    base_wait_h: float


def bound(run: Run, signal: Signal, slack_s: float) -> float:
    """The change of carbon when each job starts alone at its best hour within the slack, against at once."""
    at_once = best = 0.0
    for p in run.placements:
        latest_s = p.submit_s + slack_s
        ends_s = signal.changes(p.submit_s + p.runtime_s, latest_s + p.runtime_s)
        starts_s = [p.submit_s, *signal.changes(p.submit_s, latest_s), *(end_s - p.runtime_s for end_s in ends_s)]
        means = [signal.mean(start_s, start_s + p.runtime_s) for start_s in starts_s]
        at_once, best = at_once + p.energy_kwh * means[0], best + p.energy_kwh * min(means)
    return best / at_once - 1


def bound_in_parts(run: Run, signal: Signal, slack_s: float) -> float:
    """As `bound`, of jobs that may be stopped and go on at any time for nothing."""
    at_once = best = 0.0
    for p in run.placements:
        end_s = p.submit_s + slack_s + p.runtime_s
        edges_s = [p.submit_s, *signal.changes(p.submit_s, end_s), end_s]
        left_s, grams = p.runtime_s, 0.0
        for value, length_s in sorted((signal.at(a), b - a) for a, b in pairwise(edges_s) if a < b):
            grams, left_s = grams + value * min(left_s, length_s), max(0.0, left_s - length_s)
        power_kw = p.energy_kwh / p.runtime_s
        at_once += power_kw * signal.integral(p.submit_s, p.submit_s + p.runtime_s)
        best += power_kw * grams
    return best / at_once - 1


def one(
    sample: Sample, signal: Signal, forecast: Signal | None, args: argparse.Namespace, labels: tuple[str, str]
) -> Case:
    """A sample in a zone, by every foresight that there is."""

    stopped = with_checkpoints(sample, args.checkpoint_s)
    best = bound if args.checkpoint_s is None else bound_in_parts

    def run(policy: str, foresight: Foresight = "perfect") -> Simulation:
        of = sample if policy == args.policy else stopped
        return simulate(of.submissions, of.inventory, policy, signals={"carbon": signal}, foresight=foresight)

    def figures(found: Simulation) -> tuple[float, float, float]:
        return found.totals["carbon"].jobs, found.scores.energy_kwh, found.scores.total_wait_s / HOUR_S

    seen: dict[str, Foresight] = {"perfect": "perfect", "yesterday": "yesterday"}
    if forecast is not None:
        seen["day ahead"] = {"carbon": [forecast]}
    base, kept = run(args.policy), f"flexible({args.policy},{args.slack_h}h)"
    return Case(
        source=labels[0],
        zone=labels[1],
        bound=best(base.run, signal, args.slack_h * HOUR_S),
        base=figures(base),
        held={name: figures(run(kept, foresight)) for name, foresight in seen.items()},
    )


def begins_s(first: str, last: str, index: int, samples: int) -> float:
    """When sample `index` begins, seconds since 1970."""
    return moment(first) + (moment(last) - moment(first)) * index / max(1, samples - 1) // DAY_S * DAY_S


def zone_signals(path: Path, column: str) -> Iterator[tuple[str, Signal]]:
    """Every zone of a Parquet file by name, with its carbon."""
    for zone in sorted(pq.read_table(path, columns=["zone"])["zone"].unique().to_pylist()):
        (signal,) = read_signal(path, "carbon", zone=zone, column=column).signals
        yield zone, signal


def cases(args: argparse.Namespace) -> list[Case]:
    """Every sample in every zone of both files."""
    world, work = World(classes=args.classes, seed=args.seed, load=args.load), list[tuple[Any, ...]]()
    for zone, signal in zone_signals(args.zones, args.column):
        work += [("life cycle, 2022", zone, signal, None, FIRST, LAST, k) for k in range(args.samples)]
    if args.forecasts is not None:
        for zone in args.forecast_zones:
            (signal,) = read_signal(args.forecasts, "carbon", zone=zone, column="gco2_per_kwh_direct").signals
            (seen,) = read_signal(args.forecasts, "carbon", zone=zone, column="day_ahead_forecast").signals
            dates = (FIRST_FORECAST, LAST_FORECAST)
            work += [("direct, 2021", zone, signal, seen, *dates, k) for k in range(args.samples)]
    found = list[Case]()
    for source, zone, signal, seen, first, last, k in tqdm(work, unit="case", file=sys.stderr, disable=None):
        back_s = -begins_s(first, last, k, args.samples)
        forecast = None if seen is None else seen.later(back_s)
        found.append(one(world.sample(k), signal.later(back_s), forecast, args, (source, zone)))
    return found


def rows(found: Sequence[Case], seed: int) -> list[Row]:
    """All zones of a source together, then each."""
    made = list[Row]()
    for source in dict.fromkeys(case.source for case in found):
        of_source = [case for case in found if case.source == source]
        for zone in ("all", *dict.fromkeys(case.zone for case in of_source)):
            chosen = [case for case in of_source if zone in ("all", case.zone)]
            made += [_row(source, zone, name, chosen, seed) for name in SEEN if name in chosen[0].held]
    return made


def _row(source: str, zone: str, foresight: str, chosen: Sequence[Case], seed: int) -> Row:
    def change(pick: int, per_kwh: bool) -> Interval:
        ours, base = ([c.held[foresight] for c in chosen], [c.base for c in chosen])
        both = [[one[pick] / (one[1] if per_kwh else 1.0) for one in which] for which in (ours, base)]
        weight = [1 / was for was in both[1]]  # a case counts alike in every zone
        return change_interval(
            *([value * w for value, w in zip(which, weight, strict=True)] for which in both),
            np.random.default_rng(seed),
        )

    carbon, per_kwh, most = change(0, False), change(0, True), float(np.mean([case.bound for case in chosen]))
    return Row(
        source=source,
        zone=zone,
        foresight=foresight,
        cases=len(chosen),
        carbon_change=carbon,
        per_kwh_change=per_kwh,
        bound=most,
        share=carbon.estimate / most,
        per_kwh_share=per_kwh.estimate / most,
        wait_h=float(np.mean([case.held[foresight][2] for case in chosen])),
        base_wait_h=float(np.mean([case.base[2] for case in chosen])),
    )


def show(found: Sequence[Row]) -> None:
    """The table, for people."""
    print(f"{'source':17} {'zone':13} {'known':10} {'carbon':26} {'a kWh':>7} {'bound':>7} {'share':>6} {'wait h':>7}")
    for row in found:
        change = row.carbon_change
        told = f"{change.estimate:+7.1%} [{change.low:+.1%}, {change.high:+.1%}]"
        print(
            f"{row.source:17} {row.zone:13} {row.foresight:10} {told:26} {row.per_kwh_change.estimate:+7.1%} "
            f"{row.bound:+7.1%} {row.share:6.0%} {row.wait_h:7,.0f}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and print the table; modelled numbers."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.carbon_hold",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--zones", type=Path, required=True, metavar="FILE", help="hourly carbon intensity by zone, Parquet")
    add("--column", default="gco2_per_kwh_lca", help="its values (default: %(default)s)")
    add("--forecasts", type=Path, metavar="FILE", help="zones with a real day-ahead forecast, CSV")
    zones = ["CISO", "DE", "ERCO", "ISNE", "PJM", "SE"]
    add("--forecast-zones", type=lambda text: text.split(","), default=zones, metavar="ZONE,...")
    add("--classes", default="calibrated", help="table of job classes (default: %(default)s)")
    add("--policy", default="patient", help="default: %(default)s")
    add("--slack-h", type=int, default=24, help="default: %(default)s")
    add("--checkpoint-s", type=float, metavar="S", help="jobs may be stopped, and take so long to go on")
    add("--samples", type=int, default=4, help="in each zone (default: %(default)s)")
    add("--load", type=float, default=1.0, help="default: %(default)s")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add("--json", type=Path, metavar="FILE", help="write the rows here")
    args = made.parse_args(argv)
    found = rows(cases(args), args.seed)
    show(found)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
    settings = {key: value for key, value in settings.items() if key not in ("json", "zones", "forecasts")}
    keep({**settings, "rows": [asdict(row) for row in found]}, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
