"""Intervals of steps from errors of labels that were left out: what doubt is made of, and how many of it hold 90%.

The model names parts of its doubt (`model.EstimateInParts`); how much each counts is chosen so that errors of labels
left out are most probable under Student's t with four degrees of freedom. The ends are then the quantiles of errors in
units of that doubt. Every group (what was left out, of which source) weighs the same, however many labels it has.

Sources are few, and what one has in common (its hosts, its ways) is drawn once a source: the ends move out by
`intervals.few_effects`, and where whole sources are left out on until they would have held for each source by the
errors of the others. A host that nobody measured is doubted at least as much as the model expects hosts to differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from kilowait.core.arrays import FloatArray, Mask
from kilowait.core.jobs import INTERVAL_COVERAGE
from kilowait.predict.device_model.calibration import Quantiles
from kilowait.predict.intervals import few_effects, upper_quantile

TAILS = 4.0
LEAST = (1e-3, 1e-3, 1e-3, 0.12)
"""What the parts count for at least; the last is the variance of hosts and of their sources that the model expects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutErrors:
    """log measured - log predicted of M labels left out, parts of doubt (M, parts), group and source of each (M,).

    `label` (M,) says which one it was: the same label is left out once for each kind of novelty.
    """

    error: FloatArray
    doubts: FloatArray
    group: Sequence[str]
    source: Sequence[str]
    label: Sequence[str]

    @property
    def weights(self) -> FloatArray:
        """Of labels (M,): every group the same, 1 in all."""
        _, index, counts = np.unique(np.array(self.group), return_inverse=True, return_counts=True)
        return np.asarray(1 / (counts[index] * len(counts)))

    def without(self, rows: Mask) -> "LeftOutErrors":
        """Those of all labels but the ones in `rows` (M,), wherever else these were left out."""
        tested = {name for name, is_tested in zip(self.label, rows, strict=True) if is_tested}
        return self.taken([name not in tested for name in self.label])

    def of(self, *novelties: str) -> "LeftOutErrors":
        """Those where a family, a source, a type was left out: groups begin with that word."""
        return self.taken([group.startswith(novelties) for group in self.group])

    def taken(self, rows: Sequence[bool]) -> "LeftOutErrors":
        """Some of them."""
        mask = np.array(rows, dtype=np.bool_)
        group, source, label = (
            [name for name, taken in zip(names, mask, strict=True) if taken]
            for names in (self.group, self.source, self.label)
        )
        return LeftOutErrors(error=self.error[mask], doubts=self.doubts[mask], group=group, source=source, label=label)

    def scores(self, doubt: Sequence[float]) -> FloatArray:
        """The errors (M,) in units of doubt."""
        return np.asarray(self.error / np.sqrt(self.doubts @ np.array(doubt)))


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
    scores, weights = errors.scores(doubt), errors.weights
    order = np.argsort(scores)
    reached = np.cumsum(weights[order])
    tail = (1 - INTERVAL_COVERAGE) / 2
    low, high = (float(np.interp(level, reached, scores[order])) for level in (tail, 1 - tail))
    further = few_effects(scores, np.unique(np.array(errors.source), return_inverse=True)[1])
    return Quantiles(low=min(low * further, 0.0), high=max(high * further, 0.0), programs=len(scores))


def quantiles_for_a_source(errors: LeftOutErrors, doubt: Sequence[float]) -> Quantiles:
    """As `quantiles`, moved out by one factor until the others' would have held `INTERVAL_COVERAGE` of each source.

    That is of their mean, a source weighing as much as another; with fewer than three sources nothing is moved.
    """
    ends, sources = quantiles(errors, doubt), list(dict.fromkeys(errors.source))
    if len(sources) < 3:
        return ends
    needed = [_needed(errors, name, doubt) for name in sources]
    weights = np.concatenate([np.full(len(one), 1 / len(one) / len(sources)) for one in needed])
    factor = max(1.0, float(upper_quantile(np.concatenate(needed)[None], weights, INTERVAL_COVERAGE)[0]))
    return replace(ends, low=ends.low * factor, high=ends.high * factor)


def _needed(errors: LeftOutErrors, source: str, doubt: Sequence[float]) -> FloatArray:
    """By how much the other sources' ends must move out to hold each error of one source."""
    others = quantiles(errors.taken([name != source for name in errors.source]), doubt)
    scores = errors.taken([name == source for name in errors.source]).scores(doubt)
    end = np.where(scores > 0, others.high, others.low)
    return np.asarray(np.divide(scores, end, out=np.full(len(scores), np.inf), where=end != 0))
