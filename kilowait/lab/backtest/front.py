"""The trade of waiting against energy over the kappas that were tried: its Pareto front, and a point picked by a rule.

Not covered: points between trials; a finer grid of kappas finds them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from kilowait.core.errors import InputError
from kilowait.core.units import HOUR_S
from kilowait.lab.backtest.objective import KappaTrial, ObjectiveWeights, best_kappa, check_tried


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitBudget:
    """How much more total waiting than the best may be spent on saving energy: 0.05 is 5% above the best."""

    max_extra_wait: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_extra_wait) and self.max_extra_wait >= 0):
            raise InputError(f"max_extra_wait must be finite and >= 0, got {self.max_extra_wait!r}")

    @property
    def label(self) -> str:
        """What the rule is called in tables: "budget 5%"."""
        return f"budget {100 * self.max_extra_wait:g}%"

    def within(self, trials: Sequence[KappaTrial]) -> list[KappaTrial]:
        """The trials that the budget allows, those at the limit included; raises InputError when there is none."""
        limit_s = least_wait_s(trials) * (1 + self.max_extra_wait)
        return [trial for trial in trials if trial.total_wait_s <= limit_s]


Rule = ObjectiveWeights | WaitBudget
"""How a point is picked: the least of a weighted sum, or the least energy within a budget of waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """The trial that a rule picked, and why, in words."""

    rule: Rule
    trial: KappaTrial
    why: str


def pareto_front(trials: Sequence[KappaTrial]) -> list[KappaTrial]:
    """The trials that no other beats: none has as little waiting and as little energy, and less of one of them.

    In order of rising waiting, so of falling energy. Of several with the same two totals the smallest kappa stands
    for all. Raises InputError when there is no trial.
    """
    check_tried(trials)
    front: list[KappaTrial] = []
    for trial in sorted(trials, key=lambda t: (t.total_wait_s, t.energy_kwh, t.kappa)):
        if not front or trial.energy_kwh < front[-1].energy_kwh:
            front.append(trial)
    return front


def pick(trials: Sequence[KappaTrial], rule: Rule) -> Pick:
    """The point that `rule` picks; raises InputError when there is no trial."""
    match rule:
        case ObjectiveWeights():
            return Pick(rule=rule, trial=best_kappa(trials, rule), why=_weighed(trials, rule))
        case WaitBudget():
            allowed = rule.within(trials)
            best = min(allowed, key=lambda t: (t.energy_kwh, t.total_wait_s, t.kappa))
            return Pick(rule=rule, trial=best, why=_budgeted(trials, rule, best))
        case _:
            assert_never(rule)


def least_wait_s(trials: Sequence[KappaTrial]) -> float:
    """The smallest total waiting in seconds; raises InputError when there is no trial."""
    check_tried(trials)
    return min(trial.total_wait_s for trial in trials)


def _weighed(trials: Sequence[KappaTrial], rule: ObjectiveWeights) -> str:
    terms = f"{rule.alpha:g} waiting_s + {rule.beta:g} running_s + {rule.gamma:g} energy_kwh"
    return f"the least {terms} of {len(trials)} trials"


def _budgeted(trials: Sequence[KappaTrial], rule: WaitBudget, best: KappaTrial) -> str:
    least_s = least_wait_s(trials)
    return (
        f"the least energy, {best.energy_kwh:.6g} kWh, of the {len(rule.within(trials))} of {len(trials)} trials whose "
        f"waiting is at most {100 * rule.max_extra_wait:g}% above the best ({least_s / HOUR_S:.6g} h); "
        f"it waits {best.total_wait_s / HOUR_S:.6g} h"
    )
