"""Plans of waiting jobs and the search for better ones, compiled: as `kilowait.policies.patient`, over arrays.

Sizes: n jobs, T GPU types.
"""

from typing import NamedTuple

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.jit import inner

NONE = -1
"""The type of a job that is not started."""

SURE = 1e-9
"""A plan is given up once it must cost more than another by this share of that, which no rounding amounts to."""


class Steps(NamedTuple):
    """Free thousandths of GPUs of each type over time: `free` (T, steps) from `times_s` (T, steps) on, `counts` (T,)
    steps of each; the rest of a row is room for more. Nothing is free before the step `heads` (T,): nobody looks."""

    times_s: FloatArray
    free: IntArray
    counts: IntArray
    heads: IntArray


class JobArrays(NamedTuple):
    """When jobs may start (n,), and by type (n, T) the thousandths of GPUs and seconds that they take, and what the
    type costs above the job's cheapest in seconds, inf where it may not run; `by_price` (n, T) are the types in the
    order of that."""

    release_s: FloatArray
    milli: IntArray
    runtime_s: FloatArray
    extra_s: FloatArray
    by_price: IntArray


class PlanArrays(NamedTuple):
    """Start and type of each job; a start of inf has no type."""

    start_s: FloatArray
    gpu_type: IntArray


@inner
def first_at_least(times_s: FloatArray, kind: int, head: int, count: int, time_s: float) -> int:
    """The first position of a time >= `time_s` in a row from `head` on and before `count`."""
    low, high = head, count
    while low < high:
        middle = (low + high) // 2
        if times_s[kind, middle] < time_s:
            low = middle + 1
        else:
            high = middle
    return low


@inner
def earliest_s(
    times_s: FloatArray,
    free: IntArray,
    kind: int,
    head: int,
    count: int,
    milli: int,
    runtime_s: float,
    release_s: float,
) -> float:
    """The first time from `release_s` on from which so much of a type is free for `runtime_s`, inf where never."""
    step, start_s = head, release_s
    if release_s > times_s[kind, step]:
        step = first_at_least(times_s, kind, step, count, release_s)
        if step == count or times_s[kind, step] > release_s:
            step -= 1
    elif step:  # full until then
        start_s = times_s[kind, step]
    end_s = start_s + runtime_s
    while step < count and times_s[kind, step] < end_s:
        if free[kind, step] < milli:
            if step + 1 == count:
                return np.inf
            start_s = times_s[kind, step + 1]
            end_s = start_s + runtime_s
        step += 1
    return start_s


@inner
def take(
    times_s: FloatArray,
    free: IntArray,
    counts: IntArray,
    heads: IntArray,
    kind: int,
    milli: int,
    start_s: float,
    end_s: float,
) -> None:
    """Take GPUs of a type out of a profile, whose arrays these are."""
    head, start, end = heads[kind], 0, 0
    for time_s in (start_s, end_s):
        count = counts[kind]
        position = first_at_least(times_s, kind, head, count, time_s)
        if position == count or times_s[kind, position] != time_s:
            for k in range(count, position, -1):
                times_s[kind, k], free[kind, k] = times_s[kind, k - 1], free[kind, k - 1]
            times_s[kind, position], free[kind, position] = time_s, free[kind, position - 1]
            counts[kind] = count + 1
        start, end = end, position
    for k in range(start, end):
        free[kind, k] -= milli
    while head + 1 < counts[kind] and free[kind, head] == 0:
        head += 1
    heads[kind] = head


@inner
def like(steps: Steps) -> Steps:
    """Another profile of that size, with nothing in it yet."""
    return Steps(
        np.empty_like(steps.times_s), np.empty_like(steps.free), np.empty_like(steps.counts), np.empty_like(steps.heads)
    )


@inner
def copy(of: Steps, to: Steps) -> None:
    """Overwrite a profile by another, but for what lies before its heads."""
    for kind in range(len(of.counts)):
        to.counts[kind], to.heads[kind] = of.counts[kind], of.heads[kind]
        for k in range(of.heads[kind], of.counts[kind]):
            to.times_s[kind, k], to.free[kind, k] = of.times_s[kind, k], of.free[kind, k]


