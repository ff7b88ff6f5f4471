"""A correction: what the measured jobs of a site say of the next one, with how sure they are.

Posterior mean and variance of a Gaussian process (Rasmussen and Williams 2006, equations 2.25 and 2.26) on the
residuals of run time and, apart, of power. The energy of a job is its run time times its power, so its residual is the
sum of both: jobs whose energy nobody metered still teach their run time, and with it the energy of the next.

Not covered: metrics beside run time and energy, which pass as they are.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.linalg.lapack import dtrtri

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import ModelError
from kilowait.core.jobs import Prediction
from kilowait.predict.correction.covariance import JobFeatures, Likeness, Variances, Vectors, VectorSpace
from kilowait.predict.device_model.calibration import Quantiles

MARK = "+correction"
"""At the end of the features of a prediction that was corrected."""
BAND = 250
"""Rows of a triangular matrix that are kept together."""
RUNTIME, ENERGY = "runtime_s", "energy_j"


@dataclass(frozen=True)
class ResidualProcess:
    """One metric's process: n measured `jobs` and their residuals (n,), winsorised, under `variances`."""

    jobs: JobFeatures
    residual: FloatArray
    variances: Variances

    def posterior(self, sought: JobFeatures) -> tuple[FloatArray, FloatArray]:
        """Mean and variance (m,) of the residual of the next run of each job sought, its noise included."""
        prior = np.full(len(sought), self.variances.signal)
        if not len(self.jobs):
            return np.zeros(len(sought)), prior + self.variances.noise
        cross_covariance = Likeness.between(sought, self.jobs).covariance(self.variances)
        whitener, weights = self._solved
        single = np.ascontiguousarray(cross_covariance.T, dtype=np.float32)
        explained = np.zeros(len(sought))
        for rows in whitener:
            reduced = rows @ single[: rows.shape[1]]
            explained += np.einsum("ij,ij->j", reduced, reduced)
        return cross_covariance @ weights, np.maximum(prior - explained, 0.0) + self.variances.noise

    @cached_property
    def _solved(self) -> tuple[list[NDArray[np.float32]], FloatArray]:
        """The inverse (n, n) of the covariance's factor, and the covariance's inverse times the residuals (n,).

        The first is read whole at every prediction, hence in single precision (a sum of squares cancels nothing) and
        as bands of rows without most of its zeros.
        """
        covariance = Likeness.among(self.jobs).covariance(self.variances)
        covariance[np.diag_indices_from(covariance)] += self.variances.noise
        factor = cholesky(covariance, lower=True, overwrite_a=True)
        weights: FloatArray = cho_solve((factor, True), self.residual)
        inverse, _ = dtrtri(factor, lower=1)
        lower, size = np.tril(inverse).astype(np.float32), len(inverse)
        return [
            lower[start : start + BAND, : min(start + BAND, size)].copy() for start in range(0, size, BAND)
        ], weights


