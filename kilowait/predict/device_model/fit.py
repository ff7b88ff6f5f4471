"""Learn the efficiencies of operations from run times of whole programs.

Only sums are measured, so the functions of `efficiency` are inferred through them: by Gauss-Newton steps on the
most probable functions, each a Gaussian process regression on the totals linearised at the last functions
(Rasmussen and Williams 2006, section 2.2 and, for the approximation, 3.4). A function is a weighted sum of covariances
with the works of the training programs; the weights (U, D) are all that is kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.errors import InputError
from kilowait.predict.device_model.efficiency import (
    Across,
    Marks,
    Terms,
    device_terms,
    host_terms,
    over_devices,
    program_terms,
)
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.workload import Baseline, Workload, WorkloadTotals, totals

STEPS = 6
"""Gauss-Newton steps at most: five are enough on hundreds of programs."""
SETTLED = 1e-4
"""A step that improves the objective by less than this share a row is the last."""
DAMPING = (1.0, 0.5, 0.25, 0.1)


@dataclass(frozen=True, slots=True)
class MeasuredTimes:
    """N run times: program and device index a workload's programs and the devices, log_s are natural logarithms."""

    program: IntArray
    device: IntArray
    log_s: FloatArray


@dataclass(frozen=True, slots=True)
class EfficiencyWeights:
    """What was learned: of works on the device and on the host (U, D), of programs (P, D).

    `evidence` is the logarithm of the run times' probability under the terms, in the linearised model.
    """

    device: FloatArray
    host: FloatArray
    program: FloatArray
    evidence: float = -math.inf

    def towards(self, other: "EfficiencyWeights", share: float) -> "EfficiencyWeights":
        """Part of the way to other weights."""
        return EfficiencyWeights(
            self.device + share * (other.device - self.device),
            self.host + share * (other.host - self.host),
            self.program + share * (other.program - self.program),
            other.evidence,
        )


@dataclass(frozen=True, slots=True)
class _Space:
    """Covariances among the training works and devices."""

    device: dict[Across, FloatArray]
    host: dict[Across, FloatArray]
    over: dict[Across, FloatArray]
    program: FloatArray


@dataclass(frozen=True, slots=True)
class _State:
    """Functions at some weights, the totals they give, and the objective (smaller is more probable)."""

    weights: EfficiencyWeights
    device: FloatArray
    host: FloatArray
    program: FloatArray
    totals: WorkloadTotals
    objective: float


