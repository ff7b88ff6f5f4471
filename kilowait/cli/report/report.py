"""`kilowait report`: what a month, a group or a model used, as text, page, CSV or JSON."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kilowait.cli.by_the_hour.signal_words import signal_words
from kilowait.cli.costs import add_price_option, prices_of
from kilowait.cli.gpu_prices import CURRENCY
from kilowait.cli.job_options import pair
from kilowait.cli.report.history_rows import add_source_options, rows_of
from kilowait.client.service_text import table
from kilowait.core.control_characters import escaped_all
from kilowait.core.errors import InputError
from kilowait.core.hardware import add_gpu_file_option
from kilowait.files.atomic import write_text
from kilowait.report.consumption.attempt_use import attempt_uses
from kilowait.report.consumption.grid_carbon import GridCarbon, constant, read_grid_carbon
from kilowait.report.consumption.training_statement import training_statement
from kilowait.report.consumption.usage_page import usage_page
from kilowait.report.consumption.usage_report import GROUP, PROJECT, UsageSelection, usage_report
from kilowait.report.consumption.usage_tables import number, statement_table, tables, usage_csv
from kilowait.report.consumption.use_rates import Rates
from kilowait.report.table import TableView

EXAMPLE = """\
examples:
  kilowait report --month 2026-11 --database sqlite:///out/serve/kilowait.db
  kilowait report --month 2026-11 --group vision --carbon grid.csv,zone=DE --carbon-source "Electricity Maps" \\
      --gpu-prices prices.csv --format html --out november.html
  kilowait report --statement resnet-large --label model=resnet-large --g-per-kwh 380 --carbon-source "UBA, DE, 2024"

