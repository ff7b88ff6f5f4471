"""What tuning minimises: alpha * waiting + beta * running + gamma * energy, and the kappa that does it best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, Self

from kilowait.core.errors import InputError


class ScoreTotals(Protocol):
    """Anything with the three totals, such as `Scores`."""

    @property
    def total_wait_s(self) -> float:
        """Seconds of waiting over all jobs."""

    @property
    def running_s(self) -> float:
        """Seconds of running over all jobs."""

    @property
    def energy_kwh(self) -> float:
        """The jobs' own energy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveWeights:
    """The weights of the objective: alpha a second of waiting, beta a second of running, gamma a kWh."""

    alpha: float
    beta: float
    gamma: float

    def __post_init__(self) -> None:
        weights = (self.alpha, self.beta, self.gamma)
        if not all(math.isfinite(w) and w >= 0 for w in weights) or not any(weights):
            raise InputError(f"weights must be finite, >= 0 and not all 0, got {weights}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `alpha,beta,gamma`; raises InputError showing the text."""
        try:
            alpha, beta, gamma = (float(part) for part in text.split(","))
        except ValueError:
            raise InputError(f"weights must be three numbers alpha,beta,gamma like 1,0,3600, got {text!r}") from None
        return cls(alpha=alpha, beta=beta, gamma=gamma)

    def cost(self, totals: ScoreTotals) -> float:
        """The objective of one run's totals; lower is better."""
        waiting = self.alpha * totals.total_wait_s
        return waiting + self.beta * totals.running_s + self.gamma * totals.energy_kwh


CRITERIA: Mapping[str, ObjectiveWeights] = MappingProxyType(
    {
        "waiting": ObjectiveWeights(alpha=1, beta=0, gamma=0),
        "running": ObjectiveWeights(alpha=0, beta=1, gamma=0),
        "energy": ObjectiveWeights(alpha=0, beta=0, gamma=1),
    }
)
"""The paper's three criteria: total waiting, cumulative running time, energy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KappaTrial:
    """Totals over all validation samples under Value with one kappa (per kWh)."""

    kappa: float
    total_wait_s: float
    running_s: float
    energy_kwh: float


def check_tried(trials: Sequence[KappaTrial]) -> None:
    """Raises InputError when there is no trial."""
    if not trials:
        raise InputError("no kappa was tried; run kilowait lab tune-kappa again")


def best_kappa(trials: Sequence[KappaTrial], weights: ObjectiveWeights) -> KappaTrial:
    """The trial of lowest cost, the smallest kappa among equals; raises InputError when there is none."""
    check_tried(trials)
    return min(trials, key=lambda trial: (weights.cost(trial), trial.kappa))


def kappa_grid(low: float, high: float, per_decade: int) -> list[float]:
    """0, then `per_decade` values a decade from `low` to `high` (per kWh); raises InputError for an empty range."""
    if not (0 < low <= high < math.inf) or per_decade < 1:
        raise InputError(
            f"kappa needs 0 < low <= high and >= 1 value a decade, got {low!r}, {high!r} and {per_decade!r}"
        )
    steps = round((math.log10(high) - math.log10(low)) * per_decade)
    return [0.0] + [float(f"{low * 10 ** (k / per_decade):.6g}") for k in range(steps + 1)]
