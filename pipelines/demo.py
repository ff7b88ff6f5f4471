"""The main job end to end on this machine, with no GPU and no network: `kilowait lab demo --help`.

Every step is a command a user can run alone, printed before it runs: corpus, label, embed, train, kappa, backtest.
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.started import command_name
from kilowait.lab.backtest.backtest_page import ReportInputs, write_report

COMMITTED_LABELS = Path(__file__).parents[1] / "data" / "cpu" / "labels.parquet"
"""In the checkout, or in the installed package: both have the folder beside that of this module."""

TUNING = f"{str(__package__).removesuffix('pipelines')}tuning"
"""The sibling of this package, under the name that this package itself was loaded by."""

EXAMPLE = """example:
  kilowait lab demo --out out/demo

Labels a few scripts live, to show the measurement, and trains on the committed labels of all 520 (measured once on
the machine that data/cpu/README.md describes). The backtest is a simulation: its figures are modelled.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoStep:
    """One command of the demo and what it is for."""

    title: str
    arguments: tuple[str, ...]


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.demo", "kilowait lab demo"),
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for everything (default out/demo)")
    p.add_argument("--labels", type=Path, default=COMMITTED_LABELS, help="label table to train on")
    p.add_argument("--label-sample", type=int, default=24, metavar="N", help="scripts to measure live (default 24)")
    p.add_argument("--embed", type=int, default=160, metavar="N", help="scripts to embed live (default 160)")
    p.add_argument("--samples", type=int, default=100, metavar="N", help="test samples of the backtest (default 100)")
    p.add_argument("--seed", type=int, default=0, help="seed of every random choice (default 0)")
    return p


def steps(args: argparse.Namespace) -> list[DemoStep]:
    """The commands, in order."""
    out: Path = args.out
    corpus, embeddings, model = out / "corpus", out / "embeddings", out / "model"
    seed = str(args.seed)
    plan = [
        ("write 520 runnable training scripts", "corpus", f"--out {corpus} --count 520 --seed 0"),
        (
            f"measure {args.label_sample} of them live on this machine",
            "label",
            f"--corpus {corpus} --out {out / 'labels'} --devices auto --sample {args.label_sample} --seed {seed}",
        ),
        (
            f"embed {args.embed} of them with the code language model",
            "embed",
            f"--corpus {corpus} --out {embeddings} --limit {args.embed}",
        ),
        (
            "train the probes on the committed labels of those scripts",
            "train",
            f"--labels {args.labels} --embeddings {embeddings} --corpus {corpus} --out {model}"
            f" --bundle-out {out / 'bundle'} --quick --embedded-only",
        ),
        ("tune kappa on 50 validation samples", "kappa", f"--out {out / 'kappa'}"),
        (
            f"backtest the policies on {args.samples} test samples",
            "backtest",
            f"--scenario paper --samples {args.samples} --seed {seed} --kappa {out / 'kappa' / 'kappa.json'}"
            f" --predictions noisy --residuals {model / 'residuals.parquet'} --residual-model default"
            f" --out {out / 'backtest'}",
        ),
    ]
    return [
        DemoStep(
            title=title,
            arguments=("-m", f"{TUNING if name == 'kappa' else __package__}.{name}", *shlex.split(options)),
        )
        for title, name, options in plan
    ]


def run(step: DemoStep, number: int, count: int) -> float:
    """Run one step with its output shown; returns its seconds, raises KilowaitError when it fails."""
    print(f"\n=== {number}/{count} {step.title}\n$ python {shlex.join(step.arguments)}", flush=True)
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, *step.arguments], check=False)
    if done.returncode != 0:
        raise KilowaitError(f"step {number} ended with exit code {done.returncode}; its own message stands above")
    return time.perf_counter() - begin


def inputs(args: argparse.Namespace, seconds: Mapping[str, float]) -> ReportInputs:
    """What the report shows: every step's result, and how long each took here."""
    out: Path = args.out
    return ReportInputs(
        title="kilowait demo",
        backtest=out / "backtest",
        residuals=out / "model" / "residuals.parquet",
        residual_model="default",
        accuracy=out / "model" / "accuracy.json",
        labels=out / "labels" / "summary.json",
        facts={title: f"{s:.0f} s (measured)" for title, s in seconds.items()},
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run every step, then write the report."""
    args = parser().parse_args(argv)
    args.out = args.out.absolute()
    try:
        if not args.labels.is_file():
            raise InputError(f"--labels {args.labels}: no such table; kilowait lab label makes one")
        plan = steps(args)
        seconds = {step.title: run(step, number, len(plan)) for number, step in enumerate(plan, 1)}
        page = write_report(args.out, inputs(args, seconds))
    except InputError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except KilowaitError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"\ndone in {sum(seconds.values()):.0f} s; open {page} (its numbers are in {page.with_suffix('.json')})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
