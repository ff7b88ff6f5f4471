"""`kilowait calibrate`: an operator measures his own board, and predictions for its type follow."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.core import hardware
from kilowait.core.errors import InputError
from kilowait.core.extras import require
from kilowait.core.jobs import Provenance
from kilowait.files.atomic import write_text

if TYPE_CHECKING:
    from kilowait.predict.device_model.own_board import OwnBoard

EXAMPLE = """\
examples:
  kilowait calibrate --out gpus.toml                        # on the machine with the board
  kilowait calibrate --python venv/bin/python --out gpus.toml
  kilowait calibrate --pretend 1.5,1.1 --gpu A100 --out pretended.toml
  kilowait predict --gpu-file gpus.toml train.py

A few dozen small programs run on this machine's GPU, a minute in all, and are executed dry. What they take beyond what
the device model expects becomes two factors of the board's type: of launching operations (the host) and of the
operations. They go into a file of GPU types, which --gpu-file or KILOWAIT_GPUS names; predictions say that they hold
them. Intervals narrow where the host limits. The median errors that are printed are of programs left out: half of them
by the factors of the other half. Calibrate again when kilowait's device model changes. --pretend HOST,DEVICE measures
nothing: it makes up a board with these factors, and the file and every prediction from it say so.

Not covered: energy, transfers between host and board, several GPUs.
"""


def add_arguments(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Declare the options of `kilowait calibrate`."""
    parser.epilog, parser.formatter_class = EXAMPLE, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--gpu", metavar="TYPE", help="the board's type (default: as the driver names it)")
    add("--python", metavar="PYTHON", help="the interpreter that jobs run under, with PyTorch (default: this one)")
    add("--pretend", type=_factors, metavar="HOST,DEVICE", help="measure nothing: make up a board with these factors")
    add("--out", type=Path, metavar="FILE", help="write the file of GPU types there (default: standard output)")
    add("--json", action="store_true", help="print what was found as JSON; needs --out")
    hardware.add_gpu_file_option(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, compare, write; raises InputError for options that do not go together."""
    if args.pretend and not args.gpu:
        raise InputError("--pretend makes up a board: say of which type with --gpu TYPE")
    if args.json and not args.out:
        raise InputError("--json prints what was found: say with --out FILE where the file of GPU types goes")
    if args.out and args.out.exists():
        raise InputError(f"--out {args.out}: there is such a file already; name another one and join the two")
    require("kilowait calibrate", ("torch",), "predict")
    gpu, found, version = _measured(args)
    provenance = Provenance.PRETENDED if args.pretend else Provenance.MEASURED
    text = _table(gpu, found, provenance, version)
    if args.out:
        write_text(args.out, text)
    else:
        sys.stdout.write(text)
    report: dict[str, Any] = {"gpu": gpu, **asdict(found), "provenance": provenance, "device_model": version}
    print(json.dumps(report) if args.json else _sentence(report), file=sys.stdout if args.out else sys.stderr)
    return 0


def _measured(args: argparse.Namespace) -> "tuple[str, OwnBoard, str]":
    """The board's type, its factors, and the version of the device model that they are of."""
    import numpy as np

    from kilowait.measure import board_steps
    from kilowait.predict.device_model.board_dry_runs import board_dry_runs
    from kilowait.predict.device_model.own_board import OwnBoard, pretended_seconds
    from kilowait.predict.device_model.specifications import Specification
    from kilowait.predict.gpu_types import GpuPredictor
    from kilowait.predict.interpreter import OWN, choose

    interpreter = choose(python=args.python) if args.python else OWN
    gpu = hardware.canonical(args.gpu) if args.gpu else ""
    seconds: list[float] = []
    if not args.pretend:
        board, seconds = board_steps.measured_steps(interpreter.command, board_steps.STEPS)
        gpu = gpu or hardware.from_nvml(board)
    runs = board_dry_runs(board_steps.PROGRAM, board_steps.STEPS, interpreter)
    predictor, sheet = GpuPredictor.load_default(), Specification.named(gpu)
    times = pretended_seconds(predictor.model, sheet, runs, args.pretend) if args.pretend else np.array(seconds)
    return gpu, OwnBoard.of(predictor.model, sheet, runs, times), predictor.version


def _table(gpu: str, found: "OwnBoard", provenance: Provenance, version: str) -> str:
    return (
        f"# kilowait calibrate: {found.programs} small programs, {provenance}; device model {version}\n"
        f"[{json.dumps(gpu)}]\n"
        f"host_factor = {found.host_factor:.4g}\n"
        f"device_factor = {found.device_factor:.4g}\n"
        f'factor_provenance = "{provenance}"\n'
    )


def _sentence(report: dict[str, Any]) -> str:
    return (
        f"{report['gpu']} ({report['provenance']}): launches take {report['host_factor']:.2f}, operations "
        f"{report['device_factor']:.2f} times what the device model expects; median error of {report['programs']} "
        f"programs {report['error_before']:.1%} before, {report['error_after']:.1%} with the factors of the other half"
    )


def _factors(text: str) -> tuple[float, float]:
    try:
        host, device = (float(part) for part in text.split(","))
    except ValueError:
        host = device = math.nan
    if not (0 < host < math.inf and 0 < device < math.inf):
        raise argparse.ArgumentTypeError(f"two numbers > 0, such as 1.5,1.1, are needed, got {text!r}")
    return host, device
