"""The time-indexed integer program: one start for every job, and nowhere more GPUs held than there are.

Source: Pritsker, Watters and Wolfe, "Multiproject scheduling with limited resources: a zero-one programming approach",
Management Science 16(1), 1969; solved by HiGHS (Huangfu and Hall, Mathematical Programming Computation 10, 2018).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ENOUGH = 1e-6
"""Relative gap at which the solver stops."""
INFEASIBLE = 2
"""The status that scipy gives a program without a solution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A job started at `start_s` on a type at a cost; it holds `gpus` from `held_from_s` to before `held_until_s`."""

    job_id: str
    gpu_type: str
    gpus: float
    start_s: float
    held_from_s: float
    held_until_s: float
    cost_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLimits:
    """When to stop searching: nodes of the branch and bound, and seconds on the wall clock."""

    nodes: int
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A column for every job, None where none was found in time, and what every choice must cost at least."""

    columns: tuple[Column, ...] | None
    bound_s: float


def select(columns: Sequence[Column], free: Callable[[str, float], float], limits: SearchLimits) -> Selection:
    """The cheapest columns, one a job, that never hold more than `free` GPUs of a type at a time.

    `free` must not fall with time, since GPUs are counted where holding begins. With no way to choose, `bound_s` is
    inf. The same call has the same result unless the limit of seconds ends it; HiGHS runs in one thread.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # takes long, and every command imports the policies
    from scipy.sparse import csr_matrix

    job, jobs = _jobs(columns)
    cost_s, least_s = np.array([c.cost_s for c in columns]), np.full(jobs, np.inf)
    np.minimum.at(least_s, job, cost_s)
    extra_s = cost_s - least_s[job]  # beside what no choice can avoid, a gap would be lost in the tolerance
    unit_s = max(1.0, float(extra_s.max()))
    indexes = np.arange(len(columns))
    one_each = csr_matrix((np.ones(len(columns)), (job, indexes)), shape=(jobs, len(columns)))
    row, place, gpus, capacity = _held(columns, free)
    held = csr_matrix((gpus, (row, place)), shape=(len(capacity), len(columns)))
    solution = milp(
        extra_s / unit_s,
        integrality=np.ones(len(columns)),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            *([LinearConstraint(held, -np.inf, capacity)] if capacity else []),
        ],
        options={"node_limit": limits.nodes, "time_limit": limits.time_s, "mip_rel_gap": ENOUGH},
    )
    if solution.status == INFEASIBLE:
        return Selection(columns=None, bound_s=math.inf)
    dual = solution.mip_dual_bound
    beyond_s = 0.0 if dual is None or not math.isfinite(dual) else max(0.0, float(dual)) * unit_s
    chosen = None if solution.x is None else tuple(columns[k] for k in indexes[solution.x > 0.5].tolist())
    return Selection(columns=chosen, bound_s=math.fsum(least_s) + beyond_s)


def _jobs(columns: Sequence[Column]) -> tuple[npt.NDArray[np.intp], int]:
    """The position of every column's job, and how many jobs there are."""
    rows = {job_id: row for row, job_id in enumerate(dict.fromkeys(c.job_id for c in columns))}
    return np.array([rows[c.job_id] for c in columns], dtype=np.intp), len(rows)


def _held(
    columns: Sequence[Column], free: Callable[[str, float], float]
) -> tuple[list[int], list[int], list[float], list[float]]:
    """Rows, places of columns and their GPUs, and how many may be held: a row a moment that could hold too many.

    Holding begins at these moments, and elsewhere it only ends.
    """
    rows: list[int] = []
    places: list[int] = []
    capacity: list[float] = []
    for gpu_type, indexes in _by_type(columns).items():
        begin, end = (np.array([read[k] for k in indexes]) for read in _spans(columns))
        for moment_s in np.unique(begin[begin < end]).tolist():
            holding = [indexes[k] for k in np.flatnonzero((begin <= moment_s) & (moment_s < end)).tolist()]
            if _most_used([columns[k] for k in holding]) > (free_gpus := free(gpu_type, moment_s)):
                rows += [len(capacity)] * len(holding)
                places += holding
                capacity.append(free_gpus)
    return rows, places, [float(columns[k].gpus) for k in places], capacity


def _spans(columns: Sequence[Column]) -> tuple[list[float], list[float]]:
    return [c.held_from_s for c in columns], [c.held_until_s for c in columns]


def _by_type(columns: Sequence[Column]) -> Mapping[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, column in enumerate(columns):
        places.setdefault(column.gpu_type, []).append(place)
    return places


def _most_used(holding: Sequence[Column]) -> float:
    """GPUs held if every job that can hold some does."""
    by_job: dict[str, float] = {}
    for column in holding:
        by_job[column.job_id] = max(column.gpus, by_job.get(column.job_id, 0))
    return sum(by_job.values())
