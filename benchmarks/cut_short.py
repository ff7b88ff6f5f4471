"""How far dry runs that were cut short are from whole ones: the factors of an interval when a dry run is partial.

    python -m benchmarks.cut_short --corpus out/corpus --every 11 --budgets-s 0.5,1

Each program runs dry with --whole-s seconds and with each of the budgets; where the short one is partial and the other
whole, a ratio of the device model's run times on an A100 comes out: both are modelled. Those that were cut after an
optimizer step stand apart. What a budget cuts depends on the machine and its load.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from kilowait.core.errors import InputError
from kilowait.predict.dry_runs import DryRunOutcome, DryRuns
from kilowait.predict.gpu_types import GpuPredictor
from kilowait.program.source import Source, read_source

GPU_TYPE = "A100"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cut_short",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--corpus", required=True, type=Path, metavar="DIR", help="folder of programs")
    add("--every", type=int, default=11, metavar="N", help="one program in N (default: 11)")
    add("--whole-s", type=float, default=12.0, help="budget of the whole dry runs (default: 12)")
    add("--budgets-s", default="0.5,1", help="budgets that cut short (default: %(default)s)")
    args = parser.parse_args(argv)
    sources = [read_source(path) for path in sorted(args.corpus.glob("*.py"))[:: args.every]]
    if not sources:
        raise InputError(f"--corpus {args.corpus}: no *.py in it")
    model = GpuPredictor.load_default()
    whole = _runs(sources, args.whole_s)
    for text in args.budgets_s.split(","):
        short = _runs(sources, float(text))
        print(f"budget {text} s: {_counts(short)}; whole over partial, sorted:")
        for stepped, name in ((True, "after an optimizer step"), (False, "before one")):
            print(f"  {name}: {_ratios(model, whole, short, stepped)}")
    return 0


def _runs(sources: Sequence[Source], budget_s: float) -> list[DryRunOutcome]:
    with DryRuns(budget_s) as dry_runs:
        bar = tqdm(sources, desc=f"{budget_s:g} s", unit="program", file=sys.stderr)
        return [dry_runs.submit(source).result() for source in bar]


def _counts(outcomes: Sequence[DryRunOutcome]) -> str:
    counts = Counter(str(outcome.to_dict()["outcome"]) for outcome in outcomes)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _ratios(
    model: GpuPredictor, whole: Sequence[DryRunOutcome], short: Sequence[DryRunOutcome], stepped: bool
) -> list[float]:
    """Sorted ratios of modelled seconds, of the programs whose short run has seen an optimizer step or has not."""
    pairs = [(a.run, b.run) for a, b in zip(whole, short, strict=True) if a.whole and a.run and b.run and not b.whole]
    matching_pairs = [(a, b) for a, b in pairs if b.usable and bool(b.steps) == stepped]
    seconds = [[model.predict(run, [GPU_TYPE])[GPU_TYPE].runtime_s for run in pair] for pair in matching_pairs]
    return sorted(round(a / b, 2) for a, b in seconds)


if __name__ == "__main__":
    sys.exit(main())