A group and a project are the labels `group` and `project` of jobs (kilowait submit --label group=vision). Of an attempt
that crosses the ends of a month its part in it is counted, its energy as if it had been drawn evenly. CO2 and water
take figures of your own, and say whose they are; nothing is assumed where none are given.
"""


def add_arguments(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--month", metavar="YYYY-MM", help="what was used in this month (default: ever)")
    add("--zone", default="UTC", metavar="NAME", help="time zone of the month, as Europe/Berlin (default: %(default)s)")
    add("--owner", help="of this owner")
    add(f"--{GROUP}", help="of jobs with this label `group`")
    add(f"--{PROJECT}", help="of jobs with this label `project`")
    add("--label", type=pair, action="append", default=[], metavar="NAME=TEXT", help="with this label; may be repeated")
    add("--job", action="append", metavar="JOB", help="of this job; may be repeated")
    text = "with a statement of the training's energy in the terms of Annex XI of the EU's AI Act, for this model"
    add("--statement", metavar="MODEL", help=text)
    add_source_options(parser)
    text = "grams of CO2 a kWh of the grid over time: CSV, Parquet, or an answer of Electricity Maps or WattTime"
    add("--carbon", metavar="FILE[,zone=NAME][,column=NAME]", help=text)
    add("--g-per-kwh", type=float, metavar="G", help="grams of CO2 a kWh, the same at any time")
    add("--carbon-source", metavar="TEXT", help="whose figures these are (default with --carbon: the file's name)")
    add("--pue", type=float, default=1.0, help="what the site draws for a kWh of its computers (default: %(default)g)")
    add("--water-l-per-kwh", type=float, metavar="L", help="litres of water a kWh of the computers")
    add("--water-source", metavar="TEXT", help="whose figure that is")
    add("--price-per-kwh", type=float, metavar="AMOUNT", help="what a kWh costs, in the currency of the GPU prices")
    add_price_option(parser)
    add_gpu_file_option(parser)
    add("--format", choices=("text", "html", "csv", "json"), default="text", help="default: text; csv has a row a job")
    add("--out", type=Path, metavar="FILE", help="write here (default: standard output)")


def run(args: argparse.Namespace) -> int:
    """Read, sum up and write; raises InputError, ServiceError and StoreError."""
    rates, selection = _rates(args), _selection(args)
    uses = selection.of(attempt_uses(rows_of(args)))
    report = usage_report(uses, rates, _heading(args))
    if args.statement:
        if not uses:
            raise InputError(f"--statement {args.statement}: no attempt that ended is meant; see --label and --job")
        report["statement"] = training_statement(args.statement, uses, rates)
    text = _WRITERS[args.format](report)
    if args.out is None:
        sys.stdout.write(text)
    else:
        write_text(args.out, text)
        sys.stdout.write(
            f"{args.out}: {report['total']['jobs']} jobs, {number(report['total']['gpu_hours'])} GPU-hours\n"
        )
    return 0


def _selection(args: argparse.Namespace) -> UsageSelection:
    labels = dict(args.label) | {name: getattr(args, name) for name in (GROUP, PROJECT) if getattr(args, name)}
    from_s, until_s = _month(args.month, args.zone) if args.month else (-inf, inf)
    job_ids = frozenset(args.job) if args.job else None
    return UsageSelection(owner=args.owner, labels=labels, job_ids=job_ids, from_s=from_s, until_s=until_s)


def _month(text: str, zone_name: str) -> tuple[float, float]:
    """Its first moment and that of the next month, seconds since the epoch."""
    try:
        zone = ZoneInfo(zone_name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(f"--zone {zone_name}: no time zone; name one as Europe/Berlin or UTC") from error
    try:
        first = datetime.strptime(text, "%Y-%m").replace(tzinfo=zone)
        following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return first.timestamp(), following.timestamp()
    except (ValueError, OverflowError) as error:
        raise InputError(f"--month {text}: no month; write it as 2026-11") from error


def _rates(args: argparse.Namespace) -> Rates:
    prices = prices_of(args)
    for name in ("pue", "water_l_per_kwh", "price_per_kwh"):
        value, least = getattr(args, name), 1.0 if name == "pue" else 0.0
        if value is not None and not least <= value < inf:
            raise InputError(f"--{name.replace('_', '-')} must be finite and >= {least:g}, got {value}")
    if args.water_l_per_kwh is not None and not args.water_source:
        raise InputError("--water-l-per-kwh: say whose figure it is, with --water-source")
    return Rates(
        carbon=_carbon(args),
        pue=args.pue,
        water_l_per_kwh=args.water_l_per_kwh,
        water_source=args.water_source or "",
        price_per_kwh=args.price_per_kwh,
        gpu_hour=lambda gpu_type: None if (price := prices.of(gpu_type)) is None else price.per_hour,
        currency=next((price.currency for price in prices.by_type.values()), CURRENCY),
    )


def _carbon(args: argparse.Namespace) -> GridCarbon | None:
    if args.carbon is not None and args.g_per_kwh is not None:
        raise InputError("--carbon and --g-per-kwh: give one of them")
    if args.carbon is not None:
        _, path, words = signal_words(f"carbon={args.carbon}", "--carbon")
        return read_grid_carbon(path, args.carbon_source or path.name, **words)
    if args.g_per_kwh is None:
        return None
    if not args.carbon_source:
        raise InputError("--g-per-kwh: say whose figure it is, with --carbon-source")
    return constant(args.g_per_kwh, args.carbon_source)


def _heading(args: argparse.Namespace) -> str:
    whose = [f"{name} {getattr(args, name)}" for name in ("owner", GROUP, PROJECT) if getattr(args, name)]
    whose += [f"{name}={text}" for name, text in args.label] + list(args.job or ())
    when = f"in {args.month} ({args.zone})" if args.month else "so far"
    return f"What {', '.join(whose) or 'everybody'} used {when}"


def _text(report: dict[str, Any]) -> str:
    shown = escaped_all(report)
    views = [*([statement_table(shown["statement"])] if "statement" in shown else []), *tables(shown)]
    lines = [shown["heading"], "", *map(_as_lines, views)]
    return "\n".join([*lines, *(f"note: {line}" for line in shown["basis"])]) + "\n"


def _as_lines(view: TableView) -> str:
    rows = [list(row) for row in view.rows]
    notes = "".join(f"  {note}\n" for note in view.notes)
    return f"{view.title}\n{table(list(view.headings), rows)}{notes}"


_WRITERS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "text": _text,
    "html": usage_page,
    "csv": usage_csv,
    "json": lambda report: json.dumps(report, indent=1) + "\n",
}
