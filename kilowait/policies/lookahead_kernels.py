"""Plans against many futures, compiled: what `anticipatory` spends its time on. Imported when it first decides.

Arrays are over waiting jobs first and then those of a scenario: `release_s` (n,), and by type `milli` (n, T) thousandths
of GPUs, `runtime_s` (n, T) and `extra_s` (n, T), what the type costs above the job's cheapest, inf where it may not run.
A profile is three arrays: `times` (T, steps), `free` (T, steps) thousandths from each time on, and `steps` (T,).
"""

import numpy as np
from numba import njit

NONE = -1
"""The type of a job that is not started."""


@njit(cache=True)
def first_at_least(times, steps, time_s):
    """The first position of a time >= `time_s` among the first `steps`."""
    low, high = 0, steps
    while low < high:
        middle = (low + high) // 2
        if times[middle] < time_s:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def earliest_s(times, free, steps, milli, runtime_s, release_s):
    """The first time from `release_s` on from which so much is free for `runtime_s`, inf where it never is."""
    step = first_at_least(times, steps, release_s)
    if step and (step == steps or times[step] > release_s):
        step -= 1
    start_s = release_s
    while step < steps and times[step] < start_s + runtime_s:
        if free[step] < milli:
            if step + 1 == steps:
                return np.inf
            start_s = times[step + 1]
        step += 1
    return start_s


@njit(cache=True)
def take(times, free, steps, milli, start_s, end_s):
    """Take GPUs out of a type's profile; returns its new number of steps."""
    for time_s in (start_s, end_s):
        at = first_at_least(times, steps, time_s)
        if at == steps or times[at] != time_s:
            for k in range(steps, at, -1):
                times[k], free[k] = times[k - 1], free[k - 1]
            times[at], free[at] = time_s, free[at - 1]
            steps += 1
    for k in range(first_at_least(times, steps, start_s), first_at_least(times, steps, end_s)):
        free[k] -= milli
    return steps


@njit(cache=True)
def copy_profile(of, to):
    """Overwrite one profile by another."""
    for j in range(len(of[2])):
        to[2][j] = of[2][j]
        for k in range(of[2][j]):
            to[0][j, k], to[1][j, k] = of[0][j, k], of[1][j, k]


@njit(cache=True)
def plan(order, jobs, profile, scratch, limit_s, starts_s, types):
    """Give the jobs of `order` in turn what costs each least; the sum, or inf once it exceeds `limit_s`."""
    release_s, milli, runtime_s, extra_s = jobs
    copy_profile(profile, scratch)
    times, free, steps = scratch
    cost_s = 0.0
    for i in order:
        starts_s[i] = np.inf
    for i in order:
        least_s, best_s, best = np.inf, 0.0, NONE
        for j in range(len(steps)):
            if extra_s[i, j] < least_s:
                start_s = earliest_s(times[j], free[j], steps[j], milli[i, j], runtime_s[i, j], release_s[i])
                if start_s - release_s[i] + extra_s[i, j] < least_s:
                    least_s, best_s, best = start_s - release_s[i] + extra_s[i, j], start_s, j
        cost_s += least_s
        if best == NONE or cost_s > limit_s:
            return np.inf
        steps[best] = take(times[best], free[best], steps[best], milli[i, best], best_s, best_s + runtime_s[i, best])
        starts_s[i], types[i] = best_s, best
    return cost_s


@njit(cache=True)
def search(order, jobs, profile, scratch, moves, starts_s, types):
    """Better `order` in place by random insertions; the cost of its plan, which is left in `starts_s` and `types`."""
    n = len(order)
    best_s = plan(order, jobs, profile, scratch, np.inf, starts_s, types)
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
        found_s = plan(moved, jobs, profile, scratch, best_s, starts_s, types)
        if found_s <= best_s:
            best_s = found_s
            order[:] = moved
    return plan(order, jobs, profile, scratch, np.inf, starts_s, types)


@njit(cache=True)
def by_area(jobs, n):
    """The first n jobs by the least GPU-seconds that each can take."""
    area = np.full(n, np.inf)
    for i in range(n):
        for j in range(jobs[1].shape[1]):
            if jobs[3][i, j] < np.inf:
                area[i] = min(area[i], jobs[1][i, j] * jobs[2][i, j])
    return np.argsort(area, kind="mergesort")


@njit(cache=True)
def begun(waiting, starts_s, types, now_s):
    """The type of each waiting job that a plan starts now, `NONE` for the others."""
    chosen = np.full(waiting, NONE)
    for i in range(waiting):
        if starts_s[i] <= now_s:
            chosen[i] = types[i]
    return chosen


