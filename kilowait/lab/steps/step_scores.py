"""How far predicted steps are from measured ones, and what their intervals hold, a row a group."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kilowait.core.arrays import FloatArray, Mask
from kilowait.lab.steps.board_order import BoardOrder
from kilowait.predict.accuracy import accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedSteps:
    """Seconds of N steps, measured and predicted, with the ends of 90% intervals (NaN where there is none).

    `program` and `board` (N,) name what ran and where: equal names are one program.
    """

    measured: FloatArray
    predicted: FloatArray
    low: FloatArray
    high: FloatArray
    program: Sequence[str]
    board: Sequence[str]

    def taken(self, rows: Mask) -> "PredictedSteps":
        """Some of them (N,)."""
        return PredictedSteps(
            measured=self.measured[rows],
            predicted=self.predicted[rows],
            low=self.low[rows],
            high=self.high[rows],
            program=[name for name, is_taken in zip(self.program, rows, strict=True) if is_taken],
            board=[name for name, is_taken in zip(self.board, rows, strict=True) if is_taken],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepScore:
    """Errors of `n` steps of a group as shares of the measured time.

    `bias` is the geometric mean of predicted over measured, `r2_log` of logarithms (None where nothing varies),
    `coverage` the share of 90% intervals that hold, `width` the median factor from low to high end (None without
    intervals), and `needed_width` the one that this group's own errors would need. The rest is as in `BoardOrder`.
    """

    group: str
    n: int
    median_error: float
    mean_error: float
    bias: float
    r2_log: float | None
    coverage: float | None
    width: float | None
    needed_width: float
    pairs: int
    right_order: float | None
    a100_a6000_pairs: int
    a100_a6000_right: float | None
    long_pairs: int
    long_right_order: float | None
    a100_a6000_long_pairs: int
    a100_a6000_long_right: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def step_scores(steps: PredictedSteps, groups: Sequence[str]) -> list[StepScore]:
    """A score of each group (N,), in their order, and one of all."""
    names = np.array(groups)
    rows = [(name, names == name) for name in dict.fromkeys(groups)]
    return [_score(name, steps, mask) for name, mask in [*rows, ("all", np.ones(len(names), dtype=np.bool_))]]


def _score(name: str, all_steps: PredictedSteps, rows: Mask) -> StepScore:
    steps = all_steps.taken(rows)
    errors, log_ratio = accuracy(steps.measured, steps.predicted), np.log(steps.predicted / steps.measured)
    order = BoardOrder.of(steps.program, steps.board, steps.measured, steps.predicted)
    inside = (steps.low <= steps.measured) & (steps.measured <= steps.high)
    has_ends = bool(np.isfinite(steps.low).all())
    tail = 0.05
    return StepScore(
        group=name,
        n=errors.n,
        median_error=errors.median_ape,
        mean_error=errors.mape,
        bias=math.exp(float(log_ratio.mean())),
        r2_log=errors.r2_log,
        coverage=float(inside.mean()) if has_ends else None,
        width=float(np.median(steps.high / steps.low)) if has_ends else None,
        needed_width=math.exp(float(np.diff(np.quantile(log_ratio, [tail, 1 - tail]))[0])),
        pairs=order.pairs,
        right_order=order.right,
        a100_a6000_pairs=order.named_pairs,
        a100_a6000_right=order.named_right,
        long_pairs=order.long_pairs,
        long_right_order=order.long_right,
        a100_a6000_long_pairs=order.named_long_pairs,
        a100_a6000_long_right=order.named_long_right,
    )


def as_table(scores: Sequence[StepScore], predictors: Sequence[str] = ()) -> str:
    """Scores as text, a line each, with the `predictors` that they are of, where there are several."""
    head = ["steps", "n", "median", "mean", "pred/meas", "R2 log", "coverage", "width", "needed"]
    head = [
        *head,
        "order",
        "of",
        "A100:A6000",
        "of",
        "long",
        "of",
        "A100:A6000 long",
        "of",
        *(["predictor"] if predictors else []),
    ]
    lines = [
        [
            score.group,
            str(score.n),
            f"{score.median_error:.1%}",
            f"{score.mean_error:.1%}",
            f"{score.bias:.2f}",
            _written(score.r2_log, ".3f"),
            _written(score.coverage, ".1%"),
            _written(score.width, ".2f", "x"),
            f"{score.needed_width:.2f}x",
            _written(score.right_order, ".1%"),
            str(score.pairs),
            _written(score.a100_a6000_right, ".1%"),
            str(score.a100_a6000_pairs),
            _written(score.long_right_order, ".1%"),
            str(score.long_pairs),
            _written(score.a100_a6000_long_right, ".1%"),
            str(score.a100_a6000_long_pairs),
            *predictors[number : number + 1],
        ]
        for number, score in enumerate(scores)
    ]
    widths = [max(len(row[i]) for row in [head, *lines]) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *lines]
    )


def _written(value: float | None, how: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{how}}{unit}"
