"""`kilowait compare FILE FILE...`: predictions of programs side by side on each device type, against the first."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from kilowait.cli import predict
from kilowait.cli.memory_text import GIB
from kilowait.core.errors import InputError

EXAMPLE = """\
examples:
  kilowait compare train.py train_compiled.py
  kilowait compare small.py large.py --device A100 --device H100 --gpu-prices prices.csv
  kilowait compare a.py b.py --json -- --epochs 3

What follows -- are arguments that each of the programs gets. A ratio is that of a program's number to the first
program's. "overlap" says that the 90% intervals of their run times have a part in common, so that which is faster is
not known for sure. All numbers are modelled, as those of kilowait predict are.
"""
_SHOWN = (("runtime_s", "s"), ("energy_kwh", "kWh"), ("memory_gib", "GiB"), ("cost", "cost"))


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str] = ()) -> None:
    """Declare the options of `kilowait compare`: those of `kilowait predict`."""
    predict.add_arguments(parser, words)
    parser.epilog = EXAMPLE


def run(args: argparse.Namespace) -> int:
    """Predict for all programs and print them side by side; raises InputError as `kilowait predict` does."""
    if len(args.files) < 2:
        raise InputError(f"compare needs two programs or more, got {len(args.files)}; kilowait predict is for one")
    report = predict.predicted(args)
    compared = {"predictions": report["predictions"], "devices": compare(report["predictions"])}
    sys.stdout.write(json.dumps(compared, indent=1) + "\n" if args.json else as_text(compared))
    return 0 if compared["devices"] else 1


def compare(entries: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """By device type that any program has a prediction for, one record a program: numbers, ratios, and overlap."""
    names = dict.fromkeys(name for entry in entries for name in entry["devices"])
    return {name: [_beside(entry, entries[0], name) for entry in entries] for name in names}


def _beside(entry: dict[str, Any], first: dict[str, Any], device: str) -> dict[str, Any]:
    """One program's numbers on a type; ratios to the first program where both have them."""
    own, base = _numbers(entry, device), _numbers(first, device)
    both = [(name, value, base.get(name)) for name, value in own.items() if not name.startswith("runtime_s_")]
    ratios = {name: value / against for name, value, against in both if value is not None and against}
    return {"file": entry["file"], **own, "ratios": ratios, "overlap": _overlap(own, base)}


def _numbers(entry: dict[str, Any], device: str) -> dict[str, float | None]:
    of = entry["devices"].get(device)
    if of is None:
        return {}
    need, cost = of.get("memory_need"), of.get("cost")
    return {
        "runtime_s": of["runtime_s"],
        "runtime_s_low": of["runtime_low_s"],
        "runtime_s_high": of["runtime_high_s"],
        "energy_kwh": of["energy_j"] / 3.6e6,
        "memory_gib": need["expected_bytes"] / GIB if need else None,
        "cost": cost["amount"] if cost else None,
    }


def _overlap(own: dict[str, Any], base: dict[str, Any]) -> bool | None:
    """Whether the intervals of two run times have a part in common; None where either is not known."""
    ends = [of.get(name) for of in (own, base) for name in ("runtime_s_low", "runtime_s_high")]
    if any(end is None for end in ends):
        return None
    return bool(own["runtime_s_low"] <= base["runtime_s_high"] and base["runtime_s_low"] <= own["runtime_s_high"])


def as_text(compared: dict[str, Any]) -> str:
    """A block a device type, a row a program."""
    if not compared["devices"]:
        return "no device type that was asked for is predicted for any of them\n"
    return "\n".join(_block(name, rows) for name, rows in compared["devices"].items())


def _block(device: str, rows: Sequence[dict[str, Any]]) -> str:
    shown = [(name, unit) for name, unit in _SHOWN if any(row.get(name) is not None for row in rows)]
    header = [device, *(part for _, unit in shown for part in (unit, "ratio")), "90% interval of the time", ""]
    cells = [header, *(_cells(row, shown, first=not number) for number, row in enumerate(rows))]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        + "\n"
        for row in cells
    )


def _cells(row: dict[str, Any], shown: Sequence[tuple[str, str]], *, first: bool) -> list[str]:
    numbers = [
        cell for name, _ in shown for cell in (_cell(row.get(name)), "" if first else _cell(row["ratios"].get(name), 3))
    ]
    low, high = row.get("runtime_s_low"), row.get("runtime_s_high")
    interval = "-" if low is None or high is None else f"{low:.3g} to {high:.3g}"
    word = "" if first or row["overlap"] is None else "overlap" if row["overlap"] else "apart"
    return [row["file"], *numbers, interval, word]


def _cell(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}g}"
