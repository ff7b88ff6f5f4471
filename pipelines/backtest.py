"""Backtest the policies on many samples as Ray tasks: `python -m pipelines.backtest --scenario paper --out DIR`.

Writes DIR/scores.parquet (a row a sample and policy), DIR/world.json (arrivals and a sample path), DIR/report.html
and DIR/report.json, and prints the tables. Every number is modelled.
"""

import argparse
import inspect
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from rich.console import Console
from tqdm import tqdm

from kilowait import records
from kilowait.errors import InputError
from kilowait.jobs import Provenance
from kilowait.policies import POLICIES
from kilowait.policies.greedy import DEFAULT_ALPHA, DEFAULT_GAMMA
from kilowait.policies.value import DEFAULT_KAPPA
from kilowait.policies.value_aging import DEFAULT_LIMIT_S
from kilowait.report import OUTCOMES, WORLD, ReportInputs, comparisons, write_report
from kilowait.simulate.comparison import explain
from kilowait.simulate.digest import arrivals_digest, path_digest
from kilowait.simulate.kappa_file import read_kappa
from kilowait.simulate.study import PolicySpec, World, evaluate, outcome_row
from kilowait.simulate.world_options import add_world_options, worlds
from kilowait.tables import changes_table, terminal, totals_table

EXAMPLE = """example:
  python -m tuning.kappa --out out/kappa
  python -m pipelines.backtest --scenario paper --kappa out/kappa/kappa.json --out out/backtest
  python -m pipelines.backtest --policies sjf,easy,conservative,value,value_aging --limit-s 7200 --out out/known
  python -m pipelines.backtest --predictions noisy --residuals out/train/residuals.parquet --out out/noisy
"""
BATCHES_A_CORE = 8
"""Samples travel in batches: enough for an even load and a moving progress bar, few enough to cost nothing."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(
        prog="python -m pipelines.backtest",
        description="Compare policies on samples of the paper's scenario, with intervals.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results go")
    p.add_argument("--samples", type=int, default=100, metavar="N", help="test samples (default: 100)")
    p.add_argument(
        "--policies",
        default="simple,greedy,value",
        metavar="NAMES",
        help=f"of {', '.join(POLICIES)}; the scenario names no users, so fair sees one (default: %(default)s)",
    )
    p.add_argument(
        "--kappa",
        default=str(DEFAULT_KAPPA),
        metavar="K|FILE",
        help="for Value (and with aging), per kWh: a number, or the kappa.json of tuning.kappa, one Value a criterion "
        "(default: %(default)s)",
    )
    p.add_argument("--alpha", type=float, default=DEFAULT_ALPHA, help="for Greedy, a second (default: %(default)s)")
    p.add_argument("--gamma", type=float, default=DEFAULT_GAMMA, help="for Greedy, per kWh (default: %(default)s)")
    p.add_argument(
        "--limit-s",
        type=float,
        default=DEFAULT_LIMIT_S,
        help="for Value with aging, seconds of waiting after which a job goes first (default: %(default)s)",
    )
    p.add_argument("--ray", default="local", metavar="ADDRESS", help='a Ray cluster ("auto"); default: this machine')
    add_world_options(p)
    return p


def specs(args: argparse.Namespace, classes: str) -> list[PolicySpec]:
    """The policies to compare on this table of classes; Simple is always among them, as the baseline."""
    names = ["simple", *(part.strip() for part in args.policies.split(",") if part.strip())]
    for name in names:
        if name not in POLICIES:
            raise InputError(f"--policies: unknown policy {name!r}; choose from {', '.join(POLICIES)}")
    chosen = [spec for name in dict.fromkeys(names) for spec in variants(name, args, classes)]
    for spec in chosen:
        spec.build()
    return chosen


def variants(name: str, args: argparse.Namespace, classes: str) -> list[PolicySpec]:
    """One policy with the options that it has, once for each kappa if that is one of them."""
    wanted = inspect.signature(POLICIES[name]).parameters
    given = {option: getattr(args, option) for option in ("alpha", "gamma", "limit_s") if option in wanted}
    if "kappa" not in wanted:
        return [PolicySpec(label=name, policy=name, parameters=given)]
    return [
        PolicySpec(label=f"{name}{suffix}", policy=name, parameters={"kappa": kappa, **given})
        for suffix, kappa in kappas(args.kappa, classes).items()
    ]


def kappas(text: str, classes: str) -> dict[str, float]:
    """Kappa by what it adds to a policy's label; raises InputError for a file that lacks the table of classes."""
    try:
        return {"": float(text)}
    except ValueError:
        tuned = read_kappa(Path(text))
    if classes not in tuned:
        raise InputError(f"--kappa {text}: no kappa for the classes {classes!r}; it has {', '.join(tuned)}")
    return {f" ({criterion})": kappa for criterion, kappa in tuned[classes].items()}


