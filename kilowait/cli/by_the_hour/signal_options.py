"""`--signal NAME=FILE`, carbon, water and electricity's price over time, and `--prices FILE`, what each is worth."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.cli.by_the_hour.signal_words import signal_words
from kilowait.core.errors import InputError
from kilowait.core.over_time.price_list import PriceList, read_price_list
from kilowait.core.over_time.signals import Signal
from kilowait.policies import POLICIES, Rule
from kilowait.policies.wrappers.wrapper import flexible_name
from kilowait.simulate.foreseen_signals import PERFECT, YESTERDAY

if TYPE_CHECKING:
    from kilowait.files.signal_files import SignalFile
    from kilowait.simulate.simulation import Simulation

HELP = """a signal over time, as carbon=FILE[,zone=NAME][,column=NAME]: CSV, Parquet, or an answer of Electricity Maps
or WattTime; carbon in g, water in L, price in USD, each a kWh. May be given several times"""


def add_signal_options(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    add = parser.add_argument
    add("--signal", action="append", default=[], metavar="NAME=FILE", help=HELP)
    begins_help = "the date and time at which the clock of the jobs shows 0, as 2026-01-31T00:00Z (default: that at "
    add(
        "--flexible",
        metavar="TIME",
        help="every job may be kept for cheaper hours so long (24h): --policy flexible(...)",
    )
    forecast_help = f"what is known of the hours ahead: {PERFECT}, {YESTERDAY}, or NAME=FILE as --signal; for flexible"
    add("--forecast", action="append", default=[], metavar="WHAT", help=f"{forecast_help} jobs (default: {PERFECT})")
    price_help = (
        "TOML: usd_per_kwh, usd_per_kg_co2, usd_per_l, usd_per_h_waiting, usd_per_h_running (of a GPU); a policy"
    )
    add("--prices", type=Path, metavar="FILE", help=f"{price_help} weighs energy by it, and the run is priced")
    add("--signals-from", metavar="TIME", help=f"{begins_help}which the first signal begins)")


def signals_of(args: argparse.Namespace) -> dict[str, Any]:
    """The signals that were given and what is foreseen of them, as keywords of `simulate`.

    Raises InputError for one that is wrong or given twice, and a forecast of one that is not given.
    """
    from kilowait.files.signal_files import moment

    read, foreseen = _files("--signal", args.signal), [text for text in args.forecast if "=" in text]
    for name, file in read.items():
        if len(file.signals) > 1:
            raise InputError(f"--signal {name}: the file holds forecasts of several times; give what was measured")
    forecasts = _files("--forecast", foreseen)
    if strange := [name for name in forecasts if name not in read]:
        raise InputError(f"--forecast {strange[0]}: no --signal {strange[0]} is given, which it foresees")
    words = [text for text in args.forecast if "=" not in text]
    if words and (words[0] not in (PERFECT, YESTERDAY) or len(args.forecast) > 1):
        raise InputError(f"--forecast {words[0]}: must be {PERFECT} or {YESTERDAY}, alone, or NAME=FILE")
    dated = [signal.begins_s for file in read.values() for signal in file.signals if file.dated]
    origin_s = moment(args.signals_from) if args.signals_from is not None else max(dated, default=0.0)

    def on_clock(file: "SignalFile") -> list[Signal]:
        return [signal.later(-origin_s if file.dated else 0.0) for signal in file.signals]

    return {
        "signals": {name: on_clock(file)[0] for name, file in read.items()},
        "foresight": {name: on_clock(file) for name, file in forecasts.items()} or (words[0] if words else PERFECT),
    }


def _files(option: str, texts: Sequence[str]) -> "dict[str, SignalFile]":
    from kilowait.files.signal_files import read_signal

    read: dict[str, SignalFile] = {}
    for text in texts:
        name, path, words = signal_words(text, option)
        if name in read:
            raise InputError(f"{option} {text}: {name} is given twice")
        read[name] = read_signal(path, name, **words)
    return read


def price_list_of(args: argparse.Namespace) -> PriceList | None:
    """The price list that was given; raises InputError for one that is wrong."""
    return None if args.prices is None else read_price_list(args.prices)


def rule_of(args: argparse.Namespace) -> Rule:
    """The policy that was named, which keeps jobs for cheaper hours where they are flexible; raises InputError."""
    if args.flexible is None:
        return POLICIES[args.policy]
    if not args.signal:
        raise InputError("--flexible needs a --signal: by what should an hour be cheaper?")
    return POLICIES[flexible_name(args.policy, args.flexible)]


def totals_of(simulation: "Simulation") -> dict[str, Any]:
    """What a simulation came to by each signal and by the price list, for JSON; {} without either."""
    totals, bill = simulation.totals, simulation.bill
    signals = {name: {**asdict(one), "cluster": one.cluster} for name, one in totals.items()}
    return {
        **({"signals": signals} if signals else {}),
        **({"cost_usd": {**asdict(bill), "total": bill.total}} if bill is not None else {}),
    }


def total_cells(totals: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """A line a signal, for people."""
    return [(f"cluster {name}", _shown(total)) for name, total in totals.items()]


def _shown(total: Mapping[str, Any]) -> str:
    unit, parts = total["unit"], ("jobs", "idle_boards", "hosts")
    cluster = (
        "unknown: a type has no known idle power" if total["cluster"] is None else f"{total['cluster']:,.3f} {unit}"
    )
    told = ", ".join(f"{part.replace('_', ' ')} {total[part]:,.3f}" for part in parts if total[part] is not None)
    return f"{cluster}  ({total['provenance']}: {told})"
