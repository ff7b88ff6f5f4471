"""Prediction intervals from residuals of models that had seen neither the tested rows nor the residuals' own.

CV+ (Barber, Candes, Ramdas and Tibshirani 2021, "Predictive inference with the jackknife+", section 3) on the logarithm
of a metric: every calibration row i gives the value mu_i(x) + s_i(x) r_i, where mu_i and s_i are prediction and scale
of the model that left i out and r_i = (log y_i - mu_i(x_i)) / s_i(x_i); the ends are quantiles of these values at
5% and 95%, so that as much is missed below as above. Signed residuals let the two tails differ.

Labels of one program on several devices are not exchangeable with those of another: a program weighs as much as any
other, whatever its number of labels, and one further program stands at infinity (Lee, Barber and Willett 2023,
"Distribution-free inference with hierarchical data"). With a label a program this is the usual finite-sample
quantile, the ceil((n + 1) q)-th of n.

Mondrian (Vovk et al. 2005): residuals of the row's own category alone count (its device type; rows marked wide apart).
A category with too few programs for a finite end (19 are needed at 90%) takes the extremes over all categories; such
rows are counted in `borrowed`.

What residuals of one device type share where the type is new (its host, its generation) is drawn once a type, and types
are few: the values move away from the prediction by `few_effects`. That is Student's reasoning, not conformal's, whose
guarantee for a further type would need 19 types at 90%.

Programs count as exchangeable even where folds hold groups of them out together: with few large groups (families) the
coverage is 90% on average over groups, not a guarantee for the next one.

Not covered: covariate shift between calibration and test (a new family or corpus is outside the guarantee).
"""

from dataclasses import dataclass

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.errors import InputError
from kilowait.core.jobs import INTERVAL_COVERAGE

_FLOOR = 0.01
"""Added to absolute residuals before their logarithm: 1% is below any run-to-run noise."""
_SCALES = 4.0
"""A scale of the small model stays within this factor of the median scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Residuals:
    """M calibration rows in C calibrations: `value` (M,) is log y - mu of the model that left the row out.

    `calibration` (M,) says which model that was; `log_predicted` (M,) is its mu and `scale` (M,) its s.
    `cluster` (M,) is the row's program, `category` (M,) its Mondrian category. `effect` (M,) is its device type where
    the tested rows are of a further one.
    """

    value: FloatArray
    log_predicted: FloatArray
    scale: FloatArray
    calibration: IntArray
    cluster: IntArray
    category: IntArray
    effect: IntArray | None = None

    @property
    def scores(self) -> FloatArray:
        """Residuals in scales (M,), moved out by `few_effects`."""
        scores = self.value / self.scale
        return scores if self.effect is None else scores * few_effects(scores, self.effect)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalEnds:
    """Lower and upper ends (n,) of intervals, in logarithms, and how many rows borrowed them from all categories."""

    low: FloatArray
    high: FloatArray
    borrowed: int


def intervals(
    residuals: Residuals,
    log_predicted: FloatArray,
    scale: FloatArray,
    category: IntArray,
    coverage: float = INTERVAL_COVERAGE,
) -> IntervalEnds:
    """Intervals of n tested rows, from what each calibration's model says of them: both (C, n); category (n,).

    Raises InputError when there is no residual at all.
    """
    if len(residuals.value) == 0:
        raise InputError("no residual to calibrate intervals with")
    tail = (1 - coverage) / 2
    low, high = np.full(len(category), -np.inf), np.full(len(category), np.inf)
    for value in np.unique(category):
        rows, residual_rows = np.flatnonzero(category == value), np.flatnonzero(residuals.category == value)
        if len(residual_rows):
            values, weights = _values(residuals, residual_rows, log_predicted[:, rows], scale[:, rows])
            high[rows] = upper_quantile(values, weights, 1 - tail)
            low[rows] = -upper_quantile(-values, weights, 1 - tail)
    lacking = ~np.isfinite(low) | ~np.isfinite(high)
    if lacking.any():
        all_rows = np.arange(len(residuals.value))
        values, _ = _values(residuals, all_rows, log_predicted[:, lacking], scale[:, lacking])
        low[lacking], high[lacking] = values.min(1), values.max(1)
    return IntervalEnds(low=low, high=high, borrowed=int(lacking.sum()))


def _values(
    residuals: Residuals, rows: IntArray, log_predicted: FloatArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The values (n, m) that m residuals give n tested rows, and the residuals' weights (m,)."""
    c = residuals.calibration[rows]
    values = log_predicted[c] + scale[c] * residuals.scores[rows][:, None]
    return values.T, program_weights(residuals.cluster[rows])


