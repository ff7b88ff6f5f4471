"""Quantities that change in steps over time: carbon, water and price of electricity, a power budget, a quota of GPUs.

They are one class. A forecast is a signal that says when it was issued; it may repeat beyond its end, since jobs run on
for longer than anybody foresees.
"""

from bisect import bisect_right
from functools import cached_property
from itertools import accumulate, pairwise
from math import inf, isfinite

from msgspec import Struct, structs

from kilowait.core.errors import InputError

UNITS = {"carbon": "g/kWh", "water": "L/kWh", "price": "USD/kWh", "power_budget": "W", "quota": "GPUs"}
"""The signals that are known, and in which unit their values are."""

MAY_BE_NEGATIVE = frozenset({"price"})


class Signal(Struct, frozen=True, kw_only=True, dict=True):
    """A step function: `values[k]` holds from `times_s[k]` until the next time, the last until `ends_s`.

    With `period_s` > 0 it goes on beyond its end by repeating its last so many seconds; else nobody knows what comes.
    `issued_s` is when a forecast was made, None for what was measured. Raises InputError for times that do not rise,
    values that are not finite, and a period that is longer than the signal.
    """

    name: str
    times_s: tuple[float, ...]
    values: tuple[float, ...]
    ends_s: float
    period_s: float = 0.0
    issued_s: float | None = None

    def __post_init__(self) -> None:
        if not self.times_s or len(self.times_s) != len(self.values):
            raise self._wrong(f"needs a value for each time, got {len(self.times_s)} and {len(self.values)}")
        if any(not early < late for early, late in pairwise((-inf, *self.times_s, self.ends_s, inf))):
            raise self._wrong("its times must be finite and rise to its end")
        if strange := [v for v in self.values if not (isfinite(v) and (v >= 0 or self.name in MAY_BE_NEGATIVE))]:
            raise self._wrong(f"values must be finite and >= 0, got {strange[0]!r}")
        if not 0 <= self.period_s <= self.ends_s - self.times_s[0]:
            raise self._wrong(f"period_s must be from 0 to its length, got {self.period_s!r}")

    @property
    def begins_s(self) -> float:
        """From when on it is known."""
        return self.times_s[0]

    def at(self, time_s: float) -> float:
        """Its value at a time; raises InputError where it is not known."""
        if time_s >= self.ends_s and self.period_s:
            time_s = self._folded(time_s)
        if not self.begins_s <= time_s < self.ends_s:
            raise self._unknown(time_s)
        return self.values[bisect_right(self.times_s, time_s) - 1]

    def integral(self, from_s: float, to_s: float) -> float:
        """Its values times seconds between two times; raises InputError where it is not known."""
        return self._until(to_s) - self._until(from_s)

    def mean(self, from_s: float, to_s: float) -> float:
        """Its mean over a time that is not empty; raises InputError where it is not known."""
        return self.integral(from_s, to_s) / (to_s - from_s)

    def changes(self, after_s: float, until_s: float) -> list[float]:
        """When it takes another value, after the one time and not after the other."""
        first = bisect_right(self.times_s, after_s)
        found = list(self.times_s[first : bisect_right(self.times_s, until_s)])
        if not self.period_s or until_s < self.ends_s:
            return found
        first = bisect_right(self.times_s, self.ends_s - self.period_s)
        steps = [self.ends_s, *(time_s + self.period_s for time_s in self.times_s[first:])]
        turn = max(0, int((after_s - self.ends_s) // self.period_s))
        while steps[0] + turn * self.period_s <= until_s:
            found += [at for step in steps if after_s < (at := step + turn * self.period_s) <= until_s]
            turn += 1
        return found

    def steps(self, from_s: float, to_s: float) -> list[float]:
        """The one time, and when it takes another value until before the other."""
        return [from_s, *(time_s for time_s in self.changes(from_s, to_s) if time_s < to_s)]

    def later(self, seconds: float) -> "Signal":
        """The same on a clock that shows so many seconds more."""
        return structs.replace(
            self,
            times_s=tuple(time_s + seconds for time_s in self.times_s),
            ends_s=self.ends_s + seconds,
            issued_s=None if self.issued_s is None else self.issued_s + seconds,
        )

    @cached_property
    def sums(self) -> tuple[float, ...]:
        """Values times seconds from the beginning to each time, and to the end."""
        lengths_s = [late - early for early, late in pairwise((*self.times_s, self.ends_s))]
        return (0.0, *accumulate(value * s for value, s in zip(self.values, lengths_s, strict=True)))

    def _until(self, time_s: float) -> float:
        """The integral from the beginning."""
        if time_s <= self.ends_s:
            return self._within(time_s)
        if not self.period_s:
            raise self._unknown(time_s)
        before = self._within(self.ends_s - self.period_s)
        turns = (time_s - self.ends_s) // self.period_s
        return self.sums[-1] + turns * (self.sums[-1] - before) + self._within(self._folded(time_s)) - before

    def _within(self, time_s: float) -> float:
        if time_s < self.begins_s:
            raise self._unknown(time_s)
        step = min(bisect_right(self.times_s, time_s), len(self.values)) - 1
        return self.sums[step] + self.values[step] * (time_s - self.times_s[step])

    def _folded(self, time_s: float) -> float:
        """The time in its last period that stands for one after its end."""
        return self.ends_s - self.period_s + (time_s - self.ends_s) % self.period_s

    def _wrong(self, problem: str) -> InputError:
        return InputError(f"signal {self.name}: {problem}")

    def _unknown(self, time_s: float) -> InputError:
        return self._wrong(
            f"it is known from {self.begins_s:,.0f} s to {self.ends_s:,.0f} s of the clock, and not at {time_s:,.0f} "
            "s; give a longer one, or let it begin at another time"
        )
