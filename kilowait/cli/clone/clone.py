"""`kilowait clone FILE [-- ARGUMENTS]`: a program that does what another does and says nothing of its source."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kilowait.cli.job_environment import accesses, add_environment_options, interpreter_of, surrounded
from kilowait.core.errors import InputError
from kilowait.core.extras import require
from kilowait.files.atomic import write_text
from kilowait.predict.dry_run_access import NOTHING
from kilowait.predict.dry_runs import BUDGET_S, DryRunOutcome, DryRuns
from kilowait.predict.dryrun.record import DryRun
from kilowait.program.read import JobReading, read_file, read_program
from kilowait.program.source import source_from_bytes

EXAMPLE = """\
examples:
  kilowait clone train.py --out clone.py
  kilowait clone train.py --out clone.py --device cpu -- --epochs 3
  kilowait clone --entrypoint train.py my_project/ --out clone.py --json

The program is executed dry, and what it would run is written down: each operation of PyTorch with the shapes and types
of its tensors, in loops as long as its own. No name, no line and no number of the source is in the text, but for the
sizes of its tensors and the lengths of its loops; data are made up. It is for whoever is to time a program that they
may not see. The clone is then executed dry too, and distributions of operations, FLOPs and bytes of both are compared
(Kolmogorov-Smirnov, 5%). Reading data, Python's own work and autograd's bookkeeping are not in a clone. What cannot be
cloned is refused: programs whose length nothing tells, that exchange data, or with operators of their own.
"""


def add_arguments(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Declare the options of `kilowait clone`."""
    parser.epilog, parser.formatter_class = EXAMPLE, argparse.RawDescriptionHelpFormatter
    parser.add_argument("files", nargs=1, metavar="FILE", help="the program's source")
    parser.add_argument("--entrypoint", metavar="PATH", help="FILE is a folder or a zip, and PATH in it is started")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the clone there (default: standard output)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="what it runs on (default: cuda)")
    parser.add_argument(
        "--dry-run-budget-s", type=float, default=BUDGET_S, metavar="S", help="CPU seconds (default: %(default)g)"
    )
    parser.add_argument("--json", action="store_true", help="print how alike the two are as JSON; needs --out")
    add_environment_options(parser)
    parser.set_defaults(arguments=[])


def run(args: argparse.Namespace) -> int:
    """Write the clone and say how alike it is; 1 where it is not. Raises InputError for what cannot be cloned."""
    if args.json and not args.out:
        raise InputError("--json prints how alike the clone is: say with --out FILE where the clone goes")
    text, report = cloned(args)
    if args.out:
        write_text(args.out, text)
    else:
        sys.stdout.write(text)
    said = json.dumps(report, indent=1) if args.json else _sentence(report)
    print(said, file=sys.stdout if args.out else sys.stderr)
    return 0 if report["alike"] else 1


def cloned(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The clone's text, and how alike the dry runs of both are."""
    if not 0 < args.dry_run_budget_s < math.inf:
        raise InputError(f"--dry-run-budget-s must be > 0 and finite, got {args.dry_run_budget_s}")
    require("kilowait clone", ("torch",), "predict")
    reading = surrounded(_read(args), args)
    access = accesses([reading], args).get(reading.source.content_hash, NOTHING)
    with DryRuns(args.dry_run_budget_s, args.device, interpreter_of(args)) as dry_runs:
        from kilowait.predict.clone.likeness import likeness
        from kilowait.predict.clone.program_text import clone_text

        original = _made(dry_runs.submit(reading.source, access).result())
        text = clone_text(original)
        copy = _made(dry_runs.submit(source_from_bytes("clone.py", text.encode())).result())
    found = likeness(original, copy)
    operations = [sum(op.count for op in one.operations) for one in (original, copy)]
    return text, {**asdict(found), "alike": found.alike, "calls": operations[0], "cloned_calls": operations[1]}


def _read(args: argparse.Namespace) -> JobReading:
    if args.entrypoint is None:
        return read_file(args.files[0], args.arguments)
    return read_program(args.files[0], args.entrypoint, args.arguments)


def _made(outcome: DryRunOutcome) -> DryRun:
    run = outcome.run
    if run is None:
        raise InputError(f"nothing can be cloned without a dry run: {outcome.off}")
    if not run.usable:
        raise InputError(f"nothing can be cloned, since its dry run failed: {run.reason}")
    return run


def _sentence(report: dict[str, Any]) -> str:
    verdict = "alike" if report["alike"] else "NOT alike"
    distances = ", ".join(f"{name} {report[name]:.4f}" for name in ("operators", "flops", "bytes"))
    return (
        f"{verdict}: {report['cloned_calls']:,.0f} calls for {report['calls']:,.0f}; greatest differences of the "
        f"distributions (limit {report['limit']:.4f}): {distances}; FLOPs x{report['flops_ratio']:.3f}, bytes "
        f"x{report['bytes_ratio']:.3f} (both modelled)"
    )