@njit(cache=True)
def fill(jobs, waiting, known, arrive_s, like, count):
    """Put the jobs of a scenario behind the waiting ones."""
    for k in range(count):
        jobs[0][waiting + k] = arrive_s[k]
        jobs[1][waiting + k] = known[0][like[k]]
        jobs[2][waiting + k] = known[1][like[k]]
        jobs[3][waiting + k] = known[2][like[k]]


@njit(cache=True)
def distinct(choices, found, most):
    """Up to `most` different rows of the first `found` choices, the first row and then the most frequent ones."""
    votes = np.zeros(found, np.int64)
    for c in range(found):
        for d in range(c + 1):
            if (choices[c] == choices[d]).all():
                votes[d] += 1
                break
    votes[0] += found
    ranked = np.argsort(-votes, kind="mergesort")
    kept = 0
    while kept < min(found, most) and votes[ranked[kept]] > 0:
        kept += 1
    return ranked[:kept]


@njit(cache=True)
def rest_cost_s(choice, jobs, order, waiting, count, next_s, now_s, profile, scratch, moves, starts_s, types):
    """What the jobs of a scenario cost that are not started now: none before anything happens, at `next_s`."""
    cost_s, left = 0.0, np.empty(len(order), np.int64)
    for i in range(waiting):
        jobs[0][i] = now_s if choice[i] != NONE else next_s
        if choice[i] == NONE:
            cost_s += next_s - now_s
    n = 0
    for i in order:
        if i >= waiting or choice[i] == NONE:
            left[n] = i
            n += 1
    if n and cost_s < np.inf:
        cost_s += search(left[:n], jobs, profile, scratch, moves, starts_s, types)
    return cost_s


@njit(cache=True)
def decide(now_s, next_end_s, profile, scratches, jobs, crowded_s, known, counts, arrive_s, like, chunk, most, moves, seed):
    """The type on which each waiting job starts now, `NONE` for those that do not.

    `crowded_s` (n, T) replaces the extra costs for a plan without futures. One plan is made for each future, as if it
    were known; the different starts that these plans begin with, `most` of them, are compared over all futures by what
    the best plan behind each costs on average. Futures are taken up `chunk` at a time, until all plans agree or all
    are seen. `moves[n]` are the insertions for n jobs.
    """
    np.random.seed(seed)
    waiting, most_jobs = len(crowded_s), len(jobs[0])
    starts_s, types = np.empty(most_jobs), np.empty(most_jobs, np.int64)
    scenarios = len(counts)
    choices = np.full((scenarios + 1, waiting), NONE)
    orders = np.empty((scenarios, most_jobs), np.int64)
    scratch, behind = scratches
    alone = (jobs[0], jobs[1], jobs[2], crowded_s)
    search(by_area(jobs, waiting), alone, profile, scratch, moves[waiting], starts_s, types)
    choices[0] = begun(waiting, starts_s, types, now_s)
    seen, idle = 0, next_end_s == np.inf
    while seen < scenarios:
        for s in range(seen, min(seen + chunk, scenarios)):
            n = waiting + counts[s]
            jobs[0][:waiting] = now_s
            fill(jobs, waiting, known, arrive_s[s], like[s], counts[s])
            order = by_area(jobs, n)
            search(order, jobs, profile, scratch, moves[n], starts_s, types)
            orders[s, :n] = order
            choices[s + 1] = begun(waiting, starts_s, types, now_s)
        seen = min(seen + chunk, scenarios)
        if len(distinct(choices, seen + 1, 2)) == 1:
            return choices[0]
    best, least_s = 0, np.inf
    for c in distinct(choices, seen + 1, most):
        choice = choices[c]
        if idle and (choice == NONE).all():
            continue  # nothing would ever happen here unless a job came
        copy_profile(profile, behind)
        begun_s, first_end_s = 0.0, next_end_s
        for i in range(waiting):
            j = choice[i]
            if j != NONE:
                end_s = now_s + jobs[2][i, j]
                behind[2][j] = take(behind[0][j], behind[1][j], behind[2][j], jobs[1][i, j], now_s, end_s)
                begun_s += jobs[3][i, j]
                first_end_s = min(first_end_s, end_s)
        cost_s = 0.0
        for s in range(seen):
            n = waiting + counts[s]
            fill(jobs, waiting, known, arrive_s[s], like[s], counts[s])
            next_s = min(first_end_s, arrive_s[s, 0] if counts[s] else np.inf)
            cost_s += begun_s + rest_cost_s(
                choice, jobs, orders[s, :n], waiting, counts[s], next_s, now_s, behind, scratch, moves[n] // 4, starts_s, types
            )
        if cost_s < least_s:
            best, least_s = c, cost_s
    return choices[best]
