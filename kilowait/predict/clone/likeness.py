"""Whether a clone does what it was cloned from: distributions of operations, FLOPs and bytes of two dry runs."""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kilowait.predict.dryrun.record import DryRun, Operation

AT_5_PERCENT = 1.358
"""Of the asymptotic two-sample Kolmogorov-Smirnov test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneLikeness:
    """Greatest differences of cumulative shares of calls by operator, FLOPs and bytes, and the `limit` at 5%.

    `flops_ratio` and `bytes_ratio` are the clone's totals over the original's.
    """

    operators: float
    flops: float
    bytes: float
    limit: float
    flops_ratio: float
    bytes_ratio: float

    @property
    def alike(self) -> bool:
        """Whether no difference passes the limit."""
        return max(self.operators, self.flops, self.bytes) <= self.limit


def likeness(original: DryRun, clone: DryRun) -> CloneLikeness:
    """Compare two dry runs, each call counted as often as it is made."""
    names = {
        name: float(i) for i, name in enumerate(sorted({op.op for op in (*original.operations, *clone.operations)}))
    }
    n, m = (sum(op.count for op in run.operations) for run in (original, clone))
    return CloneLikeness(
        operators=_distance(original, clone, lambda op: names[op.op]),
        flops=_distance(original, clone, _flops),
        bytes=_distance(original, clone, _bytes),
        limit=AT_5_PERCENT * math.sqrt((n + m) / (n * m)),
        flops_ratio=_total(clone, _flops) / max(_total(original, _flops), 1.0),
        bytes_ratio=_total(clone, _bytes) / max(_total(original, _bytes), 1.0),
    )


def _flops(op: Operation) -> float:
    return op.flops


def _bytes(op: Operation) -> float:
    return op.bytes_read + op.bytes_written


def _total(run: DryRun, amount: Callable[[Operation], float]) -> float:
    return sum(op.count * amount(op) for op in run.operations)


def _distance(first: DryRun, second: DryRun, amount: Callable[[Operation], float]) -> float:
    """The greatest difference of the two cumulative distributions."""
    shares: dict[float, float] = defaultdict(float)
    for run, sign in ((first, 1.0), (second, -1.0)):
        calls = sum(op.count for op in run.operations)
        for op in run.operations:
            shares[amount(op)] += sign * op.count / calls
    return float(np.abs(np.cumsum([shares[value] for value in sorted(shares)])).max())