@ray.remote
def evaluate_batch(world: World, indices: Sequence[int], policies: Sequence[PolicySpec]) -> list[dict[str, object]]:
    """A Ray task: these samples of a world under every policy, as rows of `records.BACKTEST`."""
    return [outcome_row(world, outcome) for index in indices for outcome in evaluate(world, index, policies)]


def evaluate_all(found: Sequence[World], args: argparse.Namespace) -> list[dict[str, object]]:
    """All samples of all worlds, in order of world, sample and policy, whichever task ends first."""
    by_world = {world.classes: specs(args, world.classes) for world in found}
    size = -(-args.samples // (BATCHES_A_CORE * cores()))
    batches = [range(k, min(k + size, args.samples)) for k in range(0, args.samples, size)]
    tasks = {}
    for world in found:
        shared = ray.put(world)
        for batch in batches:
            task = evaluate_batch.remote(shared, list(batch), by_world[world.classes])
            tasks[task] = (world.classes, batch)
    done: dict[Any, list[dict[str, object]]] = {}
    with tqdm(total=len(found) * args.samples, desc="backtest", unit="sample", file=sys.stderr) as bar:
        waiting = list(tasks)
        while waiting:
            ready, waiting = ray.wait(waiting)
            done[ready[0]] = ray.get(ready[0])
            bar.update(len(tasks[ready[0]][1]))
    return [row for task in tasks for row in done[task]]


def cores() -> int:
    """CPU cores of the Ray cluster."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("CPU", 1))


def connect(address: str) -> None:
    """Join the Ray cluster at `address`, or start one here for "local"."""
    if address == "local":
        ray.init(address="local", include_dashboard=False, log_to_driver=False)
    else:
        ray.init(address=address, log_to_driver=False)


def run(args: argparse.Namespace) -> None:
    """Backtest, write everything, and print the tables."""
    if args.samples < 1:
        raise InputError(f"--samples must be >= 1, got {args.samples!r}")
    found = worlds(args, "test")
    by_world = {world.classes: specs(args, world.classes) for world in found}
    mine = not ray.is_initialized()
    if mine:
        connect(args.ray)
    try:
        rows = evaluate_all(found, args)
    finally:
        if mine:
            ray.shutdown()
    outcomes = records.table(rows, records.BACKTEST)
    records.write_table(outcomes, args.out / OUTCOMES)
    write_world(args, found[-1], by_world[found[-1].classes])
    page = write_report(args.out, ReportInputs(title="kilowait backtest", backtest=args.out))
    show(Console(width=None if sys.stdout.isatty() else 160), outcomes)
    print(f"wrote {page}")


def write_world(args: argparse.Namespace, world: World, policies: Sequence[PolicySpec]) -> None:
    """The arrivals of all samples and the path of sample 0, in the last of the worlds."""
    body = {
        "provenance": Provenance.MODELLED,
        "settings": {
            "scenario": args.scenario,
            "samples": args.samples,
            "seed": world.seed,
            "load": world.load,
            "arrivals": asdict(world.arrivals),
            "predictions": world.predictions,
            "greedy": {"alpha": args.alpha, "gamma": args.gamma},
            "value_aging": {"limit_s": args.limit_s},
        },
        "arrivals": arrivals_digest(world, args.samples),
        "path": path_digest(world, 0, policies),
    }
    (args.out / WORLD).write_text(json.dumps(body) + "\n", encoding="utf-8")


def show(console: Console, outcomes: Any) -> None:
    """Both tables of every world, and why they differ from the paper's."""
    for comparison in comparisons(outcomes):
        console.print(terminal(totals_table(comparison)))
        console.print(terminal(changes_table(comparison)))
        for sentence in explain(comparison):
            console.print(f"- {sentence}", highlight=False)
        console.print()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    try:
        run(args)
    except InputError as error:
        print(f"pipelines.backtest: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
