"""Which share of its time each job should spend on each GPU type: the allocation as a linear program.

Source: Narayanan et al., "Heterogeneity-aware cluster scheduling policies for deep learning workloads" (Gavel), OSDI
2020, sections 3.1 (effective throughput and the constraints) and 4 (objectives). Solved by HiGHS (Huangfu and Hall,
"Parallelizing the dual revised simplex method", Mathematical Programming Computation 10, 2018), which gives the same
answer to the same problem.

Not covered: jobs that share a GPU (space sharing), weights and hierarchies of users, service level objectives.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from scipy.optimize import linprog

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import KilowaitError
from kilowait.policies.planning.demand import Demand

KEPT = 1 - 1e-6
"""The part of the max-min level that must be kept while the sum is raised; HiGHS itself works to 1e-7."""


def max_min(demand: Demand) -> FloatArray:
    """X (M, J) of the highest least normalised effective throughput: the source's section 4.1.

    It maximises min over m of width_m * (sum over j of T_mj X_mj) / (throughput under an equal share, where X_mj is
    in proportion to total_j), with T_mj = 1 / t_mj. Of its many solutions, that of the largest sum of these over the
    jobs is taken, which the source leaves open. Two programs: the highest level, then the largest sum at that level.
    """
    gain = normalised_throughput(demand)
    groups, types = gain.shape
    rows, limits = _capacity(demand)
    reaches = np.kron(np.eye(groups), np.ones(types)) * -gain.ravel()
    level = _solve(
        -np.eye(groups * types + 1)[-1],
        np.block([[rows, np.zeros((len(rows), 1))], [reaches, np.ones((groups, 1))]]),
        np.concatenate([limits, np.zeros(groups)]),
        [*_bounds(demand), (0.0, None)],
    )[-1]
    at_level = np.concatenate([limits, np.full(groups, -level * KEPT)])
    return _largest_sum(demand, gain, np.vstack([rows, reaches]), at_level)


def throughput(demand: Demand) -> FloatArray:
    """X (M, J) of the most jobs a second: it maximises the sum over jobs and types of X_mj / t_mj."""
    return _largest_sum(demand, demand.seconds.min() / demand.seconds, *_capacity(demand))


def energy(demand: Demand) -> FloatArray:
    """X (M, J) of the most jobs a kWh: it maximises the sum over jobs and types of X_mj / e_mj.

    The source's cost policy divides throughput by the price of a type; with the job's power e_mj / t_mj for a price,
    that leaves 1 / e_mj. Pairs of 0 kWh count as the least energy above 0 that there is.
    """
    runnable = np.isfinite(demand.seconds)
    least = demand.kwh[runnable & (demand.kwh > 0)].min(initial=np.inf)
    gain = least / np.maximum(demand.kwh, least) if np.isfinite(least) else np.ones_like(demand.kwh)
    return _largest_sum(demand, np.where(runnable, gain, 0.0), *_capacity(demand))


ALLOCATIONS: Mapping[str, Callable[[Demand], FloatArray]] = MappingProxyType(
    {allocation.__name__: allocation for allocation in (max_min, throughput, energy)}
)
"""Allocation by objective. X_mj is the share of its time that each job of group m should spend on type j.

0 <= X_mj, sum over j of X_mj <= 1, and sum over m of jobs_m a_mj X_mj <= total_j.
"""


def normalised_throughput(demand: Demand) -> FloatArray:
    """width_m T_mj over the mean of T_mj over all GPUs, of shape (M, J); 0 where a job may not run."""
    throughput = demand.seconds.min(axis=1, keepdims=True) / demand.seconds  # any unit a job; this one has no overflow
    equal_share = throughput @ demand.total / demand.total.sum()
    return np.asarray(demand.width[:, None] * throughput / equal_share[:, None])


def _capacity(demand: Demand) -> tuple[FloatArray, FloatArray]:
    """Rows and limits of rows @ x <= limits: a job's time, then a type's GPUs; x is X row by row."""
    groups, types = demand.seconds.shape
    time = np.kron(np.eye(groups), np.ones(types))
    used = demand.jobs[:, None] * demand.gpus
    held = np.vstack([(used * (np.arange(types) == j)).ravel() for j in range(types)])
    return np.vstack([time, held]), np.concatenate([np.ones(groups), demand.total])


def _bounds(demand: Demand) -> list[tuple[float, float | None]]:
    return [(0.0, 1.0 if finite else 0.0) for finite in np.isfinite(demand.seconds).ravel()]


def _largest_sum(demand: Demand, gain: FloatArray, rows: FloatArray, limits: FloatArray) -> FloatArray:
    """The X of the largest sum of `gain` (M, J) over all jobs."""
    weights = demand.jobs[:, None] * gain
    return _solve(-(weights / weights.max()).ravel(), rows, limits, _bounds(demand)).reshape(gain.shape)


def _solve(
    costs: FloatArray, rows: FloatArray, limits: FloatArray, bounds: list[tuple[float, float | None]]
) -> FloatArray:
    """The minimiser; raises KilowaitError where the solver finds none, which no allocation should lead to."""
    result = linprog(costs, A_ub=rows, b_ub=limits, bounds=bounds, method="highs")
    if not result.success:
        raise KilowaitError(f"the allocation of {rows.shape[1]} pairs was not solved: {result.message}")
    return np.asarray(result.x, dtype=np.float64)
