"""Learn the efficiencies of operations from run times of whole programs.

Only sums are measured, so the functions of `efficiency` are inferred through them: by Gauss-Newton steps on the
most probable functions, each a Gaussian process regression on the totals linearised at the last functions
(Rasmussen and Williams 2006, section 2.2 and, for the approximation, 3.4). A function is a weighted sum of covariances
with the works of the training programs; the weights (V, D) are all that is kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from kilowait.predict.device_model.learned_weights import EfficiencyWeights, MeasuredTimes
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.workload import Baseline, Workload, WorkloadTotals, totals

STEPS = 6
"""Gauss-Newton steps at most: five are enough on hundreds of programs."""
SETTLED = 1e-4
"""A step that improves the objective by less than this share a row is the last."""
DAMPING = (1.0, 0.5, 0.25, 0.1)
TAILS = 3.0
"""Degrees of freedom of the rows' errors (Student's t) in a `robust` fit: some programs hold what no record tells."""


@dataclass(frozen=True, slots=True)
class _Covariance:
    """A covariance (V, V) as one (C, C) of classes of works that covary alike, and each work's class (V,)."""

    of_classes: FloatArray
    index: IntArray

    @classmethod
    def of(cls, covariance: FloatArray) -> "_Covariance":
        """Most terms know a work's class alone: what is the same in every column is taken once."""
        _, first, index = np.unique(_hashes(covariance), return_index=True, return_inverse=True)
        return cls(covariance[np.ix_(first, first)], index.ravel())

    def summed(self, values: FloatArray) -> FloatArray:
        """Values of works (V, D) added up by class (C, D)."""
        return np.asarray(self._classes() @ values)

    def gram(self, rows: sparse.csr_matrix) -> FloatArray:
        """Covariance (N, N) of rows (N, V), in single precision: finer than any noise, and half the time."""
        by_class = (rows @ self._classes().T).astype(np.float32)
        return np.asarray(by_class @ np.asarray(by_class @ self.of_classes.astype(np.float32)).T)

    def _classes(self) -> sparse.csr_matrix:
        count = len(self.index)
        return sparse.csr_matrix((np.ones(count), (self.index, np.arange(count))), shape=(len(self.of_classes), count))


def _hashes(covariance: FloatArray) -> FloatArray:
    """A number a row (V,), the same for equal rows."""
    weights = np.random.default_rng(0).standard_normal(covariance.shape[1])
    return np.round(covariance @ weights, 9)


@dataclass(frozen=True, slots=True)
class _Space:
    """Covariances among the training works and devices."""

    device: dict[Across, _Covariance]
    host: dict[Across, _Covariance]
    over: dict[Across, FloatArray]
    program: FloatArray


