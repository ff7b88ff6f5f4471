"""How far predicted steps are from measured ones, and what their intervals hold, a row a group."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.predict.accuracy import accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedSteps:
    """Seconds of N steps, measured and predicted, with the ends of 90% intervals."""

    measured: FloatArray
    predicted: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class StepScore:
    """Errors of `n` steps of a group as shares of the measured time.

    `bias` is the geometric mean of predicted over measured, `r2_log` of logarithms (None where nothing varies),
    `coverage` the share of 90% intervals that hold, `width` the median factor from low to high end, and `needed_width`
    the one that this group's own errors would need.
    """

    group: str
    n: int
    median_error: float
    mean_error: float
    bias: float
    r2_log: float | None
    coverage: float
    width: float
    needed_width: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def step_scores(steps: PredictedSteps, groups: Sequence[str]) -> list[StepScore]:
    """A score of each group (N,), in their order, and one of all."""
    names = np.array(groups)
    rows = [(name, names == name) for name in dict.fromkeys(groups)]
    return [_score(name, steps, mask) for name, mask in [*rows, ("all", np.ones(len(names), dtype=np.bool_))]]


def _score(name: str, steps: PredictedSteps, rows: FloatArray) -> StepScore:
    measured, predicted = steps.measured[rows], steps.predicted[rows]
    errors, log_ratio = accuracy(measured, predicted), np.log(predicted / measured)
    inside = (steps.low[rows] <= measured) & (measured <= steps.high[rows])
    tail = 0.05
    return StepScore(
        group=name,
        n=errors.n,
        median_error=errors.median_ape,
        mean_error=errors.mape,
        bias=math.exp(float(log_ratio.mean())),
        r2_log=errors.r2_log,
        coverage=float(inside.mean()),
        width=float(np.median(steps.high[rows] / steps.low[rows])),
        needed_width=math.exp(float(np.diff(np.quantile(log_ratio, [tail, 1 - tail]))[0])),
    )


def as_table(scores: Sequence[StepScore]) -> str:
    """Scores as text, a line each."""
    head = ["steps", "n", "median", "mean", "pred/meas", "R2 log", "coverage", "width", "needed"]
    lines = [
        [
            score.group,
            str(score.n),
            f"{score.median_error:.1%}",
            f"{score.mean_error:.1%}",
            f"{score.bias:.2f}",
            "-" if score.r2_log is None else f"{score.r2_log:.3f}",
            f"{score.coverage:.1%}",
            f"{score.width:.2f}x",
            f"{score.needed_width:.2f}x",
        ]
        for score in scores
    ]
    widths = [max(len(row[i]) for row in [head, *lines]) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *lines]
    )
