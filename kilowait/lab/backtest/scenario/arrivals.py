"""When jobs arrive: a nonhomogeneous Poisson process with a day's rhythm and bursts, drawn by thinning.

The paper (A.3.2) names the process, not its parameters: those here are ours, and documented where they stand. Not
covered: users, holidays, and bursts whose jobs resemble each other.
"""

import math
from dataclasses import dataclass

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import InputError
from kilowait.core.units import DAY_S, HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalPattern:
    """The rate of arrivals over a horizon, up to the bursts that each draw brings.

    `expected` jobs arrive over `days`. The rate follows a sinusoid of the day (`diurnal` 0: none, 1: nothing at
    night) with its peak at `peak_hour`, and is multiplied by 1 + `burstiness` during bursts: episodes of
    exponential length, `burst_hours` on average, which start at random `bursts_per_week` times a week.
    """

    expected: float = 190.0
    days: float = 62.0
    diurnal: float = 0.6
    peak_hour: float = 15.0
    burstiness: float = 40.0
    burst_hours: float = 4.0
    bursts_per_week: float = 1.0

    def __post_init__(self) -> None:
        for name in ("expected", "days", "burst_hours"):
            _check(name, getattr(self, name), "> 0", getattr(self, name) > 0)
        for name in ("burstiness", "bursts_per_week"):
            _check(name, getattr(self, name), ">= 0", getattr(self, name) >= 0)
        _check("diurnal", self.diurnal, "in [0, 1]", 0 <= self.diurnal <= 1)

    @property
    def horizon_s(self) -> float:
        """The length of the window in seconds."""
        return self.days * DAY_S

    def bursts(self, rng: np.random.Generator) -> FloatArray:
        """Burst episodes of one draw as rows (start_s, end_s), by start; they may overlap and count once."""
        count = rng.poisson(self.bursts_per_week * self.days / 7)
        starts = np.sort(rng.uniform(0, self.horizon_s, count))
        lengths = rng.exponential(self.burst_hours * HOUR_S, count)
        return np.column_stack([starts, np.minimum(starts + lengths, self.horizon_s)])

    def shape(self, times_s: FloatArray, bursts: FloatArray) -> FloatArray:
        """The rate at `times_s`, relative to a quiet moment of average hour."""
        hours = times_s / HOUR_S % 24
        day = 1 + self.diurnal * np.cos((hours - self.peak_hour) / 24 * 2 * math.pi)
        inside = ((times_s[:, None] >= bursts[:, 0]) & (times_s[:, None] < bursts[:, 1])).any(axis=1)
        return np.asarray(day * np.where(inside, 1 + self.burstiness, 1.0))

    def rate(self, times_s: FloatArray, bursts: FloatArray) -> FloatArray:
        """Arrivals a second at `times_s`; over the horizon it integrates to `expected`, whatever the bursts."""
        return self.shape(times_s, bursts) * self._scale(bursts)

    def draw(self, rng: np.random.Generator, bursts: FloatArray | None = None) -> FloatArray:
        """Arrival times in [0, horizon), ascending, by thinning a Poisson process at the highest rate."""
        bursts = self.bursts(rng) if bursts is None else bursts
        highest = self._scale(bursts) * (1 + self.diurnal) * (1 + self.burstiness * (len(bursts) > 0))
        candidates = np.sort(rng.uniform(0, self.horizon_s, rng.poisson(highest * self.horizon_s)))
        kept = rng.uniform(0, highest, len(candidates)) < self.rate(candidates, bursts)
        return np.asarray(candidates[kept])

    def _scale(self, bursts: FloatArray) -> float:
        """Arrivals a second where `shape` is 1."""
        area = self._day_integral(0.0, self.horizon_s)
        area += self.burstiness * sum(self._day_integral(start, end) for start, end in _union(bursts))
        return self.expected / area

    def _day_integral(self, start_s: float, end_s: float) -> float:
        """The day's rhythm, 1 on average, integrated over [start_s, end_s)."""
        turn = 2 * math.pi / DAY_S
        peak_s = self.peak_hour * HOUR_S
        waves = math.sin((end_s - peak_s) * turn) - math.sin((start_s - peak_s) * turn)
        return end_s - start_s + self.diurnal * waves / turn


def _union(bursts: FloatArray) -> list[tuple[float, float]]:
    """The same episodes without overlaps."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(bursts.tolist()):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _check(name: str, got: float, rule: str, fine: bool) -> None:
    if not (fine and math.isfinite(got)):
        raise InputError(f"arrivals: {name} must be finite and {rule}, got {got!r}")
