"""Prediction intervals of a fitted device model, from out-of-fold residuals measured against its own sigma.

Split conformal on r = (log y - mu) / sigma, where neither the row's program nor, for a type that counts as new, the
type itself was in training: `intervals` has the rank and the weights of programs. The quantiles are kept instead of the
models behind them (cross-conformal rather than CV+: one model predicts, so a prediction takes milliseconds), and
the coverage is checked with the quantiles of the other folds.

Not covered: programs unlike those the residuals are from.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.errors import ModelError
from kilowait.core.jobs import INTERVAL_COVERAGE
from kilowait.predict.intervals import few_effects, program_weights, upper_quantile

PARTIAL_FACTOR = 2.0
"""By which both ends move out where a dry run is not whole but has seen an optimizer step.

From dry runs of 48 generated training scripts cut short at 0.5 and 1 s against their whole ones
(benchmarks/cut_short.py): of the 15 cut after an optimizer step the whole is 0.71 to 1.95 times as long. Of the 36 cut
before it all but 3 are 12 to 127,000 times as long: nothing is predicted from such a run (kilowait.predict.dry_runs).
Those are modelled times against modelled times.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """How many sigmas the ends lie from the logarithm of a prediction, and how many programs say so."""

    low: float
    high: float
    programs: int

    @classmethod
    def of(cls, scores: FloatArray, program: IntArray, device: IntArray | None = None) -> Self:
        """Of residuals in sigmas (m,) of the programs (m,); with too few for a finite end, the extremes.

        For new types `device` (m,) is the type of each, and the ends move out by `few_effects`.
        """
        scores = scores if device is None else scores * few_effects(scores, device)
        tail, weights = (1 - INTERVAL_COVERAGE) / 2, program_weights(program)
        high = float(upper_quantile(scores[None], weights, 1 - tail)[0])
        low = -float(upper_quantile(-scores[None], weights, 1 - tail)[0])
        return cls(
            low=low if math.isfinite(low) else float(scores.min()),
            high=high if math.isfinite(high) else float(scores.max()),
            programs=len(np.unique(program)),
        )

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`; raises TypeError or ValueError for anything else."""
        quantiles = cls(**found)
        if not (math.isfinite(quantiles.low) and math.isfinite(quantiles.high)):
            raise ValueError(f"quantiles of residuals must be finite, got {found}")
        return quantiles

    def around(self, value: float, sigma: float = 1.0) -> tuple[float, float]:
        """The low and the high end around a prediction > 0, which they never leave out."""
        return value * math.exp(min(0.0, self.low) * sigma), value * math.exp(max(0.0, self.high) * sigma)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Quantiles for types that the model was fitted on and for new ones; those of partial dry runs are widened."""

    measured: Quantiles
    new: Quantiles
    partial_factor: float = PARTIAL_FACTOR

    def ends(self, runtime_s: float, sigma: float, *, new: bool, whole: bool) -> tuple[float, float]:
        """The low and the high end around a prediction, in seconds."""
        low, high = (self.new if new else self.measured).around(runtime_s, sigma)
        factor = 1.0 if whole else self.partial_factor
        return low / factor, high * factor

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; raises ModelError for anything else."""
        try:
            measured, new = Quantiles.from_dict(found["measured"]), Quantiles.from_dict(found["new"])
            factor = float(found["partial_factor"])
            if not 1 <= factor < math.inf:
                raise ValueError(f"a factor for partial dry runs of {factor}")
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"not a calibration of a device model: {error!r}; fit it again") from error
        return cls(measured=measured, new=new, partial_factor=factor)


def coverage(scores: FloatArray, program: IntArray, fold: IntArray, device: IntArray | None = None) -> float:
    """The share of residuals (m,) inside the quantiles of the other folds' residuals; `device` as in `Quantiles.of`."""
    inside = np.zeros(len(scores), dtype=np.bool_)
    for k in np.unique(fold):
        in_fold = fold == k
        ends = Quantiles.of(scores[~in_fold], program[~in_fold], None if device is None else device[~in_fold])
        inside[in_fold] = (scores[in_fold] >= ends.low) & (scores[in_fold] <= ends.high)
    return float(inside.mean())
