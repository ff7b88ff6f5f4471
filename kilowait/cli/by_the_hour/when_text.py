"""`kilowait predict --when`: what a run comes to that starts now, and one at the best hour within its slack."""

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kilowait.cli.by_the_hour.within_text import duration
from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.core.over_time.amounts import AMOUNTS, foreseen
from kilowait.core.over_time.deadlines import latest_start_s
from kilowait.core.over_time.price_list import read_price_list
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import DAY_S, HOUR_S

_SAID = {"carbon": "g CO2", "water": "L of water", "price": "USD for electricity"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WhenAsked:
    """What is known of the hours, in seconds since 1970: the signals, what a kWh costs by them, and which is now.

    `latest_s` is until when a run may start, `done_s` by when it is to be done, None where nobody says.
    """

    now_s: float
    latest_s: float
    done_s: float | None
    signals: Mapping[str, Signal]
    cost: Signal
    usd_per_h_waiting: float


def add_when_options(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    add = parser.add_argument
    signal_help = "with --when: carbon, water or price of a kWh, as carbon=FILE or URL[,zone=Z][,column=C]; repeatable"
    prices_help = "with --when: what a kWh, a kg of CO2, a litre and an hour of waiting cost (default: carbon alone)"
    add("--when", action="store_true", help="say whether to start now or at a better hour, by --signal")
    add("--signal", action="append", default=[], metavar="NAME=PLACE", help=signal_help)
    add("--flexible", type=duration, metavar="TIME", help="with --when: how long it may wait (default: 24h)")
    add("--prices", type=Path, metavar="FILE", help=prices_help)
    add("--signals-from", metavar="TIME", help="with --when: what counts as now, as 2026-01-31T00:00Z")


def asked_when(args: argparse.Namespace) -> WhenAsked | None:
    """What was asked for, None where it was not; raises InputError for signals that do not know the present."""
    if not args.when:
        _refuse_without_when(args)
        return None
    if not args.signal:
        raise InputError("--when needs a --signal: by what should an hour be better? Give carbon=FILE or carbon=URL")
    from kilowait.files.signal_files import moment
    from kilowait.live.signalling.signal_source import signal_sources
    from kilowait.policies.wrappers.flexible import prices_by_default

    now_s = time.time() if args.signals_from is None else moment(args.signals_from)
    signals = {source.name: _known(source.look(), source.shown, now_s) for source in signal_sources(args.signal)}
    prices = prices_by_default(signals) if args.prices is None else read_price_list(args.prices)
    cost = prices.over_time(signals)
    if cost is None:
        raise InputError(f"--prices {args.prices}: no price for {', '.join(signals)}; add usd_per_kg_co2 or such")
    return WhenAsked(
        now_s=now_s,
        latest_s=now_s + (DAY_S if args.flexible is None else args.flexible),
        done_s=None if args.within is None else now_s + args.within,
        signals=signals,
        cost=cost,
        usd_per_h_waiting=prices.usd_per_h_waiting,
    )


def when_of(told: Prediction, asked: WhenAsked | None) -> dict[str, Any]:
    """What the run comes to now and at its best start, {} where nobody asks."""
    if asked is None:
        return {}
    from kilowait.policies.planning.cheapest_hours import Hours, cheapest_start_s
    from kilowait.policies.wrappers.flexible import MOST_ADDED_MISSES

    latest_s = asked.latest_s
    if asked.done_s is not None:
        latest_s = max(asked.now_s, min(latest_s, latest_start_s(told, asked.done_s, asked.now_s, MOST_ADDED_MISSES)))
    hours = Hours.of(asked.cost, asked.now_s, latest_s + told.runtime_s, asked.usd_per_h_waiting)
    start_s = cheapest_start_s(hours, told, latest_s)
    return {"when": {"now": _start(told, asked, asked.now_s), "best": _start(told, asked, start_s)}}


def when_lines(devices: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line a type for people; nothing where nobody asked."""
    asked = {name: numbers["when"] for name, numbers in devices.items() if "when" in numbers}
    if not asked:
        return []
    width = max(map(len, asked))
    return [
        "  now, or later (modelled, alone on its GPUs):",
        *(f"    {n:<{width}}  {_said(w)}" for n, w in asked.items()),
    ]


def _start(told: Prediction, asked: WhenAsked, start_s: float) -> dict[str, Any]:
    amounts = foreseen(asked.signals, told.energy_kwh, start_s, told.runtime_s)
    shown = {name: {"value": value, "unit": AMOUNTS[name]} for name, value in amounts.items()}
    return {"start_s": start_s, "start": _date(start_s), "waits_s": start_s - asked.now_s, "amounts": shown}


def _said(when: Mapping[str, Any]) -> str:
    now, best = when["now"], when["best"]
    at_once = f"now {_amounts(now)}"
    if best["waits_s"] <= 0:
        return f"{at_once}; no later start is better"
    changes = (_change(now["amounts"][name]["value"], one["value"]) for name, one in best["amounts"].items())
    return f"{at_once}; {best['start']}, in {best['waits_s'] / HOUR_S:,.1f} h, {_amounts(best)} ({', '.join(changes)})"


def _amounts(start: Mapping[str, Any]) -> str:
    return ", ".join(f"{one['value']:.3g} {_SAID[name]}" for name, one in start["amounts"].items())


def _change(now: float, then: float) -> str:
    return f"{then / now - 1:+.0%}" if now > 0 else "from none or less"


def _date(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _known(said: Signal, place: str, now_s: float) -> Signal:
    """What is said from now on, its last day again behind its end; raises InputError where now is not in it."""
    from kilowait.live.signalling.followed_signal import around

    if not said.begins_s <= now_s < said.ends_s:
        span = f"from {_date(said.begins_s)} to {_date(said.ends_s)}"
        raise InputError(f"{place}: {said.name} is known {span}, and not at {_date(now_s)}; give a current one")
    return around(said, now_s)


def _refuse_without_when(args: argparse.Namespace) -> None:
    given = {"signal": args.signal, "flexible": args.flexible, "prices": args.prices, "signals-from": args.signals_from}
    for option, value in given.items():
        if value not in (None, []):
            raise InputError(f"--{option} is for --when, which says whether to start now or later; add --when")
