"""What a power limit does to a program: how much slower it runs and what it then draws.

A board draws its floor while a program is there and does nothing; what a limit leaves above the floor, over what the
program would draw above it, is the coordinate in which networks and types look alike.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kilowait.core.errors import ModelError
from kilowait.core.gpu_type import GpuType
from kilowait.core.jobs import LEAST_LIMIT_W

LIMITS = tuple(percent / 100 for percent in range(95, 40, -5))
"""The limits of a curve, as parts of the board's own limit."""
COMPUTE_SLOPE = 0.4
"""How much faster the slow-down grows for a program all arithmetic than for one all memory (logarithms, twice).

Clocks fall under a limit; a program that waits for memory loses less. Chosen on the sweeps, networks left out.
"""

LEAST_DYNAMIC = 0.1
"""Of the draw of a program that hardly draws more than the floor: limits mean nothing to it."""
ON_GDDR = 0.2
"""Of the dynamic range that a board with GDDR memory draws at its floor, as the fit of the draws finds it."""
TRUST = 0.25
"""Weight of a predicted draw against the typical one of the type's networks (logarithms); a measured one has all.

Of 0, 0.25, 0.5, 0.75 and 1 the best on the sweeps, networks left out.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCurve:
    """The mean curve of a type's measured networks, at limits that leave `ratios` (ascending) of their dynamic draw.

    `log_slowdown` is the logarithm of seconds over those without a limit, `draw` the dynamic watts over those without
    one, `arithmetic` the networks' mean share of time limited by arithmetic, `typical` what they draw without a limit,
    as a part of the board's own.
    """

    ratios: tuple[float, ...]
    log_slowdown: tuple[float, ...]
    draw: tuple[float, ...]
    arithmetic: float
    typical: float

    def at(self, limit_w: float, full_w: float, floor_w: float, arithmetic: float) -> tuple[float, float]:
        """Seconds over those without a limit, and watts, of a program that draws `full_w` without one.

        Below the lowest limit that was measured watts stay on the limit, and the slow-down goes on from it.
        """
        dynamic_w = max(full_w - floor_w, LEAST_DYNAMIC * full_w)
        ratio = self._ratio(limit_w, full_w, dynamic_w)
        log_slowdown = float(np.interp(ratio, self.ratios, self.log_slowdown))
        if ratio < self.ratios[0]:
            log_slowdown += (self.ratios[0] - ratio) * float(np.max(-np.diff(self.log_slowdown) / np.diff(self.ratios)))
        log_slowdown *= math.exp(COMPUTE_SLOPE * (arithmetic - self.arithmetic))
        watts = full_w - dynamic_w * (1 - float(np.interp(ratio, self.ratios, self.draw)))
        return math.exp(log_slowdown), min(watts, limit_w, full_w)

    def reaches(self, limit_w: float, full_w: float, floor_w: float) -> bool:
        """Whether such a limit was measured, for programs of this draw."""
        return self._ratio(limit_w, full_w, max(full_w - floor_w, LEAST_DYNAMIC * full_w)) >= self.ratios[0]

    def reached(self, peak_w: float, full_w: float, floor_w: float) -> Iterator[float]:
        """The limits of a board, from below its own down, as far as they were measured for programs of this draw."""
        for part in LIMITS:
            limit_w = 5 * round(part * peak_w / 5)
            if limit_w < LEAST_LIMIT_W or not self.reaches(limit_w, full_w, floor_w):
                return
            yield limit_w

    @staticmethod
    def _ratio(limit_w: float, full_w: float, dynamic_w: float) -> float:
        return (limit_w - full_w) / dynamic_w + 1

    def expected_w(self, predicted_w: float, peak_w: float) -> float:
        """The draw without a limit to read the curve at: predicted ones are off by as much as networks differ."""
        return float(predicted_w**TRUST * (self.typical * peak_w) ** (1 - TRUST))

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "LimitCurve":
        """The inverse of `dataclasses.asdict`; raises ModelError for a curve that is none."""
        columns = {name: tuple(map(float, found[name])) for name in ("ratios", "log_slowdown", "draw")}
        if len({len(column) for column in columns.values()}) != 1 or len(columns["ratios"]) < 2:
            raise ModelError(f"not a curve of power limits: {dict(found)}; fit it again with kilowait lab power")
        return cls(arithmetic=float(found["arithmetic"]), typical=float(found["typical"]), **columns)


def floor_w(board: GpuType, idle_w: float, peak_w: float) -> float:
    """Watts of a board on which a program is and does nothing: its memory's clocks are up."""
    return idle_w + (ON_GDDR if board.memory_kind.startswith("GDDR") else 0.0) * (peak_w - idle_w)
