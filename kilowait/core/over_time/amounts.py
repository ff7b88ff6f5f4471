"""What the energy of a job comes to by signals: grams of CO2, litres of water, USD, and how each number was had."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum, inf
from typing import NamedTuple

from kilowait.core.jobs import Provenance
from kilowait.core.over_time.signals import Signal

AMOUNTS = {"carbon": "g", "water": "L", "price": "USD"}
"""The signals that are of a kWh, and the unit of what an amount of energy comes to by each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """What an attempt came to by the signal `name`, in the unit that `AMOUNTS` says.

    Estimated is measured energy times measured hours, modelled is what rests on a forecast of any of them.
    """

    name: str
    value: float
    provenance: Provenance


class Reported(NamedTuple):
    """A signal as it was reported at a time."""

    time_s: float
    signal: Signal


def foreseen(signals: Mapping[str, Signal], energy_kwh: float, start_s: float, runtime_s: float) -> dict[str, float]:
    """By signal, what energy that is spent evenly over a run would come to, where the whole run is known."""
    return {
        name: energy_kwh * signals[name].mean(start_s, start_s + runtime_s)
        for name in AMOUNTS
        if name in signals and _knows(signals[name], start_s, start_s + runtime_s)
    }


def amount(
    name: str,
    reports: Sequence[Reported],
    energy_kwh: float,
    energy_provenance: Provenance,
    span: tuple[float, float],
) -> Amount | None:
    """What energy that was spent evenly over a span comes to, by all that was reported of a signal, in order of time.

    Of every hour the last report counts that has it; where none has, that which was in force repeats itself. None where
    a part of the span is known to none of them.
    """
    start_s, end_s = span
    if not start_s < end_s:
        return None
    parts = _parts(reports, start_s, end_s)
    if not parts or fsum(part.to_s - part.from_s for part in parts) < (end_s - start_s) * (1 - 1e-9):
        return None
    mean = fsum(part.report.signal.integral(part.from_s, part.to_s) for part in parts) / (end_s - start_s)
    provenance = Provenance.ESTIMATED if all(map(_is_measured, parts)) else Provenance.MODELLED
    if energy_provenance in (Provenance.MODELLED, Provenance.PRETENDED):
        provenance = energy_provenance
    return Amount(name=name, value=energy_kwh * mean, provenance=provenance)


class _Part(NamedTuple):
    from_s: float
    to_s: float
    report: Reported


def _parts(reports: Sequence[Reported], start_s: float, end_s: float) -> list[_Part]:
    """The span in parts, each with the report that says most of it."""
    ahead = [(report, later.time_s) for report, later in pairwise(reports)]
    in_force = [*ahead, *((report, inf) for report in reports[-1:])]
    edges = {start_s, end_s}
    for report, until_s in in_force:
        edges |= {report.time_s, until_s, report.signal.begins_s, report.signal.ends_s}
    inside = sorted(edge for edge in edges if start_s <= edge <= end_s)
    parts = list[_Part]()
    for from_s, to_s in pairwise(inside):
        said = (report for report in reversed(reports) if _says(report.signal, from_s, to_s))
        repeated = (
            report
            for report, until_s in in_force
            if report.time_s <= from_s and to_s <= until_s and _knows(report.signal, from_s, to_s)
        )
        if (found := next(said, None) or next(repeated, None)) is not None:
            parts.append(_Part(from_s, to_s, found))
    return parts


def _is_measured(part: _Part) -> bool:
    """Whether each of its hours had begun when it was reported, by who does not call it a forecast."""
    (time_s, signal), until_s = part.report, part.to_s
    ahead = any(step_s < until_s for step_s in signal.changes(time_s, until_s))
    return signal.issued_s is None and until_s <= signal.ends_s and not ahead


def _says(signal: Signal, from_s: float, to_s: float) -> bool:
    """Whether a span is in what was reported itself, not in what repeats behind it."""
    return signal.begins_s <= from_s and to_s <= signal.ends_s


def _knows(signal: Signal, from_s: float, to_s: float) -> bool:
    return signal.begins_s <= from_s and (bool(signal.period_s) or to_s <= signal.ends_s)
