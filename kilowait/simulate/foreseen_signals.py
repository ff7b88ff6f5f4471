"""What is known of a signal while a simulation runs: all of it, the day before, or forecasts as they were issued."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import inf
from operator import attrgetter

import numpy as np
from msgspec import structs

from kilowait.cluster.events import SignalReported
from kilowait.core.errors import InputError
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import DAY_S, HOUR_S

PERFECT, YESTERDAY = "perfect", "yesterday"
USUAL_DAYS = 7

Foresight = str | Mapping[str, Sequence[Signal]]
"""`perfect`, `yesterday`, or by name the forecasts of signals; a signal without any is foreseen as yesterday."""


def reports(signals: Iterable[Signal], foresight: Foresight = PERFECT) -> Iterator[SignalReported]:
    """What becomes known of these signals and when, in order; raises InputError for an unknown foresight.

    perfect: all of it at once. yesterday: at each step the present value, and behind it the last 24 hours again.
    Forecasts that say when they were issued are known from then on, and repeat their last day; one that does not is
    known 24 hours ahead of each hour, with the present value as it is. Behind these 24 hours stands the average day of
    the last week, again and again: jobs of several days are not started by what one day is like.
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
    past = _Past(actual)
    for now_s, next_s in pairwise(steps):
        known = _ahead(actual, foreseen, shift_s, now_s, next_s)
        yield SignalReported(time_s=now_s, signal=_then(known, past.usual_day(now_s, known.ends_s)))


def _ahead(actual: Signal, foreseen: Signal, shift_s: float, now_s: float, next_s: float) -> Signal:
    """The day that is known at one step: nothing varies where the foreseen hours are not known."""
    from_s, to_s = next_s + shift_s, min(now_s + DAY_S, foreseen.ends_s - shift_s) + shift_s
    times_s, values = [now_s], [actual.at(now_s)]
    if foreseen.begins_s <= from_s < to_s:
        steps = foreseen.steps(from_s, to_s)
        times_s += [t - shift_s for t in steps]
        values += [foreseen.at(t) for t in steps]
    return Signal(name=actual.name, times_s=tuple(times_s), values=tuple(values), ends_s=now_s + DAY_S, issued_s=now_s)


class _Past:
    """The hours of the days that are over, on average."""

    def __init__(self, actual: Signal) -> None:
        self._actual = actual
        self._times_s = np.array((*actual.times_s, actual.ends_s))
        self._sums = np.array(actual.sums)

    def usual_day(self, now_s: float, from_s: float) -> list[float]:
        """The 24 hours from `from_s` on, each as on average in the last days, at most a week; none if none is over."""
        days = min(USUAL_DAYS, int((now_s - self._actual.begins_s) // DAY_S))
        first_s = from_s - DAY_S * np.ceil((from_s + DAY_S - now_s) / DAY_S)  # the last such day that is over
        starts_s = first_s - DAY_S * np.arange(days)[:, None] + HOUR_S * np.arange(25)[None, :]
        if not days or starts_s.min() < self._actual.begins_s:
            return []
        sums = np.interp(starts_s, self._times_s, self._sums)
        hours: list[float] = (np.diff(sums, axis=1) / HOUR_S).mean(axis=0).tolist()
        return hours


def _then(known: Signal, usual_day: Sequence[float]) -> Signal:
    """What is known, and behind it a usual day again and again: what one day is like says little of those after it."""
    if not usual_day:
        return _daily(known)
    return structs.replace(
        known,
        times_s=(*known.times_s, *(known.ends_s + HOUR_S * k for k in range(len(usual_day)))),
        values=(*known.values, *usual_day),
        ends_s=known.ends_s + DAY_S,
        period_s=DAY_S,
    )


def _daily(signal: Signal) -> Signal:
    """The same, which repeats its last day, or all of it where it is shorter."""
    return structs.replace(signal, period_s=min(DAY_S, signal.ends_s - signal.begins_s))
