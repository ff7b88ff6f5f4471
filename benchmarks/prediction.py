"""How long a prediction takes: the embedding on two cores with a dry run beside it, and what is remembered.

    python -m benchmarks.prediction --corpus out/corpus --repeats 20 --json out/prediction.json
    python -m benchmarks.prediction --corpus out/corpus --labels data/cpu/labels.parquet --embeddings out/emb \
        --card kilowait/data/bundle

The program is the one of the corpus whose embedding reads nearest to --tokens tokens; each pass adds a comment of its
own, so that nothing is remembered. The cached rows ask for a source again. The budgets take turns pass by pass, so that
other load hits all alike; the load average of the machine is told with the numbers. Budget 0 is the embedding alone.

With --labels the error at each budget stands beside its time: of modelled against measured run times of --sample
programs that were held out (benchmarks/budget_errors.py). --card writes the times into a bundle's model card, under
Overhead, in the place of what stood there; pipelines.train writes a card without them.

The last lines weigh the cost against the benefit: joules of a prediction are estimated (seconds of it times --watts of
the machine that predicts), and a job is worth predicting once the energy that scheduling saves of it, --saving of what
it draws (modelled: pipelines.backtest), exceeds them.
"""

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.json_record import keep
from kilowait.predict.dry_runs import BUDGET_S, WAITING, DryRuns
from kilowait.predict.embed.features import THREADS

os.environ.update({**WAITING, **os.environ})  # before PyTorch loads, as the service and the command do

from benchmarks.budget_errors import Errors, budget_errors
from kilowait.core.errors import InputError, KilowaitError
from kilowait.measure.script_runner import cpu_name
from kilowait.predict.embed.embedding import Embedder
from kilowait.predict.embed.language_model import load_language_model
from kilowait.predict.predictor import GpuSide, Predictor
from kilowait.predict.probe import bundle as bundles
from kilowait.program.source import Source, read_source, source_from_bytes
from pipelines.cards import probe_card, write_card

GPU_TYPES = ("A100", "A6000")
BUDGETS_S = (0.0, 0.5, 1.0, 2.0, BUDGET_S)


@dataclass(slots=True)
class Times:
    """Seconds of predictions under one budget, and what became of the dry runs."""

    uncached_s: list[float] = field(default_factory=list)
    cached_s: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A budget's line; times are measured wall time, joules estimated from them."""

    budget_s: float
    passes: int
    p50_s: float
    p95_s: float
    cached_p50_ms: float
    outcomes: dict[str, int]
    estimated_j: float
    break_even_s: float
    errors: Errors | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; exits with 2 for a mistake in what was given."""
    args = _parser().parse_args(argv)
    try:
        if args.labels and not args.embeddings:
            raise InputError("--labels needs --embeddings, the folder of the corpus' vectors (pipelines.embed)")
        record = run(args)
        if args.card:
            bundle = bundles.load(args.card)
            write_card(args.card, probe_card(bundle, bundle.version, overhead(record)))
    except KilowaitError as error:
        print(f"benchmarks.prediction: {error}", file=sys.stderr)
        return 2
    keep(record, args.json)
    print(_as_text(record))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.prediction",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--corpus", required=True, type=Path, metavar="DIR", help="folder of programs")
    add("--tokens", type=int, default=1600, help="length of the program (default: 1600)")
    add("--repeats", type=int, default=20, help="passes of each budget (default: 20)")
    add("--threads", type=int, default=THREADS, help="of the language model (default: %(default)s)")
    add("--budgets-s", default=",".join(map(str, BUDGETS_S)), help="dry-run budgets (default: %(default)s)")
    add("--watts", type=float, default=65.0, help="of the machine that predicts, busy (default: 65, an estimate)")
    add("--job-watts", type=float, default=250.0, help="that a job draws on its GPU (default: 250, an estimate)")
    add("--saving", type=float, default=0.035, help="of a job's energy by scheduling on predictions (default: 0.035)")
    add("--labels", type=Path, metavar="FILE", help="label table of the corpus: tell errors too (some minutes more)")
    add("--embeddings", type=Path, metavar="DIR", help="vectors of the corpus, for --labels")
    add("--sample", type=int, default=60, help="programs held out for the errors (default: 60)")
    add("--card", type=Path, metavar="BUNDLE", help="time this bundle and write the overhead into its model card")
    add("--json", type=Path, metavar="FILE", help="write the numbers here too")
    return parser


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time every budget; one worker of dry runs and one predictor each, one language model for all."""
    bundle = bundles.load(args.card) if args.card else bundles.load_default()
    depth = max(feature.layer for feature in bundle.features)
    embedder = Embedder(load_language_model(bundle.features[0].model, depth=depth), threads=args.threads)
    source, tokens = _nearest(args.corpus, embedder, bundle, args.tokens)
    budgets = [float(text) for text in args.budgets_s.split(",")]
    before = os.getloadavg()
    with ExitStack() as stack:
        sides = {b: GpuSide(stack.enter_context(DryRuns(b))) for b in budgets}
        predictors = {b: Predictor(bundle, embedder, side) for b, side in sides.items()}
        times = _timed(predictors, source, args.repeats)
    errors: dict[float, Errors] = {}
    if args.labels:
        errors = budget_errors(args.corpus, args.labels, args.embeddings, budgets, args.sample, embedder)
    return {
        "machine": cpu_name(),
        "program": source.name,
        "tokens": tokens,
        "threads": args.threads,
        "cores": os.cpu_count(),
        "load_before": before,
        "load_after": os.getloadavg(),
        "watts": args.watts,
        "job_watts": args.job_watts,
        "saving": args.saving,
        "rows": [asdict(_row(budget_s, timings, args, errors.get(budget_s))) for budget_s, timings in times.items()],
    }


