"""When two runs of a script agree well enough to be its label."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Protocol, TypeVar

from kilowait.core.errors import InputError


class Standing(StrEnum):
    """Where a script stands on a device type; OPEN is the only one that is run again."""

    OPEN = "open"
    ACCEPTED = "accepted"  # two runs agree
    FLAGGED = "flagged"  # it ran, but no two runs agree
    FAILED = "failed"  # fewer than two runs succeeded


class TimedRun(Protocol):
    """A run as far as agreement goes."""

    @property
    def failure(self) -> str | None:
        """None on success."""

    @property
    def runtime_s(self) -> float | None:
        """Wall seconds."""


T = TypeVar("T", bound=TimedRun)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementRule:
    """A pair agrees when |a - b| / mean <= `tolerance`; at most `max_runs` runs, and two failures end it."""

    tolerance: float = 0.1
    max_runs: int = 5
    max_failures: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 2:
            raise InputError(f"tolerance must lie between 0 and 2, got {self.tolerance!r}")
        if self.max_runs < 2:
            raise InputError(f"max_runs must be >= 2 (a pair), got {self.max_runs!r}")


def spread(a: float, b: float) -> float:
    """|a - b| over their mean."""
    return abs(a - b) / ((a + b) / 2)


def closest_pair(runs: Sequence[T]) -> tuple[T, T, float] | None:
    """The two successful runs whose runtimes are nearest, and their spread; the earlier pair wins a tie."""
    successful = [(run, run.runtime_s) for run in runs if run.failure is None and run.runtime_s is not None]
    pairs = [(a, b, spread(x, y)) for (a, x), (b, y) in combinations(successful, 2)]
    return min(pairs, key=lambda pair: pair[2], default=None)


def standing(runs: Sequence[TimedRun], rule: AgreementRule) -> Standing:
    """Judge all runs so far of one script on one device type."""
    pair = closest_pair(runs)
    if pair is not None and pair[2] <= rule.tolerance:
        return Standing.ACCEPTED
    failures = sum(run.failure is not None for run in runs)
    if len(runs) < rule.max_runs and failures < rule.max_failures:
        return Standing.OPEN
    return Standing.FAILED if pair is None else Standing.FLAGGED
