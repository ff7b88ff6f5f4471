"""`kilowait replay TRACE`: a profiled step rebuilt from its dependencies, told apart, and on other hardware."""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kilowait.core.errors import InputError
from kilowait.core.hardware import add_gpu_file_option
from kilowait.predict.profiled.kineto import KinetoTrace, read_traces
from kilowait.predict.profiled.rebuilt_steps import rebuilt, rebuilt_from_one, recorded_us
from kilowait.predict.profiled.scaled_step import Elsewhere, scaled, specification, type_of
from kilowait.predict.profiled.simulated_step import again_us
from kilowait.predict.profiled.step_graph import graph_of

EXAMPLE = """\
examples:
  kilowait replay trace.json.gz
  kilowait replay trace.json.gz --device H100 --device L40S
  kilowait replay trace.json.gz --batch 2 --clock 0.8 --gpus 16 --json

The trace is what torch.profiler exports with ProfilerActivity.CPU and CUDA and profiler.step() after each step, or an
archive of several. The step is rebuilt from durations and dependencies alone and set beside what was recorded; then
one step is played again and again as it would be elsewhere. Those numbers are modelled. Across GPU types they are
unproven: no public pair of traces of one program on two types was found to score them on.
"""
UNPROVEN = "across GPU types unproven: no public pair of traces of one program"


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str] = ()) -> None:
    """Declare the options of `kilowait replay`."""
    parser.epilog, parser.formatter_class = EXAMPLE, argparse.RawDescriptionHelpFormatter
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a Kineto trace: .json, .json.gz, or .tar.gz of some")
    parser.add_argument("--device", action="append", default=[], metavar="TYPE", help="another GPU type; repeatable")
    parser.add_argument(
        "--from", dest="source", metavar="TYPE", help="the type it was recorded on (default: as it says)"
    )
    parser.add_argument("--clock", type=_positive, default=1.0, metavar="F", help="of the recorded clock, as 0.8")
    parser.add_argument("--batch", type=_positive, default=1.0, metavar="F", help="of the recorded batch, as 2")
    parser.add_argument("--gpus", type=_count, default=0, metavar="N", help="GPUs in place of as many as recorded")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_gpu_file_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print what was found; raises InputError for a file that is no such trace, and an unknown type."""
    found = {name: replayed(trace, args) for name, trace in read_traces(args.trace).items()}
    sys.stdout.write(
        json.dumps(found, indent=1) + "\n" if args.json else "".join(_text(n, f) for n, f in found.items())
    )
    return 0


def replayed(trace: KinetoTrace, args: argparse.Namespace) -> dict[str, Any]:
    """One trace as a record: milliseconds, shares and errors."""
    steps = rebuilt(trace)
    times = recorded_us(trace)
    typical = min(range(len(times)), key=lambda n: abs(times[n] - statistics.median(times)))
    graph = graph_of(trace, typical)
    one_step_us = again_us(graph)
    source = args.source or type_of(trace.device)
    if args.device and source is None:
        raise InputError(f"{trace.device!r} is no known GPU type; say which it is with --from TYPE")
    change = Elsewhere(clock=args.clock, batch=args.batch, world=trace.world, gpus=args.gpus)
    elsewhere = {"as asked": again_us(scaled(graph, change)) / 1e3} if change != Elsewhere(world=trace.world) else {}
    for name in args.device:
        on = replace(change, source=specification(source or name), target=specification(name))
        elsewhere[name] = again_us(scaled(graph, on)) / 1e3
    return {
        "device": trace.device,
        "gpu_type": source,
        "gpus": trace.world,
        "steps": len(times),
        "recorded_ms": [us / 1e3 for us in steps.recorded_us],
        "rebuilt_ms": [us / 1e3 for us in steps.rebuilt_us],
        "median_error": statistics.median(map(abs, steps.errors)),
        "total_error": sum(steps.rebuilt_us) / sum(steps.recorded_us) - 1,
        "errors_by_one_steps_waits": rebuilt_from_one(trace, typical) if len(times) > 1 else [],
        "one_step_ms": one_step_us / 1e3,
        "one_step_errors": [one_step_us / us - 1 for n, us in enumerate(times) if n != typical],
        "shares": dict(steps.shares),
        "elsewhere_ms": elsewhere,
        "note": UNPROVEN if args.device else "",
    }


def _text(name: str, found: dict[str, Any]) -> str:
    lines = [
        f"{name}: {found['steps']} steps on {found['gpus']} x {found['device']} ({found['gpu_type'] or 'unknown'})"
    ]
    recorded, rebuilt_ms = statistics.median(found["recorded_ms"]), statistics.median(found["rebuilt_ms"])
    lines.append(
        f"  a step: {recorded:.2f} ms recorded, {rebuilt_ms:.2f} ms rebuilt (medians; median error of a step "
        f"{found['median_error']:.1%}, of all together {found['total_error']:+.1%})"
    )
    if found["errors_by_one_steps_waits"]:
        error = statistics.median(map(abs, found["errors_by_one_steps_waits"]))
        lines.append(f"  by the dependencies of one step: median error of the others {error:.1%}")
    if found["one_step_errors"]:
        error = statistics.median(map(abs, found["one_step_errors"]))
        lines.append(f"  by one step again and again: {found['one_step_ms']:.2f} ms, off the others by {error:.1%}")
    lines.append("  of its time: " + ", ".join(f"{kind} {share:.0%}" for kind, share in found["shares"].items()))
    lines += [f"  {on}: {ms:.2f} ms (modelled)" for on, ms in found["elsewhere_ms"].items()]
    lines += [f"  {found['note']}"] if found["note"] else []
    return "\n".join(lines) + "\n"


def _count(text: str) -> int:
    if not 0 < (number := int(text)) < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of GPUs, got {text}")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"must be > 0, got {text}")
    return number