@dataclass(frozen=True, slots=True)
class _Rows:
    """The N measured rows as programs of their own: few of all programs on all devices were measured.

    `load` has an entry for each of the row's program; `work` and `device` say of what, and its times on `baseline` (E,)
    before anything is learned.
    """

    load: Workload
    work: IntArray
    mark: IntArray
    device: IntArray
    baseline: Baseline

    @classmethod
    def of(cls, load: Workload, devices: Sequence[Specification], measured: MeasuredTimes, tf32: bool) -> "_Rows":
        order = np.argsort(load.program, kind="stable")
        sizes = np.bincount(load.program, minlength=load.programs)
        first, length = (np.cumsum(sizes) - sizes)[measured.program], sizes[measured.program]
        row = np.repeat(np.arange(len(length)), length)
        entry = order[first[row] + np.arange(len(row)) - (np.cumsum(length) - length)[row]]
        work, device = load.work[entry], measured.device[row]
        sheets = Baseline.of(load.columns, devices, tf32=tf32)
        baseline = Baseline(
            device=sheets.device[work, device], host=sheets.host[work, device], corner=sheets.corner[measured.device]
        )
        rows = replace(load, program=row, work=np.arange(len(row)), count=load.count[entry], programs=len(length))
        return cls(rows, work, load.mark[work], device, baseline)

    def totals(self, device: FloatArray, host: FloatArray) -> WorkloadTotals:
        """Run times of the rows (N, 1), efficiencies of marks (V, D) given."""
        on_device = self.baseline.device + device[self.mark, self.device]
        on_host = self.baseline.host + host[self.mark, self.device]
        return totals(self.load, on_device[:, None], on_host[:, None], self.baseline.corner[:, None])

    def by_mark(self, values: FloatArray, marks: int) -> sparse.csr_matrix:
        """Values of entries (E, 1) as a matrix (N, V), those of works with the same mark added up."""
        shape = (self.load.programs, marks)
        return sparse.csr_matrix((values[:, 0], (self.load.program, self.mark)), shape=shape)


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
    robust: bool = False

    def solve(self) -> EfficiencyWeights:
        """The most probable weights; raises InputError for run times that are none."""
        if not len(self.measured.log_s) or not np.isfinite(self.measured.log_s).all():
            raise InputError("the device model needs run times > 0 of at least one program, all finite")
        rows, space = _Rows.of(self.load, self.devices, self.measured, self.tf32), self._space()
        u, d = len(self.load.marks), len(self.devices)
        zero_weights = EfficiencyWeights(np.zeros((u, d)), np.zeros((u, d)), np.zeros((self.load.programs, d)))
        noise = self.terms.noise**2 + self._spread**2
        state = self._state(rows, space, zero_weights, noise)
        for step in range(STEPS):
            noise = self._noise(rows, state.totals)
            if self.robust and step > 1:  # before, all of them are far off
                noise += self._doubted(state.totals, noise)
            previous = self._state(rows, space, state.weights, noise)
            state = self._step(rows, space, previous, noise)
            if previous.objective - state.objective < SETTLED * len(noise) and not (self.robust and step < 3):
                break
        return state.weights

    def _space(self) -> _Space:
        marks = Marks.of(self.load.marks)
        over = over_devices(self.terms, self.devices, self.devices)
        return _Space(
            device={across: _Covariance.of(c) for across, c in device_terms(self.terms, marks, marks).items()},
            host={across: _Covariance.of(c) for across, c in host_terms(self.terms, marks, marks).items()},
            over=over,
            program=program_terms(self.terms, over),
        )

    def _noise(self, rows: _Rows, workload_totals: WorkloadTotals) -> FloatArray:
        """Variance of each row: where the host limits, run times vary more."""
        share = rows.load.added(workload_totals.host_share)[:, 0]
        return np.asarray(self.terms.noise**2 + self._spread**2 + (self.terms.host_noise * share) ** 2)

    def _doubted(self, workload_totals: WorkloadTotals, noise: FloatArray) -> FloatArray:
        """What Student's t adds to the variance of a row that is far from its operations' sum (Lange et al. 1989)."""
        scale = noise + self.terms.program**2 + self.terms.program_alike**2
        residual = self.measured.log_s - workload_totals.log_s[:, 0]
        return np.asarray(np.maximum(0.0, scale * ((TAILS + residual**2 / scale) / (TAILS + 1) - 1)))

    @property
    def _spread(self) -> FloatArray:
        spread = self.measured.spread
        return np.zeros(len(self.measured.log_s)) if spread is None else spread

    def _state(self, rows: _Rows, space: _Space, weights: EfficiencyWeights, noise: FloatArray) -> _State:
        device = _learned(space.device, weights.device, space.over)
        host = _learned(space.host, weights.host, space.over)
        program = weights.program @ space.program
        workload_totals = rows.totals(device, host)
        residual = self.measured.log_s - workload_totals.log_s[:, 0] - self._rows(program)
        prior = (weights.device * device).sum() + (weights.host * host).sum() + (weights.program * program).sum()
        return _State(
            weights, device, host, program, workload_totals, float(0.5 * (prior + (residual**2 / noise).sum()))
        )

    def _rows(self, values: FloatArray) -> FloatArray:
        return np.asarray(values[self.measured.program, self.measured.device])

    def _step(self, rows: _Rows, space: _Space, state: _State, noise: FloatArray) -> _State:
        """One Gauss-Newton step, shortened until it improves; the same state when none does."""
        target = self._regression(rows, space, state, noise)
        for share in DAMPING:
            candidate = self._state(rows, space, state.weights.towards(target, share), noise)
            if candidate.objective < state.objective:
                return candidate
        return state

    def _regression(self, rows: _Rows, space: _Space, state: _State, noise: FloatArray) -> EfficiencyWeights:
        """Gaussian process regression on the totals linearised at `state`."""
        rows_device = rows.by_mark(state.totals.device_share, len(self.load.marks))
        rows_host = rows.by_mark(state.totals.host_share, len(self.load.marks))
        gram = self._gram(space, rows_device, rows_host)
        gram[np.diag_indices_from(gram)] += noise
        linear = self._rows_of(rows_device, state.device) + self._rows_of(rows_host, state.host)
        target = self.measured.log_s - state.totals.log_s[:, 0] + linear
        factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
        alpha = cho_solve(factor, target, check_finite=False)
        evidence = -0.5 * target @ alpha - np.log(np.diag(factor[0])).sum() - 0.5 * len(alpha) * math.log(2 * math.pi)
        program = np.zeros((self.load.programs, len(self.devices)))
        program[self.measured.program, self.measured.device] = alpha
        return EfficiencyWeights(
            self._pulled(rows_device, alpha), self._pulled(rows_host, alpha), program, evidence=float(evidence)
        )

    def _rows_of(self, rows: sparse.csr_matrix, values: FloatArray) -> FloatArray:
        """Values of marks on types (V, D) summed in every row (N,) by its shares (N, V)."""
        entries = rows.tocoo()
        terms = entries.data * values[entries.col, self.measured.device[entries.row]]
        return np.asarray(np.bincount(entries.row, weights=terms, minlength=rows.shape[0]), dtype=np.float64)

    def _gram(self, space: _Space, device: sparse.csr_matrix, host: sparse.csr_matrix) -> FloatArray:
        """Covariance of all rows (N, N)."""
        device_index, program_index = self.measured.device, self.measured.program
        gram: FloatArray = (program_index[:, None] == program_index[None, :]) * space.program[
            np.ix_(device_index, device_index)
        ]
        for part, rows in ((space.device, device), (space.host, host)):
            for across, covariance in part.items():
                term = covariance.gram(rows)
                gram += term if across == "all" else term * space.over[across][np.ix_(device_index, device_index)]
        return np.asarray(gram)

    def _pulled(self, rows: sparse.csr_matrix, alpha: FloatArray) -> FloatArray:
        """The weights of marks (V, D) from those of rows (N,)."""
        picks = [rows[self.measured.device == j].T @ alpha[self.measured.device == j] for j in range(len(self.devices))]
        return np.stack(picks, axis=1)


def _learned(terms: dict[Across, _Covariance], weights: FloatArray, over: dict[Across, FloatArray]) -> FloatArray:
    """A function at the training works (V, D) from weights (V, D)."""
    return np.asarray(sum((c.of_classes @ c.summed(weights) @ over[across])[c.index] for across, c in terms.items()))
