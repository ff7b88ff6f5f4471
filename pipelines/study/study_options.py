"""What the study's command takes, and how much it runs."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kilowait.core.errors import InputError
from kilowait.core.started import command_name
from kilowait.lab.backtest.scenario.arrivals import ArrivalPattern
from kilowait.lab.backtest.traces import FORMATS
from kilowait.lab.backtest.world_options import DEFAULT_CLASSES, DEFAULT_SEED, add_checkpoint_option
from kilowait.policies import POLICIES
from kilowait.policies.value import DEFAULT_KAPPA

EXAMPLE = """examples:
  kilowait lab study --quick --out out/study-quick
  kilowait lab study --residuals out/model/residuals.parquet --out out/study
  kilowait lab study --residuals out/model/residuals.parquet --kappa out/kappa/kappa.json --out out/study \\
      --trace philly:philly.csv --vc 11cb48 --gpus A100=8,A6000=16 \\
      --trace openb:openb_pods.csv --gpus A100=4,A6000=8 --window-jobs 200
  kilowait lab study --policies simple,patient,patient:wait_s_per_kwh=4000 --parts information --out out/mine

The run can be killed at any time: the same command takes up where it was. A cell is kept under a digest of its
settings and of kilowait's scheduling code, so after a change of that code it is computed anew.
"""
PARTS = ("information", "error", "bias", "types", "rates")
DEFAULT_POLICIES = "simple,greedy,value,sjf,easy,patient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much the study runs."""

    samples: int
    windows: int
    type_samples: int
    levels: tuple[float, ...]
    factors: tuple[float, ...]
    types: tuple[int, ...]
    rates: tuple[float, ...]
    budget_s: float


WHOLE = Size(
    samples=40,
    windows=8,
    type_samples=4,
    levels=(0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0),
    factors=(0.5, 0.71, 1.0, 1.41, 2.0),
    types=(2, 3, 5, 10, 20, 40),
    rates=(1.0, 10.0, 100.0, 1000.0),
    budget_s=60.0,
)
QUICK = Size(
    samples=10,
    windows=3,
    type_samples=2,
    levels=(0.0, 0.3, 1.0),
    factors=(0.5, 1.0, 2.0),
    types=(2, 5, 15),
    rates=(1.0, 10.0, 100.0),
    budget_s=5.0,
)


class _OfTheLastTrace(argparse.Action):
    """An option about the trace named before it."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        if not namespace.trace:
            parser.error(f"{self.option_strings[0]} is about a trace: give --trace FORMAT:PATH before it")
        if self.dest in namespace.trace[-1]:
            parser.error(f"{self.option_strings[0]} stands twice for the trace {namespace.trace[-1]['path']}")
        namespace.trace[-1][self.dest] = values


class _Trace(argparse.Action):
    """A further trace."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        name, colon, path = values.partition(":")
        if not (colon and path and name in FORMATS):
            parser.error(f"--trace {values}: give FORMAT:PATH with a format among {', '.join(FORMATS)}")
        namespace.trace = [*namespace.trace, {"format": name, "path": path}]


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(
        prog=command_name(str(__package__), "kilowait lab study"),
        description="The factorial study: predictor x policy, robustness to errors, 2 to 40 GPU types, 1 to 1,000 jobs "
        "a second, fairness. One command, one report: DIR/study.html and DIR/study.json.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results and finished cells go")
    p.add_argument("--quick", action="store_true", help="few samples and levels: a few minutes on two cores")
    p.add_argument(
        "--samples", type=int, metavar="N", help=f"scenario samples (default: {WHOLE.samples}; quick: {QUICK.samples})"
    )
    p.add_argument("--parts", default=",".join(PARTS), metavar="NAMES", help="of %(default)s (default: all)")
    p.add_argument(
        "--policies",
        default=DEFAULT_POLICIES,
        metavar="LIST",
        help=f"NAME or NAME:PARAMETER=NUMBER:... between commas, of {', '.join(POLICIES)}, or MODULE:RULE of your own "
        "(default: %(default)s)",
    )
    p.add_argument(
        "--kappa",
        default=str(DEFAULT_KAPPA),
        metavar="K|FILE",
        help="for policies that take one, per kWh: a number, or kappa.json of kilowait lab tune-kappa "
        "(default: %(default)s)",
    )
    p.add_argument(
        "--residuals",
        type=Path,
        metavar="PARQUET",
        help="a model's out-of-fold errors, from kilowait lab train; without them the model's column is left out",
    )
    p.add_argument("--residual-model", metavar="NAME", help="which model's errors, when there are several")
    p.add_argument(
        "--scheduler-w",
        type=float,
        default=10.0,
        metavar="W",
        help="watts of one busy scheduler core, for the overhead (default: %(default)s)",
    )
    p.add_argument("--ray", default="local", metavar="ADDRESS", help='a Ray cluster ("auto"); default: this machine')
    add_checkpoint_option(p)
    _add_scenario(p)
    _add_traces(p)
    return p


def _add_scenario(p: argparse.ArgumentParser) -> None:
    options = p.add_argument_group("the paper's scenario")
    options.add_argument("--classes", default=DEFAULT_CLASSES, metavar="NAMES", help="(default: %(default)s)")
    options.add_argument("--seed", type=int, default=DEFAULT_SEED, help="(default: %(default)s)")
    options.add_argument(
        "--load", type=float, default=1.0, metavar="X", help="jobs, as a multiple of the paper's (default: 1)"
    )
    options.add_argument(
        "--burstiness", type=float, default=ArrivalPattern().burstiness, metavar="X", help="(default: %(default)s)"
    )


def _add_traces(p: argparse.ArgumentParser) -> None:
    options = p.add_argument_group("real traces", "each --trace is followed by the options about it")
    options.add_argument(
        "--trace",
        action=_Trace,
        default=[],
        metavar="FORMAT:PATH",
        help=f"repeatable; formats: {', '.join(FORMATS)}",
    )
    for name, kind, metavar, text in (
        ("--vc", str, "NAME", "only this virtual cluster's jobs"),
        ("--gpus", str, "TYPE=N,...", "the cluster, most powerful type first (default: A100=8,A6000=16)"),
        ("--trace-load", float, "X", "offered load that arrivals are scaled to (default: 0.9)"),
        ("--window-jobs", int, "N", "consecutive jobs a sample (default: 500, fewer for a short trace)"),
        ("--limit", int, "N", "only the first N jobs"),
        ("--side-table", Path, "PATH", "the format's second file"),
    ):
        options.add_argument(
            name, type=kind, metavar=metavar, action=_OfTheLastTrace, default=argparse.SUPPRESS, help=text
        )


def size(args: argparse.Namespace) -> Size:
    """How much to run; raises InputError for fewer than one sample."""
    chosen = QUICK if args.quick else WHOLE
    if args.samples is None:
        return chosen
    if args.samples < 1:
        raise InputError(f"--samples must be >= 1, got {args.samples!r}")
    return replace(chosen, samples=args.samples)


def parts(text: str) -> tuple[str, ...]:
    """The parts to run; raises InputError for an unknown one."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in PARTS:
            raise InputError(f"--parts: unknown part {name!r}; choose from {', '.join(PARTS)}")
    if not names:
        raise InputError(f"--parts names none; choose from {', '.join(PARTS)}")
    return names
