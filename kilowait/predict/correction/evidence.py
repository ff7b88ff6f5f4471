"""How much each part of a residual weighs: the variances under which the measured jobs are most likely.

The logarithm of the marginal likelihood (Rasmussen and Williams 2006, equation 5.8; gradient 5.9) by L-BFGS, from a
weak log-normal prior around `Variances()`, so that a handful of jobs does not lead anywhere far; the width of nearness
is tried on a small grid. The scale of the prior is a factor of e^1.5.

Robust to a meter that failed: a residual that lies further than `LIMIT` standard deviations from what the other jobs
say of it (leave-one-out, equations 5.10 to 5.12) is winsorised to that distance, before the first fit under the prior's
middle and again under what was fitted. What several jobs of a source say alike is left as it is.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from kilowait.core.arrays import FloatArray
from kilowait.predict.correction.covariance import PARTS, Likeness, Variances

WIDTHS = (0.3, 0.5, 0.7, 1.0)
"""Of nearness, in median distances between sources."""
PRIOR_SD = 1.5
"""Of the logarithm of a variance around that of `Variances()`."""
LIMIT = 2.5
"""Standard deviations. With 5% of the measurements off by a factor of 100, 2.5 has the errors nearest to those without;
with none off it costs nothing (benchmarks/refit.py)."""
ROUNDS = 4
STEPS = 40
BOUNDS = (-9.2, 3.0)
"""Of the logarithm of a variance: 1e-4 (no label is had to better than 1%) to 20 (a factor of e^4.5)."""
FITTED = (*PARTS, "noise")


def most_likely(
    likeness: Likeness,
    residual: FloatArray,
    *,
    without: Sequence[str] = (),
    widths: Sequence[float] = WIDTHS,
    limit: float = LIMIT,
) -> Variances:
    """The variances of the residuals (n,), once more for those winsorised by them. Parts in `without` are held at 0."""
    start = replace(Variances(), **dict.fromkeys(without, 0.0))
    clipped = winsorised(likeness, residual, start, limit)
    _, variances = min((_fit(likeness, clipped, replace(start, width=w)) for w in widths), key=lambda fit: fit[0])
    return _fit(likeness, winsorised(likeness, residual, variances, limit), variances)[1]


def winsorised(likeness: Likeness, residual: FloatArray, variances: Variances, limit: float = LIMIT) -> FloatArray:
    """`residual` (n,), each clipped to `limit` standard deviations around what the others predict for it.

    In rounds, so that what the first round cut back no longer counts against its neighbours.
    """
    clipped = residual
    inverse = np.linalg.inv(_with_noise(likeness.covariance(variances), variances.noise))
    precision = np.diag(inverse)
    for _ in range(ROUNDS):
        mean, reach = clipped - inverse @ clipped / precision, limit / np.sqrt(precision)
        clipped = np.clip(residual, mean - reach, mean + reach)
    return clipped


def _fit(likeness: Likeness, y: FloatArray, start: Variances) -> tuple[float, Variances]:
    """The least negative log evidence of y (n,) from `start` on, at its width; variances of 0 stay 0."""
    names = [name for name in FITTED if getattr(start, name) > 0]
    matrices = [*(m for name, m in likeness.parts(start.width).items() if name in names), np.eye(len(y))]
    center, logs = (np.log([getattr(variances, name) for name in names]) for variances in (Variances(), start))
    result = minimize(_loss, logs, (matrices, y, center), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    scales = np.exp(np.clip(result.x, *BOUNDS)).tolist()
    return float(result.fun), replace(start, **dict(zip(names, scales, strict=True)))


def _loss(
    logs: FloatArray, matrices: Sequence[FloatArray], y: FloatArray, center: FloatArray
) -> tuple[float, FloatArray]:
    """Negative logarithm of evidence and prior at the log variances (p,), and its gradient (p,)."""
    variances = np.exp(np.clip(logs, *BOUNDS))
    covariance = sum(v * m for v, m in zip(variances, matrices, strict=True))
    factor = cho_factor(covariance, lower=True)
    alpha, inverse = cho_solve(factor, y), cho_solve(factor, np.eye(len(y)))
    deviation = (logs - center) / PRIOR_SD
    value = 0.5 * y @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * deviation @ deviation
    outer = inverse - np.outer(alpha, alpha)
    gradient = 0.5 * variances * np.array([np.vdot(outer, m) for m in matrices]) + deviation / PRIOR_SD
    return float(value), gradient


def _with_noise(covariance: FloatArray, noise: float) -> FloatArray:
    noisy: FloatArray = covariance + noise * np.eye(len(covariance))
    return noisy
