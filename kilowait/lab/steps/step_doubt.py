"""Intervals of steps from errors of labels that were left out: what doubt is made of, and how many of it hold 90%.

The model names parts of its doubt (`model.EstimateInParts`); how much each counts is chosen so that errors of labels
left out are most probable under Student's t with four degrees of freedom. The ends are then the quantiles of errors in
units of that doubt. Every group (what was left out, of which source) weighs the same, however many labels it has.

Sources are few, and what one has in common (its hosts, its ways) is drawn once a source: the ends move out by
`intervals.few_effects`. A host that nobody measured is doubted at least as much as the model expects hosts to differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from kilowait.core.arrays import FloatArray
from kilowait.core.jobs import INTERVAL_COVERAGE
from kilowait.predict.device_model.calibration import Quantiles
from kilowait.predict.intervals import few_effects

TAILS = 4.0
LEAST = (1e-3, 1e-3, 1e-3, 0.12)
"""What the parts count for at least; the last is the variance of hosts and of their sources that the model expects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutErrors:
    """log measured - log predicted of M labels left out, parts of doubt (M, parts), group and source of each (M,)."""

    error: FloatArray
    doubts: FloatArray
    group: Sequence[str]
    source: Sequence[str]

    @property
    def weights(self) -> FloatArray:
        """Of labels (M,): every group the same, 1 in all."""
        _, index, counts = np.unique(np.array(self.group), return_inverse=True, return_counts=True)
        return np.asarray(1 / (counts[index] * len(counts)))

    def without(self, group: str) -> "LeftOutErrors":
        """Those of the other groups."""
        return self.taken([name != group for name in self.group])

    def taken(self, rows: Sequence[bool]) -> "LeftOutErrors":
        """Some of them."""
        mask = np.array(rows, dtype=np.bool_)
        group, source = (
            [name for name, taken in zip(names, mask, strict=True) if taken] for names in (self.group, self.source)
        )
        return LeftOutErrors(error=self.error[mask], doubts=self.doubts[mask], group=group, source=source)


def fitted_doubt(errors: LeftOutErrors) -> tuple[float, ...]:
    """The weights of the parts of doubt under which the errors are most probable."""
    weights, least = errors.weights, np.array(LEAST[: errors.doubts.shape[1]])

    def surprise(logs: FloatArray) -> float:
        variance = errors.doubts @ (np.exp(logs) + least)
        terms = 0.5 * np.log(variance) + (TAILS + 1) / 2 * np.log1p(errors.error**2 / (TAILS * variance))
        return float(weights @ terms)

    found = minimize(surprise, np.zeros(errors.doubts.shape[1]), method="Nelder-Mead", options={"maxiter": 4000})
    return tuple((np.exp(found.x) + least).tolist())


def quantiles(errors: LeftOutErrors, doubt: Sequence[float]) -> Quantiles:
    """The ends between which `INTERVAL_COVERAGE` of the errors lie, in units of doubt, groups weighing the same."""
    scores, weights = errors.error / np.sqrt(errors.doubts @ np.array(doubt)), errors.weights
    order = np.argsort(scores)
    reached = np.cumsum(weights[order])
    tail = (1 - INTERVAL_COVERAGE) / 2
    low, high = (float(np.interp(level, reached, scores[order])) for level in (tail, 1 - tail))
    further = few_effects(scores, np.unique(np.array(errors.source), return_inverse=True)[1])
    return Quantiles(low=min(low * further, 0.0), high=max(high * further, 0.0), programs=len(scores))