def program_weights(cluster: IntArray) -> FloatArray:
    """1 / (G + 1) for each of G programs, shared evenly by its rows (m,); what is left over stands at infinity."""
    _, index, counts = np.unique(cluster, return_inverse=True, return_counts=True)
    weights: FloatArray = 1 / (counts[index] * (len(counts) + 1))
    return weights


def few_effects(scores: FloatArray, effect: IntArray, coverage: float = INTERVAL_COVERAGE) -> float:
    """By how much quantiles of scores (m,) must be stretched for a further effect like the few in `effect` (m,).

    Scores are an effect's mean and a remainder. Of G effects known, a further one lies within t(G - 1) sqrt(1 + 1 / G)
    standard deviations, where a normal quantile counts on knowing all; the remainder needs no stretching. 1 for a
    single effect, of which nothing is known.
    """
    from scipy.stats import norm, t  # takes a second to load, and a prediction does not need it

    _, index, counts = np.unique(effect, return_inverse=True, return_counts=True)
    groups = len(counts)
    if groups < 2:
        return 1.0
    means = np.bincount(index, weights=scores) / counts
    within = float(((scores - means[index]) ** 2).sum() / max(len(scores) - groups, 1))
    between = max(float(means.var(ddof=1)) - within * float((1 / counts).mean()), 0.0)
    level = (1 + coverage) / 2
    stretch = (t.ppf(level, groups - 1) / norm.ppf(level)) ** 2 * (1 + 1 / groups)
    return float(np.sqrt((within + between * stretch) / (within + between))) if between else 1.0


def upper_quantile(values: FloatArray, weights: FloatArray, level: float) -> FloatArray:
    """The least of values (n, m) up to which the weights (m,) come to `level`; infinity where they do not (n,)."""
    order = np.argsort(values, axis=1)
    reaches_level = np.cumsum(weights[order], axis=1) >= level - 1e-12
    sorted_values = np.take_along_axis(values, order, axis=1)
    first = reaches_level.argmax(1)
    return np.where(reaches_level.any(1), sorted_values[np.arange(len(values)), first], np.inf)


def fitted_scale(residual: FloatArray, log_predicted: FloatArray, at: FloatArray) -> FloatArray:
    """How large residuals (m,) are where models predict `at`: exp of a parabola fitted to log(|residual| + 1%).

    Short programs are launch-bound and noisy, and rare long ones are far from any other: the size of an error goes
    with the prediction. Within a factor of 4 of the median; 1 where there are fewer than 10 residuals.
    """
    if len(residual) < 10:
        return np.ones_like(at)
    center, spread = log_predicted.mean(), log_predicted.std() or 1.0

    def columns(values: FloatArray) -> FloatArray:
        z = np.clip((values - center) / spread, -2.5, 2.5)  # a parabola says nothing beyond its points
        return np.stack([np.ones_like(z), z, z * z], axis=-1)

    target = np.log(np.abs(residual) + _FLOOR)
    design = columns(log_predicted)
    weights = np.linalg.solve(design.T @ design + 1e-3 * len(target) * np.diag([0.0, 1.0, 1.0]), design.T @ target)
    middle = float(np.median(design @ weights))
    scale: FloatArray = np.exp(np.clip(columns(at) @ weights, middle - np.log(_SCALES), middle + np.log(_SCALES)))
    return scale