def break_even_s(cost_j: float, job_w: float, saving: float) -> float:
    """Seconds that a job must run for a share `saving` of its energy to pay for a prediction of `cost_j` joules."""
    if not (cost_j >= 0 and job_w > 0 and 0 < saving <= 1):
        raise InputError(f"need joules >= 0, watts > 0 and a saving in (0, 1], got {cost_j}, {job_w}, {saving}")
    return cost_j / (job_w * saving)


def _nearest(corpus: Path, embedder: Embedder, bundle: bundles.Bundle, tokens: int) -> tuple[Source, int]:
    """The program whose length is nearest to `tokens`, of those whose size in bytes comes near."""
    sources = [read_source(path) for path in sorted(corpus.glob("*.py"))]
    sources.sort(key=lambda source: abs(len(source.text) - 3.6 * tokens))  # a first guess of bytes a token
    token_counts = [(source, embedder.embed(source, bundle.features)[0].tokens) for source in sources[:8]]
    return min(token_counts, key=lambda pair: abs(pair[1] - tokens))


def _timed(predictors: dict[float, Predictor], source: Source, repeats: int) -> dict[float, Times]:
    times = {budget_s: Times() for budget_s in predictors}
    for turn in tqdm(range(-1, repeats), desc="predict", unit="pass", file=sys.stderr):
        for budget_s, predictor in predictors.items():
            text = f"{source.text}\n# pass {turn} of {budget_s}\n"
            new_source = source_from_bytes(source.name, text.encode())
            started = time.perf_counter()
            outcome = predictor.forecast(new_source, GPU_TYPES).dry_run
            uncached_s = time.perf_counter() - started
            predictor.forecast(new_source, GPU_TYPES)
            if turn >= 0:  # the first pass starts the worker and loads the device model
                times[budget_s].uncached_s.append(uncached_s)
                times[budget_s].cached_s.append(time.perf_counter() - started - uncached_s)
                times[budget_s].outcomes[str(outcome.to_dict()["outcome"])] += 1
    return times


def _row(budget_s: float, timings: Times, args: argparse.Namespace, errors: Errors | None) -> Row:
    ordered = sorted(timings.uncached_s)
    cost_j = args.watts * statistics.median(ordered)
    return Row(
        budget_s=budget_s,
        passes=len(ordered),
        p50_s=statistics.median(ordered),
        p95_s=ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))],
        cached_p50_ms=1e3 * statistics.median(timings.cached_s),
        outcomes=dict(timings.outcomes),
        estimated_j=cost_j,
        break_even_s=break_even_s(cost_j, args.job_watts, args.saving),
        errors=errors,
    )


def overhead(found: dict[str, Any]) -> str:
    """What a model card says of the time and energy that a prediction takes."""
    rows = {row["budget_s"]: row for row in found["rows"]}
    default_row = rows.get(BUDGET_S) or found["rows"][-1]
    times = "; ".join(
        f"budget {budget_s:g} s: {1e3 * row['p50_s']:,.0f} ms (95th percentile {1e3 * row['p95_s']:,.0f})"
        for budget_s, row in rows.items()
    )
    return (
        f"measured on one {found['machine']} ({found['cores']} cores, {found['threads']} for the language model; "
        f"medians of {default_row['passes']} passes over a program of {found['tokens']:,} tokens), by the CPU seconds "
        f"that its dry run may take: {times}. A source that is known takes {default_row['cached_p50_ms']:.2g} ms. At "
        f"{found['watts']:g} W that is {default_row['estimated_j']:.0f} J a prediction (estimated, budget "
        f"{default_row['budget_s']:g} s). Where scheduling on predictions saves {found['saving']:.1%} of a job's "
        f"energy (modelled) it pays for jobs of {found['job_watts']:g} W that run {default_row['break_even_s']:.0f} s "
        "or longer"
    )


def _as_text(record: dict[str, Any]) -> str:
    rows = record["rows"]
    load = record["load_before"], record["load_after"]
    lines = [
        f"{record['program']}, {record['tokens']} tokens, {record['threads']} threads on {record['cores']} cores; "
        f"load average {' then '.join(f'{averages[0]:.1f}' for averages in load)}; {record['machine']}",
        "budget_s    p50_s    p95_s  cached_p50_ms  dry runs",
    ]
    lines += [
        f"{r['budget_s']:8.1f} {r['p50_s']:8.2f} {r['p95_s']:8.2f} {r['cached_p50_ms']:14.2f}  "
        + ", ".join(f"{count} {name}" for name, count in r["outcomes"].items())
        for r in rows
    ]
    lines += [
        f"budget {r['budget_s']:g} s: median error {e['median_ape']:.1%}, R2 of log {e['r2_log']:.2f} modelled "
        f"against measured; {e['by_dry_run']} of {e['programs']} programs by their dry run"
        for r in rows
        if (e := r["errors"])
    ]
    lines += [
        f"budget {r['budget_s']:g} s: {r['estimated_j']:.0f} J a prediction (estimated, {record['watts']:g} W); with "
        f"{record['saving']:.1%} saved (modelled) it pays for jobs of {record['job_watts']:g} W from "
        f"{r['break_even_s']:.0f} s on"
        for r in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
