"""What the clock says while a program runs dry: times that remember what they were made of.

A program that ends when so many seconds have gone by names its own run time: `limit` is told of the seconds that a
difference of times was compared with.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from typing import Any

_CLOCKS = ("time", "perf_counter", "monotonic", "process_time")
Limit = Callable[[float], None]


class Moment(float):
    """What a clock said, `later` seconds further on."""

    later: float = 0.0

    def __add__(self, other: Any) -> Any:
        """So many seconds later."""
        return _moment(float(self) + other, self.later + other) if _is_number(other) else float(self) + other

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        """The seconds between two moments, or an earlier moment."""
        if isinstance(other, Moment):
            return _elapsed(float(self) - float(other), other.later - self.later, 1.0)
        return _moment(float(self) - other, self.later - other) if _is_number(other) else float(self) - other

    def __hash__(self) -> int:
        return float.__hash__(self)

    def __reduce__(self) -> Any:
        return float, (float(self),)


class Elapsed(float):
    """Seconds between two moments, in a unit of `scale`, less `less` seconds."""

    less: float = 0.0
    scale: float = 1.0

    def __truediv__(self, other: Any) -> Any:
        """In another unit."""
        return (
            _elapsed(float(self) / other, self.less, self.scale / other) if _is_number(other) else float(self) / other
        )

    def __mul__(self, other: Any) -> Any:
        """In another unit."""
        return (
            _elapsed(float(self) * other, self.less, self.scale * other) if _is_number(other) else float(self) * other
        )

    __rmul__ = __mul__

    def __hash__(self) -> int:
        return float.__hash__(self)

    def __reduce__(self) -> Any:
        return float, (float(self),)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, (Moment, Elapsed)) and value != 0


def _moment(value: float, later: float) -> Moment:
    moment = Moment(value)
    moment.later = later
    return moment


def _elapsed(value: float, less: float, scale: float) -> Elapsed:
    elapsed = Elapsed(value)
    elapsed.less, elapsed.scale = less, scale
    return elapsed


def pretend_clock(limit: Limit) -> None:
    """Make the clocks of `time` say moments; there is no way back."""
    for name in ("lt", "le", "gt", "ge"):
        setattr(Moment, f"__{name}__", _comparing(name, _between, limit))
        setattr(Elapsed, f"__{name}__", _comparing(name, _limit_of, limit))
    for name in _CLOCKS:
        setattr(time, name, _telling(getattr(time, name)))


def _telling(clock: Callable[[], float]) -> Callable[[], Moment]:
    def now() -> Moment:
        return Moment(clock())

    return now


def _comparing(name: str, seconds: Callable[[Any, Any], float], limit: Limit) -> Callable[[Any, Any], Any]:
    compare = getattr(operator, name)

    def ask(self: Any, other: Any) -> Any:
        if isinstance(other, (int, float)):
            limit(seconds(self, other))
            return compare(float(self), float(other))
        return NotImplemented

    return ask


def _between(moment: Moment, other: Any) -> float:
    return abs(other.later - moment.later) if isinstance(other, Moment) else 0.0


def _limit_of(elapsed: Elapsed, other: Any) -> float:
    return float(other) / elapsed.scale + elapsed.less if elapsed.scale else 0.0
