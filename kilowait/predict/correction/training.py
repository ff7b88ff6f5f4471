"""A correction from measured jobs, and the ends of its intervals from jobs that it has not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.errors import InputError
from kilowait.core.jobs import INTERVAL_COVERAGE
from kilowait.predict.correction.correction import ENERGY, RUNTIME, Correction, ResidualProcess
from kilowait.predict.correction.covariance import (
    NAMES,
    JobFeatures,
    Likeness,
    Variances,
    Vectors,
    VectorSpace,
)
from kilowait.predict.correction.evidence import LIMIT, most_likely, winsorised
from kilowait.predict.device_model.calibration import Quantiles

MOST = 2000
"""Newest jobs that a correction is made of: a prediction then takes milliseconds."""
WEIGHED = 300
"""Newest jobs by which the variances are chosen."""
ENOUGH = 19
"""Sources from which on quantiles of 5% and 95% are among the residuals themselves (kilowait.predict.intervals)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredJobs:
    """n measured jobs, the oldest first: names (n,), vectors (n, d), and log(measured / predicted) (n,) by metric.

    `energy` is NaN where no meter read it.
    """

    gpu_type: Sequence[str]
    source: Sequence[str]
    owner: Sequence[str]
    vectors: Vectors
    runtime: FloatArray
    energy: FloatArray

    def __post_init__(self) -> None:
        if not np.isfinite(self.runtime).all() or np.isinf(self.energy).any() or not np.isfinite(self.vectors).all():
            raise InputError("run times, energies and vectors of measured jobs must be finite; drop those that are not")

    def __len__(self) -> int:
        return len(self.runtime)

    def where(self, chosen: IntArray) -> "MeasuredJobs":
        """The jobs of these indices (m,)."""
        gpu_type, source, owner = (tuple(getattr(self, name)[i] for i in chosen) for name in NAMES)
        return MeasuredJobs(
            gpu_type=gpu_type,
            source=source,
            owner=owner,
            vectors=self.vectors[chosen],
            runtime=self.runtime[chosen],
            energy=self.energy[chosen],
        )

    def jobs(self, space: VectorSpace) -> JobFeatures:
        """The jobs as the kernel takes them: every source's vector once."""
        _, first_job, vector = np.unique(np.array(self.source, dtype=object), return_index=True, return_inverse=True)
        vectors = space.place(self.vectors[first_job])
        return JobFeatures(gpu_type=self.gpu_type, source=self.source, owner=self.owner, vector=vector, vectors=vectors)


def train(
    measured: MeasuredJobs,
    base_version: str,
    *,
    like: Correction | None = None,
    without: Sequence[str] = (),
    pretended: bool = False,
    training: Mapping[str, float] | None = None,
    limit: float = LIMIT,
) -> Correction:
    """The correction of the newest MOST of `measured`; parts of the kernel in `without` are left out.

    Residuals are winsorised at `limit` standard deviations. With `like` the variances and quantiles are those of
    another correction: its recipe on more jobs.
    Raises InputError where nothing was measured.
    """
    if not len(measured):
        raise InputError("no measured job to learn from")
    measured = measured.where(np.arange(max(0, len(measured) - MOST), len(measured)))
    space = VectorSpace.of(measured.jobs(_identity(measured.vectors.shape[1])).vectors)
    metered = np.flatnonzero(np.isfinite(measured.energy))
    watts = measured.where(metered)
    of_runtime, of_power = (like.runtime.variances, like.power.variances) if like else (None, None)
    return Correction(
        base_version=base_version,
        space=space,
        runtime=_process(measured.jobs(space), measured.runtime, of_runtime, without, limit),
        power=_process(watts.jobs(space), watts.energy - watts.runtime, of_power, without, limit),
        quantiles=like.quantiles if like else {},
        pretended=pretended,
        training=dict(training or {}),
    )


def calibrated(correction: Correction, newer: MeasuredJobs) -> Correction:
    """The correction with interval ends from the residuals of `newer` jobs, in its own standard deviations.

    Split conformal by source, as in kilowait.predict.device_model.calibration; with fewer than ENOUGH sources an end
    is the wider of the extreme residual and the normal quantile.
    """
    quantiles = {}
    for metric, residual in ((RUNTIME, newer.runtime), (ENERGY, newer.energy)):
        rows = np.flatnonzero(np.isfinite(residual))
        if len(rows):
            mean, sd = correction.residuals(newer.where(rows).jobs(correction.space))[metric]
            quantiles[metric] = _quantiles((residual[rows] - mean) / sd, newer.where(rows).source)
    return replace(correction, quantiles=quantiles)


def _process(
    jobs: JobFeatures, residual: FloatArray, variances: Variances | None, without: Sequence[str], limit: float
) -> ResidualProcess:
    if not len(jobs):
        return ResidualProcess(jobs, residual, variances or Variances())
    if variances is None:
        newest = np.arange(max(0, len(jobs) - WEIGHED), len(jobs))
        recent = jobs.where(newest)
        variances = most_likely(Likeness.among(recent), residual[newest], without=without, limit=limit)
    likeness = Likeness.among(jobs)
    return ResidualProcess(jobs, winsorised(likeness, residual, variances, limit), variances)


def _quantiles(scores: FloatArray, source: Sequence[str]) -> Quantiles:
    names = {name: i for i, name in enumerate(dict.fromkeys(source))}
    quantiles = Quantiles.of(scores, np.array([names[name] for name in source]))
    if quantiles.programs >= ENOUGH:
        return quantiles
    normal = float(norm.ppf((1 + INTERVAL_COVERAGE) / 2))
    return replace(quantiles, low=min(quantiles.low, -normal), high=max(quantiles.high, normal))


def _identity(numbers: int) -> VectorSpace:
    return VectorSpace(center=np.zeros(numbers, dtype=np.float32), spread=np.ones(numbers, dtype=np.float32))