@inner
def make(
    order: IntArray,
    jobs: JobArrays,
    profile: Steps,
    scratch: Steps,
    limit_s: float,
    at_least_s: FloatArray,
    plan: PlanArrays,
) -> float:
    """Give the jobs of `order` in turn what costs each least; the sum, or inf once it must exceed `limit_s`.

    Ties go to the first type. No job costs less than `at_least_s` (n,).
    """
    copy(profile, scratch)
    times_s, free, counts, heads = scratch.times_s, scratch.free, scratch.counts, scratch.heads
    milli, runtime_s, extra_s, by_price = jobs.milli, jobs.runtime_s, jobs.extra_s, jobs.by_price
    cost_s, rest_s, sure_s = 0.0, 0.0, limit_s + SURE * limit_s
    for i in order:
        plan.start_s[i] = np.inf
        rest_s += at_least_s[i]
    for i in order:
        least_s, release_s, best_s, best = np.inf, jobs.release_s[i], 0.0, NONE
        for k in range(len(counts)):
            kind = by_price[i, k]
            above_s = extra_s[i, kind]
            if above_s > least_s or above_s == np.inf:  # even at once it would cost more, and so would those behind
                break
            start_s = earliest_s(
                times_s, free, kind, heads[kind], counts[kind], milli[i, kind], runtime_s[i, kind], release_s
            )
            price_s = start_s - release_s + above_s
            if price_s < least_s or (price_s == least_s and kind < best):
                least_s, best_s, best = price_s, start_s, kind
        if best == NONE:  # it fits nowhere, now that nodes have left
            continue
        cost_s += least_s
        rest_s -= at_least_s[i]
        if cost_s > limit_s or cost_s + rest_s > sure_s:
            return np.inf
        take(times_s, free, counts, heads, best, milli[i, best], best_s, best_s + runtime_s[i, best])
        plan.start_s[i], plan.gpu_type[i] = best_s, best
    return cost_s


@inner
def least_costs_s(order: IntArray, jobs: JobArrays, profile: Steps, at_least_s: FloatArray) -> None:
    """What each job of `order` would cost alone, in `at_least_s` (n,): with others it costs no less."""
    for i in order:
        least_s, release_s = np.inf, jobs.release_s[i]
        for kind in range(len(profile.counts)):
            if jobs.extra_s[i, kind] < least_s:
                start_s = earliest_s(
                    profile.times_s,
                    profile.free,
                    kind,
                    profile.heads[kind],
                    profile.counts[kind],
                    jobs.milli[i, kind],
                    jobs.runtime_s[i, kind],
                    release_s,
                )
                least_s = min(least_s, start_s - release_s + jobs.extra_s[i, kind])
        at_least_s[i] = least_s if least_s < np.inf else 0.0


@inner
def search(order: IntArray, jobs: JobArrays, profile: Steps, scratch: Steps, moves: int, plan: PlanArrays) -> float:
    """Better `order` in place by random insertions; the cost of its plan, which is left in `plan`."""
    n, at_least_s = len(order), np.zeros(len(jobs.release_s))
    best_s = make(order, jobs, profile, scratch, np.inf, at_least_s, plan)
    if n < 2 or moves == 0 or best_s == 0:
        return best_s
    least_costs_s(order, jobs, profile, at_least_s)
    moved = np.empty_like(order)
    for _ in range(moves):
        if best_s == 0:
            break
        at, to = np.random.randint(n), np.random.randint(n)
        move(order, at, to, moved)
        found_s = make(moved, jobs, profile, scratch, best_s, at_least_s, plan)
        if found_s <= best_s:
            best_s = found_s
            order[:] = moved
    return make(order, jobs, profile, scratch, np.inf, at_least_s, plan)


@inner
def move(order: IntArray, at: int, to: int, moved: IntArray) -> None:
    """Leave in `moved` the order with the job at one place put at another."""
    moved[:] = order
    step = 1 if to > at else -1
    for k in range(at, to, step):
        moved[k] = order[k + step]
    moved[to] = order[at]


@inner
def by_area(jobs: JobArrays, n: int) -> IntArray:
    """The first n jobs by the least GPU-seconds that each can take."""
    area = np.full(n, np.inf)
    for i in range(n):
        for kind in range(jobs.milli.shape[1]):
            if jobs.extra_s[i, kind] < np.inf:
                area[i] = min(area[i], jobs.milli[i, kind] * jobs.runtime_s[i, kind])
    return np.argsort(area, kind="mergesort")
