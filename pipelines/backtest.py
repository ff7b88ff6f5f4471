"""Backtest the policies on many samples as Ray tasks: `kilowait lab backtest --scenario paper --out DIR`.

The world is the paper's scenario or, with `--trace`, windows of a real trace. Writes DIR/scores.parquet (a row a sample
and policy), DIR/world.json (arrivals or the trace's counts, and a sample path), DIR/report.html and DIR/report.json,
for a trace DIR/trace_jobs.parquet too, and prints the tables. Every score is modelled.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from rich.console import Console
from tqdm import tqdm

from kilowait.core.closed_ray import connected
from kilowait.core.errors import InputError
from kilowait.core.hardware import add_gpu_file_option
from kilowait.core.jobs import Provenance
from kilowait.core.started import command_name
from kilowait.files import columns, parquet
from kilowait.lab.backtest.backtest import PolicySpec, Sampled, World, evaluate, outcome_row
from kilowait.lab.backtest.backtest_page import OUTCOMES, WORLD, ReportInputs, comparisons, write_report
from kilowait.lab.backtest.comparison import Comparison, explain, versions
from kilowait.lab.backtest.digest import arrivals_digest, path_digest, trace_digest
from kilowait.lab.backtest.policy_options import add_policy_options, specs
from kilowait.lab.backtest.sample_timelines import write_timelines
from kilowait.lab.backtest.tables import changes_table, shares_table, totals_table
from kilowait.lab.backtest.trace_options import add_trace_options, check_no_trace_options, trace_worlds
from kilowait.lab.backtest.traces.trace_tables import trace_sentences, trace_tables
from kilowait.lab.backtest.traces.trace_world import TraceWorld, job_rows
from kilowait.lab.backtest.world_options import add_world_options, worlds
from kilowait.report.table import terminal

EXAMPLE = """example:
  kilowait lab tune-kappa --out out/kappa
  kilowait lab backtest --scenario paper --kappa out/kappa/kappa.json --out out/backtest
  kilowait lab backtest --policies sjf,easy,conservative,value,value_aging --limit-s 7200 --out out/known
  kilowait lab backtest --policies value --kappa-relative 0.1 --out out/relative
  kilowait lab backtest --predictions both --residuals out/train/residuals.parquet --out out/both
  kilowait lab backtest --trace philly.csv --format philly --gpus A100=16,A6000=30 --load 0.9 --out out/philly
"""
TRACE_JOBS = "trace_jobs.parquet"
"""Every planned job of a trace with its numbers, a table of `columns.TRACE_JOBS`."""

BATCHES_A_CORE = 8
"""Samples travel in batches: enough for an even load and a moving progress bar, few enough to cost nothing."""


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The command's options, with those of a policy of a site that `words` name."""
    p = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.backtest", "kilowait lab backtest"),
        description="Compare policies on samples of the paper's scenario or of a trace, with intervals.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results go")
    p.add_argument(
        "--samples", type=int, default=100, metavar="N", help="test samples, of a trace at most (default: 100)"
    )
    add_policy_options(p, words)
    add_gpu_file_option(p)
    p.add_argument("--ray", default="local", metavar="ADDRESS", help='a Ray cluster ("auto"); default: this machine')
    add_world_options(p, several=True)
    add_trace_options(p)
    return p


@ray.remote
def evaluate_batch(world: Sampled, indices: Sequence[int], policies: Sequence[PolicySpec]) -> list[dict[str, object]]:
    """A Ray task: these samples of a world under every policy, as rows of `columns.BACKTEST`."""
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


def run(args: argparse.Namespace) -> None:
    """Backtest, write everything, and print the tables."""
    if args.samples < 1:
        raise InputError(f"--samples must be >= 1, got {args.samples!r}")
    found, samples = chosen_worlds(args)
    by_world = {world.classes: specs(args, world.classes) for world in found}
    with connected(ray, args.ray):
        rows = evaluate_all(found, samples, by_world)
    outcomes = parquet.table(rows, columns.BACKTEST)
    parquet.write_table(outcomes, args.out / OUTCOMES)
    last = found[-1]
    digest = trace_digest(last) if isinstance(last, TraceWorld) else None
    seen = ", ".join(dict.fromkeys(world.predictions for world in found))
    write_world(args, last, seen, samples, by_world[last.classes], digest)
    write_timelines(
        args.out, last.sample(0), by_world[last.classes], f"sample 0 of {last.classes} ({last.predictions})"
    )
    compared = comparisons(outcomes, trace=None if digest is None else digest["name"])
    page = write_report(args.out, ReportInputs(title="kilowait backtest", backtest=args.out, compared=compared))
    console = Console(width=None if sys.stdout.isatty() else 160)
    if digest is not None:
        show_trace(console, digest)
    show(console, compared)
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
    predictions: str,
    samples: int,
    policies: Sequence[PolicySpec],
    digest: Mapping[str, Any] | None,
) -> None:
    """The path of sample 0 in the last of the worlds, and its arrivals, or what its trace held."""
    settings = {
        "samples": samples,
        "seed": world.seed,
        "load": args.load,
        "predictions": predictions,
        "greedy": {"alpha": args.alpha, "gamma": args.gamma},
        "value_aging": {"limit_s": args.limit_s},
        "patient": {"wait_s_per_kwh": args.wait_s_per_kwh, "error_sd": args.error_sd},
        "value_cvar": {"risk": args.risk},
        "gavel": {"objective": args.objective},
        "srpt": {"hysteresis": args.hysteresis, "checkpoint_s": args.checkpoint_s},
        "milp": {"wait_s_per_kwh": args.wait_s_per_kwh},
    }
    body = {"provenance": Provenance.MODELLED, "path": path_digest(world, 0, policies)}
    if isinstance(world, TraceWorld):
        body["settings"] = settings | {"trace": world.trace, "vc": args.vc, "limit": args.limit}
        body["trace"] = digest
        parquet.write_table(parquet.table(job_rows(world), columns.TRACE_JOBS), args.out / TRACE_JOBS)
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


def show(console: Console, compared: Sequence[Comparison]) -> None:
    """The tables of every world and what they say, then all kinds of predictions beside each other."""
    for found in versions(compared):
        for comparison in found:
            console.print(terminal(totals_table(comparison)))
            console.print(terminal(changes_table(comparison)))
            for sentence in explain(comparison):
                console.print(f"- {sentence}", highlight=False)
            console.print()
        console.print(terminal(shares_table(found)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if argv is None else argv
    try:
        run(parser(words).parse_args(words))
    except InputError as error:
        print(f"pipelines.backtest: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