@dataclass(slots=True)
class FitProblem:
    """Run times `measured` of the programs of `load` on `devices`; `terms` say what to expect of efficiencies."""

    load: Workload
    devices: Sequence[Specification]
    measured: MeasuredTimes
    terms: Terms
    tf32: bool = False

    def solve(self) -> EfficiencyWeights:
        """The most probable weights; raises InputError for run times that are none."""
        if not len(self.measured.log_s) or not np.isfinite(self.measured.log_s).all():
            raise InputError("the device model needs run times > 0 of at least one program, all finite")
        baseline, space = Baseline.of(self.load.columns, self.devices, tf32=self.tf32), self._space()
        u, d = self.load.size, len(self.devices)
        zero_weights = EfficiencyWeights(np.zeros((u, d)), np.zeros((u, d)), np.zeros((self.load.programs, d)))
        noise = np.full(len(self.measured.log_s), self.terms.noise**2)
        state = self._state(baseline, space, zero_weights, noise)
        for _ in range(STEPS):
            noise = self._noise(state.totals)
            previous = self._state(baseline, space, state.weights, noise)
            state = self._step(baseline, space, previous, noise)
            if previous.objective - state.objective < SETTLED * len(noise):
                break
        return state.weights

    def _space(self) -> _Space:
        marks = Marks.of(self.load.columns.works)
        over = over_devices(self.terms, self.devices, self.devices)
        return _Space(
            device=device_terms(self.terms, marks, marks),
            host=host_terms(self.terms, marks, marks),
            over=over,
            program=program_terms(self.terms, over),
        )

    def _noise(self, workload_totals: WorkloadTotals) -> FloatArray:
        """Variance of each row: where the host limits, run times vary more."""
        share = np.stack(
            [self.load.incidence(workload_totals.host_share[:, j]).sum(1).A1 for j in range(len(self.devices))], axis=1
        )
        rows = share[self.measured.program, self.measured.device]
        return np.asarray(self.terms.noise**2 + (self.terms.host_noise * rows) ** 2)

    def _state(self, baseline: Baseline, space: _Space, weights: EfficiencyWeights, noise: FloatArray) -> _State:
        device = applied(space.device, weights.device, space.over)
        host = applied(space.host, weights.host, space.over)
        program = weights.program @ space.program
        workload_totals = totals(self.load, baseline.device + device, baseline.host + host, baseline.corner)
        residual = self.measured.log_s - self._rows(workload_totals.log_s + program)
        prior = (weights.device * device).sum() + (weights.host * host).sum() + (weights.program * program).sum()
        return _State(
            weights, device, host, program, workload_totals, float(0.5 * (prior + (residual**2 / noise).sum()))
        )

    def _rows(self, values: FloatArray) -> FloatArray:
        return np.asarray(values[self.measured.program, self.measured.device])

    def _step(self, baseline: Baseline, space: _Space, state: _State, noise: FloatArray) -> _State:
        """One Gauss-Newton step, shortened until it improves; the same state when none does."""
        target = self._regression(space, state, noise)
        for share in DAMPING:
            candidate = self._state(baseline, space, state.weights.towards(target, share), noise)
            if candidate.objective < state.objective:
                return candidate
        return state

    def _regression(self, space: _Space, state: _State, noise: FloatArray) -> EfficiencyWeights:
        """Gaussian process regression on the totals linearised at `state`."""
        rows_device = self._shares(state.totals.device_share)
        rows_host = self._shares(state.totals.host_share)
        gram = self._gram(space, rows_device, rows_host)
        gram[np.diag_indices_from(gram)] += noise
        linear = rows_device.multiply(state.device.T[self.measured.device]).sum(1).A1
        linear += rows_host.multiply(state.host.T[self.measured.device]).sum(1).A1
        target = self.measured.log_s - self._rows(state.totals.log_s) + linear
        factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
        alpha = cho_solve(factor, target, check_finite=False)
        evidence = -0.5 * target @ alpha - np.log(np.diag(factor[0])).sum() - 0.5 * len(alpha) * math.log(2 * math.pi)
        program = np.zeros((self.load.programs, len(self.devices)))
        program[self.measured.program, self.measured.device] = alpha
        return EfficiencyWeights(
            self._pulled(rows_device, alpha), self._pulled(rows_host, alpha), program, evidence=float(evidence)
        )

    def _shares(self, shares: FloatArray) -> sparse.csr_matrix:
        """d log T / d log t of every row by every work (N, U)."""
        by_device = [self.load.incidence(shares[:, j]) for j in range(len(self.devices))]
        stacked = sparse.vstack(by_device, format="csr")
        return sparse.csr_matrix(stacked[self.measured.device * self.load.programs + self.measured.program])

    def _gram(self, space: _Space, device: sparse.csr_matrix, host: sparse.csr_matrix) -> FloatArray:
        """Covariance of all rows (N, N)."""
        device_index, program_index = self.measured.device, self.measured.program
        gram = (program_index[:, None] == program_index[None, :]) * space.program[np.ix_(device_index, device_index)]
        for part, rows in ((space.device, device), (space.host, host)):
            for across, covariance in part.items():
                term = np.asarray(rows @ (rows @ covariance).T)
                gram = gram + (
                    term if across == "all" else term * space.over[across][np.ix_(device_index, device_index)]
                )
        return np.asarray(gram)

    def _pulled(self, rows: sparse.csr_matrix, alpha: FloatArray) -> FloatArray:
        """The weights of works (U, D) from those of rows (N,)."""
        picks = [rows[self.measured.device == j].T @ alpha[self.measured.device == j] for j in range(len(self.devices))]
        return np.stack(picks, axis=1)


def applied(terms: dict[Across, FloatArray], weights: FloatArray, over: dict[Across, FloatArray]) -> FloatArray:
    """A function at (A, E) from weights (B, D), covariances (A, B) of works and (D, E) of devices."""
    return np.asarray(sum(covariance @ weights @ over[across] for across, covariance in terms.items()))
