"""Hold a table of job classes against public measurements: `kilowait lab calibrate --measurements DIR`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from kilowait.core.errors import InputError
from kilowait.core.jobs import Provenance
from kilowait.core.started import command_name
from kilowait.lab.backtest.scenario.class_checks import Check, checks
from kilowait.lab.backtest.scenario.job_classes import CLASS_TABLES, class_table
from kilowait.report.table import TableView, terminal

EXAMPLE = """example:
  kilowait lab calibrate --measurements measurements/ --classes calibrated

See kilowait/lab/backtest/scenario/class_checks.py for the files that are read and where they are published.
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.calibrate", "kilowait lab calibrate"),
        description="Print every number of a class table beside the median and quartiles of public measurements.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--measurements", type=Path, required=True, metavar="DIR", help="folder of public CSV files")
    p.add_argument("--classes", choices=list(CLASS_TABLES), default="calibrated", help="(default: %(default)s)")
    return p


def view(name: str, found: Sequence[Check]) -> TableView:
    """The checks as a table."""
    return TableView(
        title=f"Classes {name} against measurements",
        headings=("class", "quantity", "table", "measured median", "quartiles", "n", "verdict", "source"),
        rows=tuple(
            (
                c.job_class,
                c.quantity,
                f"{c.table:g}",
                f"{c.median:.3g}",
                f"{c.low:.3g} to {c.high:.3g}",
                str(c.count),
                "inside" if c.inside else "OUTSIDE",
                c.source,
            )
            for c in found
        ),
        provenance=Provenance.MEASURED,
        notes=("Shares, GPUs, hours, and fp32 watts on an A100 rest on no measurement.",),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    try:
        results = checks(args.measurements, class_table(args.classes))
    except InputError as error:
        print(f"pipelines.calibrate: {error}", file=sys.stderr)
        return 2
    Console(width=None if sys.stdout.isatty() else 150).print(terminal(view(args.classes, results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