@dataclass(frozen=True, kw_only=True)
class Correction:
    """The processes of run time and of power in one space, for predictions of `base_version`.

    `quantiles` by metric (runtime_s, energy_j) say how many standard deviations the ends of a 90% interval lie from
    the mean; a metric without them gets no interval. `pretended` marks what was learnt from a test's stand-ins: it
    speaks only of the GPU types that it was learnt on. `training` is for people: how many jobs, until when.
    """

    base_version: str
    space: VectorSpace
    runtime: ResidualProcess
    power: ResidualProcess
    quantiles: Mapping[str, Quantiles] = field(default_factory=dict)
    pretended: bool = False
    training: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def gpu_types(self) -> frozenset[str]:
        """The types that it has measured jobs of."""
        return frozenset(self.runtime.jobs.gpu_type)

    def ready(self) -> "Correction":
        """Itself, once what the first prediction would wait for is computed."""
        for process in (self.runtime, self.power):
            if len(process.jobs):
                _ = process._solved, process.jobs.places, process.jobs.squares
        return self

    def sought(self, gpu_types: tuple[str, ...], source: str, owner: str, vector: Vectors) -> JobFeatures:
        """A source on each of `gpu_types`; raises ModelError for a vector (d,) of another length."""
        if vector.shape != self.space.center.shape:
            raise ModelError(
                f"the correction takes embeddings of {len(self.space.center)} numbers, got {vector.shape[-1]}; "
                "it was made for another predictor: refit"
            )
        count = len(gpu_types)
        return JobFeatures(
            gpu_type=gpu_types,
            source=(source,) * count,
            owner=(owner,) * count,
            vector=np.zeros(count, dtype=np.int64),
            vectors=self.space.place(vector[None]),
        )

    def apply(
        self, predictions: Mapping[str, Prediction], *, source: str, owner: str, vector: Vectors, version: str = ""
    ) -> dict[str, Prediction]:
        """`predictions` by GPU type, corrected for a source (hash, vector (d,)); `version` names the correction.

        Without measured jobs, and on types that a pretended correction does not know, they are returned as they are.
        """
        types = tuple(t for t in predictions if len(self.runtime.jobs) and (not self.pretended or t in self.gpu_types))
        if not types:
            return dict(predictions)
        residuals = self.residuals(self.sought(types, source, owner, vector))
        index = {gpu_type: i for i, gpu_type in enumerate(types)}
        return {
            t: self._corrected(
                prediction, {m: (mean[index[t]], sd[index[t]]) for m, (mean, sd) in residuals.items()}, version
            )
            if t in index
            else prediction
            for t, prediction in predictions.items()
        }

    def residuals(self, sought: JobFeatures) -> dict[str, tuple[FloatArray, FloatArray]]:
        """By metric (runtime_s, energy_j), mean and standard deviation (m,) of the residual of each job."""
        mean, variance = self.runtime.posterior(sought)
        watts, watts_variance = self.power.posterior(sought)
        return {
            RUNTIME: (mean, np.sqrt(variance)),
            ENERGY: (mean + watts, np.sqrt(variance + watts_variance)),
        }

    def _corrected(
        self, prediction: Prediction, residuals: Mapping[str, tuple[float, float]], version: str
    ) -> Prediction:
        """One prediction, corrected; a metric without quantiles keeps its interval, scaled like the prediction."""
        runtime = (prediction.runtime_low_s, prediction.runtime_s, prediction.runtime_high_s)
        energy = (prediction.energy_low_kwh, prediction.energy_kwh, prediction.energy_high_kwh)
        runtime_low_s, runtime_s, runtime_high_s = _scaled(runtime, *residuals[RUNTIME], self.quantiles.get(RUNTIME))
        energy_low_kwh, energy_kwh, energy_high_kwh = _scaled(energy, *residuals[ENERGY], self.quantiles.get(ENERGY))
        seconds = runtime_s / prediction.runtime_s
        kwh = energy_kwh / prediction.energy_kwh if prediction.energy_kwh else 1.0
        return replace(
            prediction,
            limits=tuple(limit.scaled(seconds, kwh) for limit in prediction.limits),
            runtime_s=runtime_s,
            runtime_low_s=runtime_low_s,
            runtime_high_s=runtime_high_s,
            energy_kwh=energy_kwh,
            energy_low_kwh=energy_low_kwh,
            energy_high_kwh=energy_high_kwh,
            probe_version=f"{prediction.probe_version}+{version}" if version else prediction.probe_version,
            features=prediction.features + MARK,
        )


Ends = tuple[float | None, float, float | None]
"""Low end, point and high end of a prediction."""


def _scaled(base: Ends, mean: float, sd: float, quantiles: Quantiles | None) -> Ends:
    """A prediction times exp(mean), its interval by the quantiles of the standard deviation where there are some."""
    low, point, high = base
    factor = math.exp(mean)
    scaled = point * factor
    if quantiles is None or not scaled:
        return None if low is None else low * factor, scaled, None if high is None else high * factor
    return scaled * math.exp(min(0.0, quantiles.low) * sd), scaled, scaled * math.exp(max(0.0, quantiles.high) * sd)
