"""A number with the ends of its interval."""

from dataclasses import dataclass

CONFIDENCE = 0.95
"""Of bootstrap intervals."""

RESAMPLES = 2000
"""Draws of a bootstrap where speed matters little and each is cheap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with the bounds of its bootstrap interval; nan where it is undefined."""

    estimate: float
    low: float
    high: float
