"""Backtest the policies on many samples as Ray tasks: `python -m pipelines.backtest --scenario paper --out DIR`.

The world is the paper's scenario or, with `--trace`, windows of a real trace. Writes DIR/scores.parquet (a row a sample
and policy), DIR/world.json (arrivals or the trace's counts, and a sample path), DIR/report.html and DIR/report.json,
for a trace DIR/trace_jobs.parquet too, and prints the tables. Every score is modelled.
"""

import argparse
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
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
from kilowait.policies.patient import DEFAULT_WAIT_S_PER_KWH
from kilowait.policies.value import DEFAULT_KAPPA
from kilowait.policies.value_aging import DEFAULT_LIMIT_S
from kilowait.report import OUTCOMES, WORLD, ReportInputs, comparisons, write_report
from kilowait.simulate.comparison import explain
from kilowait.simulate.digest import arrivals_digest, path_digest, trace_digest
from kilowait.simulate.kappa_file import read_kappa
from kilowait.simulate.study import PolicySpec, Sampled, World, evaluate, outcome_row
from kilowait.simulate.trace_options import add_trace_options, check_no_trace_options, trace_worlds
from kilowait.simulate.trace_world import TraceWorld, job_rows
from kilowait.simulate.world_options import add_world_options, worlds
from kilowait.tables import changes_table, terminal, totals_table
from kilowait.trace_tables import trace_sentences, trace_tables

EXAMPLE = """example:
  python -m tuning.kappa --out out/kappa
  python -m pipelines.backtest --scenario paper --kappa out/kappa/kappa.json --out out/backtest
  python -m pipelines.backtest --policies sjf,easy,conservative,value,value_aging --limit-s 7200 --out out/known
  python -m pipelines.backtest --policies value --kappa-relative 0.1 --out out/relative
  python -m pipelines.backtest --predictions noisy --residuals out/train/residuals.parquet --out out/noisy
  python -m pipelines.backtest --trace philly.csv --format philly --gpus A100=16,A6000=30 --load 0.9 --out out/philly
"""
TRACE_JOBS = "trace_jobs.parquet"
"""Every planned job of a trace with its numbers, a table of `records.TRACE_JOBS`."""

