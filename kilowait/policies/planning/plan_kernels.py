"""Plans of waiting jobs and the search for better ones, compiled: as `kilowait.policies.patient`, over arrays.

Sizes: n jobs, T GPU types.
"""

from typing import NamedTuple

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.jit import inner

NONE = -1
"""The type of a job that is not started."""


class Steps(NamedTuple):
    """Free thousandths of GPUs of each type over time: `free` (T, steps) from `times_s` (T, steps) on, `counts` (T,)
    steps of each; the rest of a row is room for more."""

    times_s: FloatArray
    free: IntArray
    counts: IntArray


class JobArrays(NamedTuple):
    """When jobs may start (n,), and by type (n, T) the thousandths of GPUs and seconds that they take, and what the
    type costs above the job's cheapest in seconds, inf where it may not run."""

    release_s: FloatArray
    milli: IntArray
    runtime_s: FloatArray
    extra_s: FloatArray


class PlanArrays(NamedTuple):
    """Start and type of each job; a start of inf has no type."""

    start_s: FloatArray
    gpu_type: IntArray


@inner
def first_at_least(times_s: FloatArray, count: int, time_s: float) -> int:
    """The first position of a time >= `time_s` among the first `count`."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if times_s[middle] < time_s:
            low = middle + 1
        else:
            high = middle
    return low


@inner
def earliest_s(
    times_s: FloatArray, free: IntArray, count: int, milli: int, runtime_s: float, release_s: float
) -> float:
    """The first time from `release_s` on from which so much is free for `runtime_s`, inf where it never is."""
    step = first_at_least(times_s, count, release_s)
    if step and (step == count or times_s[step] > release_s):
        step -= 1
    start_s = release_s
    while step < count and times_s[step] < start_s + runtime_s:
        if free[step] < milli:
            if step + 1 == count:
                return np.inf
            start_s = times_s[step + 1]
        step += 1
    return start_s


@inner
def take(steps: Steps, kind: int, milli: int, start_s: float, end_s: float) -> None:
    """Take GPUs of a type out of the profile."""
    times_s, free, count = steps.times_s[kind], steps.free[kind], steps.counts[kind]
    for time_s in (start_s, end_s):
        position = first_at_least(times_s, count, time_s)
        if position == count or times_s[position] != time_s:
            for k in range(count, position, -1):
                times_s[k], free[k] = times_s[k - 1], free[k - 1]
            times_s[position], free[position] = time_s, free[position - 1]
            count += 1
    for k in range(first_at_least(times_s, count, start_s), first_at_least(times_s, count, end_s)):
        free[k] -= milli
    steps.counts[kind] = count


@inner
def copy(of: Steps, to: Steps) -> None:
    """Overwrite a profile by another."""
    for kind in range(len(of.counts)):
        to.counts[kind] = of.counts[kind]
        for k in range(of.counts[kind]):
            to.times_s[kind, k], to.free[kind, k] = of.times_s[kind, k], of.free[kind, k]


@inner
def make(order: IntArray, jobs: JobArrays, profile: Steps, scratch: Steps, limit_s: float, plan: PlanArrays) -> float:
    """Give the jobs of `order` in turn what costs each least; the sum, or inf once it exceeds `limit_s`."""
    copy(profile, scratch)
    for i in order:
        plan.start_s[i] = np.inf
    cost_s = 0.0
    for i in order:
        least_s, release_s, best_s, best = np.inf, jobs.release_s[i], 0.0, NONE
        for kind in range(len(scratch.counts)):
            extra_s = jobs.extra_s[i, kind]
            if extra_s < least_s:
                milli, runtime_s = jobs.milli[i, kind], jobs.runtime_s[i, kind]
                times_s, free = scratch.times_s[kind], scratch.free[kind]
                start_s = earliest_s(times_s, free, scratch.counts[kind], milli, runtime_s, release_s)
                if start_s - release_s + extra_s < least_s:
                    least_s, best_s, best = start_s - release_s + extra_s, start_s, kind
        if best == NONE:  # it fits nowhere, now that nodes have left
            continue
        cost_s += least_s
        if cost_s > limit_s:
            return np.inf
        take(scratch, best, jobs.milli[i, best], best_s, best_s + jobs.runtime_s[i, best])
        plan.start_s[i], plan.gpu_type[i] = best_s, best
    return cost_s


@inner
def search(order: IntArray, jobs: JobArrays, profile: Steps, scratch: Steps, moves: int, plan: PlanArrays) -> float:
    """Better `order` in place by random insertions; the cost of its plan, which is left in `plan`."""
    n = len(order)
    best_s = make(order, jobs, profile, scratch, np.inf, plan)
    moved = np.empty_like(order)
    for _ in range(moves if n > 1 else 0):
        if best_s == 0:
            break
        at, to = np.random.randint(n), np.random.randint(n)
        moved[:] = order
        step = 1 if to > at else -1
        for k in range(at, to, step):
            moved[k] = order[k + step]
        moved[to] = order[at]
        found_s = make(moved, jobs, profile, scratch, best_s, plan)
        if found_s <= best_s:
            best_s = found_s
            order[:] = moved
    return make(order, jobs, profile, scratch, np.inf, plan)


@inner
def by_area(jobs: JobArrays, n: int) -> IntArray:
    """The first n jobs by the least GPU-seconds that each can take."""
    area = np.full(n, np.inf)
    for i in range(n):
        for kind in range(jobs.milli.shape[1]):
            if jobs.extra_s[i, kind] < np.inf:
                area[i] = min(area[i], jobs.milli[i, kind] * jobs.runtime_s[i, kind])
    return np.argsort(area, kind="mergesort")
