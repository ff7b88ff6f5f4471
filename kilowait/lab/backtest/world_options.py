"""Command-line options that describe a world, shared by the backtest and the tuning of kappa."""

import argparse
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.lab.backtest.backtest import World
from kilowait.lab.backtest.scenario.arrivals import ArrivalPattern
from kilowait.lab.backtest.scenario.job_classes import CLASS_TABLES, class_table
from kilowait.lab.backtest.scenario.noise import ErrorPool, read_errors
from kilowait.lab.backtest.scenario.paper_scenario import Role

DEFAULT_CLASSES = "paper-like,calibrated"
DEFAULT_SEED = 2024
KINDS = ("oracle", "noisy")
"""What policies may see."""


def add_world_options(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the scenario, its classes and arrivals, the seed and the kind of predictions, or `several` kinds."""
    pattern = ArrivalPattern()
    options = parser.add_argument_group("the world")
    options.add_argument("--scenario", choices=["paper"], default="paper", help="the paper's A.3.2 world")
    options.add_argument(
        "--classes",
        metavar="NAMES",
        help=f"tables of job classes, among {', '.join(CLASS_TABLES)} "
        f"(default: {DEFAULT_CLASSES}; calibrated for a trace)",
    )
    options.add_argument("--seed", type=int, default=DEFAULT_SEED, help="(default: %(default)s)")
    options.add_argument(
        "--load",
        type=float,
        default=1.0,
        metavar="X",
        help=f"jobs, as a multiple of the paper's {pattern.expected:.0f} a sample; for a trace "
        "GPU-seconds offered over GPU-seconds there are (default: %(default)s)",
    )
    options.add_argument(
        "--burstiness",
        type=float,
        default=pattern.burstiness,
        metavar="X",
        help="in a burst jobs arrive 1 + X times as fast; 0 for none (default: %(default)s)",
    )
    options.add_argument(
        "--predictions",
        type=_several_kinds if several else _one_kind,
        default="oracle",
        metavar="KIND,..." if several else "KIND",
        help="what policies see: oracle, the truth, or noisy, the truth times a predictor's measured errors"
        f"{'; both to run with either' if several else ''} (default: oracle)",
    )
    options.add_argument(
        "--residuals", type=Path, metavar="PARQUET", help="errors for --predictions noisy, from kilowait lab train"
    )
    add_checkpoint_option(options)
    options.add_argument("--residual-model", metavar="NAME", help="which model's errors, when there are several")


def add_checkpoint_option(options: argparse._ActionsContainer) -> None:
    """Add the cost of a restart; `check_common` checks it."""
    options.add_argument(
        "--checkpoint-s",
        type=float,
        metavar="S",
        help="let srpt preempt every job, which then takes S seconds to go on (default: no job can be preempted)",
    )


def worlds(args: argparse.Namespace, role: Role) -> list[World]:
    """One world a table of classes and kind of predictions; raises InputError naming the option that is wrong."""
    check_common(args)
    names = table_names(DEFAULT_CLASSES if args.classes is None else args.classes)
    arrivals, pools = ArrivalPattern(burstiness=args.burstiness), error_pools(args)
    return [
        World(
            classes=name,
            seed=args.seed,
            role=role,
            load=args.load,
            arrivals=arrivals,
            errors=errors,
            checkpoint_s=args.checkpoint_s,
        )
        for name in names
        for errors in pools
    ]


def check_common(args: argparse.Namespace) -> None:
    """Raises InputError for a load or a seed that no world can have."""
    if not (args.load > 0 and args.load < float("inf")):
        raise InputError(f"--load must be finite and > 0, got {args.load!r}")
    if args.checkpoint_s is not None and not 0 <= args.checkpoint_s < float("inf"):
        raise InputError(f"--checkpoint-s must be finite and >= 0, got {args.checkpoint_s!r}")
    if args.seed < 0:
        raise InputError(f"--seed must be >= 0, got {args.seed!r}")


def table_names(text: str) -> list[str]:
    """Names of class tables between commas, each once; raises InputError for none and for an unknown one."""
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise InputError(f"--classes names no table; choose from {', '.join(CLASS_TABLES)}")
    for name in names:
        class_table(name)
    return names


def error_pools(args: argparse.Namespace) -> list[ErrorPool | None]:
    """The errors of each kind of --predictions, None for an oracle; raises InputError where the options contradict."""
    if "noisy" not in args.predictions:
        if args.residuals is not None:
            raise InputError("--residuals is given, but --predictions is oracle; add --predictions noisy")
        return [None]
    if args.residuals is None:
        raise InputError("--predictions noisy needs --residuals PARQUET, which kilowait lab train writes")
    noisy = read_errors(args.residuals, args.residual_model)
    return [noisy if kind == "noisy" else None for kind in args.predictions]


def _one_kind(text: str) -> tuple[str, ...]:
    if text not in KINDS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(KINDS)}")
    return (text,)


def _several_kinds(text: str) -> tuple[str, ...]:
    """Kinds between commas, each once; "both" is all of them."""
    if text == "both":
        return KINDS
    return tuple(dict.fromkeys(kind for part in text.split(",") for kind in _one_kind(part.strip())))