OPTIONS = ("alpha", "gamma", "limit_s", "wait_s_per_kwh", "error_sd")
"""What a policy takes from the command line as it stands; kappa may come from a file."""
BATCHES_A_CORE = 8
"""Samples travel in batches: enough for an even load and a moving progress bar, few enough to cost nothing."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(
        prog="python -m pipelines.backtest",
        description="Compare policies on samples of the paper's scenario or of a trace, with intervals.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results go")
    p.add_argument(
        "--samples", type=int, default=100, metavar="N", help="test samples, of a trace at most (default: 100)"
    )
    p.add_argument(
        "--policies",
        default="simple,greedy,value",
        metavar="NAMES",
        help=f"of {', '.join(POLICIES)}; the scenario names no users, so fair sees one (default: %(default)s)",
    )
    kappa = p.add_mutually_exclusive_group()
    kappa.add_argument(
        "--kappa",
        default=str(DEFAULT_KAPPA),
        metavar="K|FILE",
        help="for Value (and with aging), per kWh: a number, or the kappa.json of tuning.kappa, one Value a criterion "
        "(default: %(default)s)",
    )
    kappa.add_argument(
        "--kappa-relative",
        type=float,
        metavar="X",
        help="for Value (and with aging), instead of --kappa: a plain number against the scale of the jobs, such as 1",
    )
    p.add_argument("--alpha", type=float, default=DEFAULT_ALPHA, help="for Greedy, a second (default: %(default)s)")
    p.add_argument("--gamma", type=float, default=DEFAULT_GAMMA, help="for Greedy, per kWh (default: %(default)s)")
    p.add_argument(
        "--limit-s",
        type=float,
        default=DEFAULT_LIMIT_S,
        help="for Value with aging, seconds of waiting after which a job goes first (default: %(default)s)",
    )
    p.add_argument(
        "--wait-s-per-kwh",
        type=float,
        default=DEFAULT_WAIT_S_PER_KWH,
        metavar="S",
        help="for patient, seconds of a job's waiting that a kWh is worth (default: %(default)s)",
    )
    p.add_argument(
        "--error-sd",
        type=float,
        default=0.0,
        metavar="SD",
        help="for patient, how wrong run times are predicted: the standard deviation of log(predicted / measured) "
        "(default: 0, exact)",
    )
    p.add_argument("--ray", default="local", metavar="ADDRESS", help='a Ray cluster ("auto"); default: this machine')
    add_world_options(p)
    add_trace_options(p)
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
    given = {option: getattr(args, option) for option in OPTIONS if option in wanted}
    if "kappa" not in wanted:
        return [PolicySpec(label=name, policy=name, parameters=given)]
    if args.kappa_relative is not None:
        relative = {"kappa_relative": args.kappa_relative, **given}
        return [PolicySpec(label=f"{name} (relative {args.kappa_relative:g})", policy=name, parameters=relative)]
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
def evaluate_batch(world: Sampled, indices: Sequence[int], policies: Sequence[PolicySpec]) -> list[dict[str, object]]:
    """A Ray task: these samples of a world under every policy, as rows of `records.BACKTEST`."""
    return [outcome_row(world, outcome) for index in indices for outcome in evaluate(world, index, policies)]


def evaluate_all(
    found: Sequence[Sampled], samples: int, by_world: Mapping[str, Sequence[PolicySpec]]
) -> list[dict[str, object]]:
    """The first `samples` samples of all worlds, in order of world, sample and policy, whichever task ends first."""
    size = -(-samples // (BATCHES_A_CORE * cores()))
    batches = [range(k, min(k + size, samples)) for k in range(0, samples, size)]
    tasks = {}
    for world in found:
        shared = ray.put(world)
        for batch in batches:
            task = evaluate_batch.remote(shared, list(batch), by_world[world.classes])
            tasks[task] = (world.classes, batch)
    done: dict[Any, list[dict[str, object]]] = {}
    with tqdm(total=len(found) * samples, desc="backtest", unit="sample", file=sys.stderr) as bar:
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
    found, samples = chosen_worlds(args)
    by_world = {world.classes: specs(args, world.classes) for world in found}
    mine = not ray.is_initialized()
    if mine:
        connect(args.ray)
    try:
        rows = evaluate_all(found, samples, by_world)
    finally:
        if mine:
            ray.shutdown()
    outcomes = records.table(rows, records.BACKTEST)
    records.write_table(outcomes, args.out / OUTCOMES)
    last = found[-1]
    digest = trace_digest(last) if isinstance(last, TraceWorld) else None
    write_world(args, last, samples, by_world[last.classes], digest)
    page = write_report(args.out, ReportInputs(title="kilowait backtest", backtest=args.out))
    console = Console(width=None if sys.stdout.isatty() else 160)
    if digest is not None:
        show_trace(console, digest)
    show(console, outcomes, None if digest is None else digest["name"])
    print(f"wrote {page}")


def chosen_worlds(args: argparse.Namespace) -> tuple[Sequence[World] | Sequence[TraceWorld], int]:
    """The scenario's worlds or the trace's, and how many samples each has."""
    if args.trace is None:
        check_no_trace_options(args)
        return worlds(args, "test"), args.samples
    found = trace_worlds(args)
    return found, found[0].windows


def write_world(
    args: argparse.Namespace,
    world: World | TraceWorld,
    samples: int,
    policies: Sequence[PolicySpec],
    digest: Mapping[str, Any] | None,
) -> None:
    """The path of sample 0 in the last of the worlds, and its arrivals, or what its trace held."""
    settings = {
        "samples": samples,
        "seed": world.seed,
        "load": args.load,
        "predictions": world.predictions,
        "greedy": {"alpha": args.alpha, "gamma": args.gamma},
        "value_aging": {"limit_s": args.limit_s},
        "patient": {"wait_s_per_kwh": args.wait_s_per_kwh, "error_sd": args.error_sd},
    }
    body = {"provenance": Provenance.MODELLED, "path": path_digest(world, 0, policies)}
    if isinstance(world, TraceWorld):
        body["settings"] = settings | {"trace": world.trace, "vc": args.vc, "limit": args.limit}
        body["trace"] = digest
        records.write_table(records.table(job_rows(world), records.TRACE_JOBS), args.out / TRACE_JOBS)
    else:
        body["settings"] = settings | {"scenario": args.scenario, "arrivals": asdict(world.arrivals)}
        body["arrivals"] = arrivals_digest(world, samples)
    (args.out / WORLD).write_text(json.dumps(body) + "\n", encoding="utf-8")


def show_trace(console: Console, digest: Mapping[str, Any]) -> None:
    """Where the trace's rows went, and how the world was made of them."""
    for view in trace_tables(digest):
        console.print(terminal(view))
    for sentence in trace_sentences(digest):
        console.print(f"- {sentence}", highlight=False)
    console.print()


def show(console: Console, outcomes: Any, trace: str | None = None) -> None:
    """Both tables of every world, and what they say."""
    for comparison in comparisons(outcomes, trace=trace):
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
