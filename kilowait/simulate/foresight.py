"""What is known of a signal while a simulation runs: all of it, the day before, or forecasts as they were issued."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import inf
from operator import attrgetter

from msgspec import structs

from kilowait.cluster.events import SignalReported
from kilowait.core.errors import InputError
from kilowait.core.signals import Signal
from kilowait.core.units import DAY_S

PERFECT, YESTERDAY = "perfect", "yesterday"
Foresight = str | Mapping[str, Sequence[Signal]]
"""`perfect`, `yesterday`, or by name the forecasts of signals; a signal without any is foreseen as yesterday."""


def reports(signals: Iterable[Signal], foresight: Foresight = PERFECT) -> Iterator[SignalReported]:
    """What becomes known of these signals and when, in order; raises InputError for an unknown foresight.

    perfect: all of it at once. yesterday: at each step the present value, and behind it the last 24 hours again.
    Forecasts that say when they were issued are known from then on; one that does not is known 24 hours ahead of each
    hour, with the present value as it is. Whatever is foreseen repeats its last day beyond its end.
    """
    if isinstance(foresight, str) and foresight not in (PERFECT, YESTERDAY):
        raise InputError(f"foresight must be {PERFECT}, {YESTERDAY} or forecasts by signal, got {foresight!r}")
    return heapq.merge(*(_reports(signal, foresight) for signal in signals), key=attrgetter("time_s"))


def _reports(signal: Signal, foresight: Foresight) -> Iterator[SignalReported]:
    if foresight == PERFECT:
        return iter([SignalReported(time_s=max(0.0, signal.begins_s), signal=_daily(signal))])
    given = [] if isinstance(foresight, str) else list(foresight.get(signal.name, ()))
    if not given:
        return _at_each_step(signal, signal, -DAY_S)
    if given[0].issued_s is None:
        return _at_each_step(signal, given[0], 0.0)
    return _as_issued(given)


def _as_issued(forecasts: Sequence[Signal]) -> Iterator[SignalReported]:
    """The last that was issued before the clock begins, and those after it."""
    known_s = [max(0.0, forecast.issued_s or 0.0, forecast.begins_s) for forecast in forecasts]
    for forecast, time_s, next_s in zip(forecasts, known_s, [*known_s[1:], inf], strict=True):
        if time_s < next_s:
            yield SignalReported(time_s=time_s, signal=_daily(forecast))


def _at_each_step(actual: Signal, foreseen: Signal, shift_s: float) -> Iterator[SignalReported]:
    """At each step of what was measured: its value, and behind it the coming day, `shift_s` away in `foreseen`."""
    steps = [t for t in (*actual.times_s, actual.ends_s) if t > 0]
    if actual.begins_s <= 0:
        steps.insert(0, 0.0)
    for now_s, next_s in pairwise(steps):
        yield SignalReported(time_s=now_s, signal=_ahead(actual, foreseen, shift_s, now_s, next_s))


def _ahead(actual: Signal, foreseen: Signal, shift_s: float, now_s: float, next_s: float) -> Signal:
    """What is known at one step: nothing varies where the foreseen hours are not known."""
    from_s, to_s = next_s + shift_s, min(now_s + DAY_S, foreseen.ends_s - shift_s) + shift_s
    times_s, values = [now_s], [actual.at(now_s)]
    if foreseen.begins_s <= from_s < to_s:
        steps = [from_s, *(t for t in foreseen.changes(from_s, to_s) if t < to_s)]
        times_s += [t - shift_s for t in steps]
        values += [foreseen.at(t) for t in steps]
    whole = Signal(
        name=actual.name,
        times_s=tuple(times_s),
        values=tuple(values),
        ends_s=now_s + DAY_S,
        issued_s=now_s,
    )
    return _daily(whole)


def _daily(signal: Signal) -> Signal:
    """The same, which repeats its last day, or all of it where it is shorter."""
    return structs.replace(signal, period_s=min(DAY_S, signal.ends_s - signal.begins_s))
