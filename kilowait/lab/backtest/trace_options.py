"""Command-line options that make a world of a trace instead of the paper's scenario."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.lab.backtest.scenario.arrivals import ArrivalPattern
from kilowait.lab.backtest.traces import FORMATS, read_trace
from kilowait.lab.backtest.traces.trace_plan import type_name
from kilowait.lab.backtest.traces.trace_world import TraceWorld, trace_world
from kilowait.lab.backtest.world_options import check_common, error_pools, table_names
from kilowait.simulate.inventory import parse_nodes, several_nodes

DEFAULT_TRACE_CLASSES = "calibrated"
_ONLY_WITH_TRACE = ("format", "gpus", "vc", "limit", "window_jobs", "side_table", "user_estimates")


def add_trace_options(parser: argparse.ArgumentParser) -> None:
    """Add the trace, its format, the cluster it runs on and how it is cut into samples."""
    formats = "; ".join(f"{name}: {one.describes}" for name, one in FORMATS.items())
    options = parser.add_argument_group("a trace instead of the scenario")
    options.add_argument("--trace", type=Path, metavar="PATH", help="a trace of real jobs; samples are its windows")
    options.add_argument("--format", choices=list(FORMATS), help=formats)
    gpus_help = "the cluster's GPUs by type, most powerful first; MxN are M nodes of N GPUs, N alone is one node"
    options.add_argument("--gpus", metavar="TYPE=N,...", help=gpus_help)
    options.add_argument("--vc", metavar="NAME", help="only this virtual cluster's jobs")
    options.add_argument("--limit", type=int, metavar="N", help="only the first N jobs by submission")
    options.add_argument(
        "--window-jobs",
        type=int,
        metavar="N",
        help="jobs a window (default: as many as give at most --samples windows, at least 50)",
    )
    options.add_argument(
        "--user-estimates",
        action="store_true",
        default=None,
        help="policies see the run times that users asked for, where the trace has them (swf: requested time)",
    )
    options.add_argument(
        "--side-table",
        type=Path,
        metavar="PATH",
        help="the format's second file: nodes, tasks or throughputs (default: beside the trace, by its usual name)",
    )


def trace_worlds(args: argparse.Namespace) -> list[TraceWorld]:
    """One world a table of classes and kind of predictions, the trace read once.

    Raises InputError naming the option that is wrong.
    """
    check_common(args)
    for name in ("format", "gpus"):
        if getattr(args, name) is None:
            raise InputError(f"--trace {args.trace} needs --{name}")
    if args.burstiness != ArrivalPattern().burstiness:
        raise InputError("--burstiness is about the scenario's arrivals; a trace brings its own")
    gpus, nodes, pools = inventory_option(args.gpus), nodes_option(args.gpus), error_pools(args)
    trace = read_trace(args.trace, args.format, side_table=args.side_table, vc=args.vc, limit=args.limit)
    return [
        trace_world(
            trace,
            gpus,
            load=args.load,
            samples=args.samples,
            seed=args.seed,
            classes=classes,
            window_jobs=args.window_jobs,
            errors=errors,
            checkpoint_s=args.checkpoint_s,
            nodes=several_nodes(nodes),
            estimates=bool(args.user_estimates),
        )
        for classes in table_names(DEFAULT_TRACE_CLASSES if args.classes is None else args.classes)
        for errors in pools
    ]


def check_no_trace_options(args: argparse.Namespace) -> None:
    """Raises InputError for an option that only a trace gives a meaning."""
    for name in _ONLY_WITH_TRACE:
        if getattr(args, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} is given, but no --trace")


def inventory_option(text: str) -> Mapping[str, int]:
    """GPUs by the catalogue's names; raises what `nodes_option` raises."""
    return {gpu_type: sum(counts) for gpu_type, counts in nodes_option(text).items()}


def nodes_option(text: str) -> dict[str, tuple[int, ...]]:
    """GPUs of each node by the catalogue's names; raises InputError for a type that stands twice under two names."""
    nodes: dict[str, tuple[int, ...]] = {}
    try:
        for name, counts in parse_nodes(text).items():
            if type_name(name) in nodes:
                raise InputError(f"{name!r} is another name of {type_name(name)}; give each type once")
            nodes[type_name(name)] = counts
    except InputError as error:
        raise InputError(f"--gpus {text}: {error}") from None
    return nodes
