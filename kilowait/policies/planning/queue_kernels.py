"""Plans of the waiting jobs, compiled: the search of `patient` and the reservations of `conservative`, over arrays.

They do, number by number, what those two do in Python. Sizes: n jobs, T GPU types, E running jobs.
"""

from typing import NamedTuple

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.jit import inner, kernel
from kilowait.policies.planning.plan_kernels import NONE, SURE, PlanArrays, Steps, copy, earliest_s, like, move, take


class RunningArrays(NamedTuple):
    """Free thousandths of GPUs by type (T,) now; when they come back, (E,) seconds and thousandths, in the order of the
    types and then of time: those of type k from `first[k]` to `first[k + 1]`."""

    free: IntArray
    end_s: FloatArray
    milli: IntArray
    first: IntArray


class TakenArrays(NamedTuple):
    """What each job takes on each type (n, T): thousandths of GPUs, seconds, kWh; from when on its boards are there."""

    milli: IntArray
    runtime_s: FloatArray
    energy_kwh: FloatArray
    ready_s: FloatArray


class ChoiceArrays(NamedTuple):
    """The types of each job (n, T), `counts` (n,) of them, the cheapest first, and what each costs above that."""

    counts: IntArray
    types: IntArray
    extra_s: FloatArray


@inner
def _profile(now_s: float, running: RunningArrays, spare: int) -> Steps:
    """What is free from now on, with room for so many steps more."""
    types, most = len(running.free), 1
    for kind in range(types):
        most = max(most, 1 + running.first[kind + 1] - running.first[kind])
    times_s, free = np.empty((types, most + spare)), np.empty((types, most + spare), np.int64)
    counts, heads = np.ones(types, np.int64), np.zeros(types, np.int64)
    for kind in range(types):
        times_s[kind, 0], free[kind, 0], last = now_s, running.free[kind], 0
        for k in range(running.first[kind], running.first[kind + 1]):
            if running.end_s[k] > times_s[kind, last]:
                last += 1
                times_s[kind, last], free[kind, last] = running.end_s[k], free[kind, last - 1]
            free[kind, last] += running.milli[k]
        counts[kind] = last + 1
        while heads[kind] < last and free[kind, heads[kind]] == 0:
            heads[kind] += 1
    return Steps(times_s, free, counts, heads)


@inner
def _priced(taken: TakenArrays, total: IntArray, crowd: float, wait_s_per_kwh: float) -> ChoiceArrays:
    """The types on which each job can ever run, by price; `crowd` is the congestion times the jobs that wait."""
    n, types = taken.milli.shape
    choices = ChoiceArrays(np.zeros(n, np.int64), np.empty((n, types), np.int64), np.empty((n, types)))
    for i in range(n):
        count = 0
        for kind in range(types):
            if taken.milli[i, kind] > 1000 * total[kind]:
                continue
            caused_s = crowd * (taken.milli[i, kind] / 1000) * taken.runtime_s[i, kind] / total[kind]
            price_s = caused_s + wait_s_per_kwh * taken.energy_kwh[i, kind]
            k = count
            while k and choices.extra_s[i, k - 1] > price_s:
                choices.extra_s[i, k], choices.types[i, k] = choices.extra_s[i, k - 1], choices.types[i, k - 1]
                k -= 1
            choices.extra_s[i, k], choices.types[i, k] = price_s, kind
            count += 1
        least_s = choices.extra_s[i, 0]
        for k in range(count):
            choices.extra_s[i, k] -= least_s
        choices.counts[i] = count
    return choices


@inner
def _planned(
    order: IntArray,
    choices: ChoiceArrays,
    taken: TakenArrays,
    profile: Steps,
    now_s: float,
    limit_s: float,
    at_least_s: FloatArray,
    alone: bool,
    plan: PlanArrays,
) -> float:
    """Reserve for the jobs of `order` in turn what costs each least; the sum, or inf once it must exceed `limit_s`.

    No job costs less than `at_least_s` (n,). Where each is taken to be `alone` nothing is reserved, and that is set.
    """
    times_s, free, counts, heads = profile.times_s, profile.free, profile.counts, profile.heads
    milli, runtime_s, ready_s = taken.milli, taken.runtime_s, taken.ready_s
    options, types, extra_s = choices.counts, choices.types, choices.extra_s
    cost_s, rest_s, sure_s = 0.0, 0.0, limit_s + SURE * limit_s
    for i in order:
        rest_s += at_least_s[i]
    for i in order:
        least_s, best_s, best = np.inf, np.inf, NONE
        for k in range(options[i]):
            above_s, kind = extra_s[i, k], types[i, k]
            if above_s >= least_s:  # even at once it would cost as much, and so would those behind it
                break
            from_s = max(now_s, ready_s[i, kind])
            start_s = earliest_s(
                times_s, free, kind, heads[kind], counts[kind], milli[i, kind], runtime_s[i, kind], from_s
            )
            if start_s - now_s + above_s < least_s:
                least_s, best_s, best = start_s - now_s + above_s, start_s, kind
        if alone:
            at_least_s[i] = least_s if best != NONE else 0.0
            continue
        plan.start_s[i], plan.gpu_type[i] = best_s, best
        if best == NONE:
            continue
        cost_s += least_s
        rest_s -= at_least_s[i]
        if cost_s > limit_s or cost_s + rest_s > sure_s:
            return np.inf
        take(times_s, free, counts, heads, best, milli[i, best], best_s, best_s + runtime_s[i, best])
    return cost_s


@kernel
def cheapest_plan(
    now_s: float,
    running: RunningArrays,
    taken: TakenArrays,
    total: IntArray,
    crowd: float,
    wait_s_per_kwh: float,
    moves: IntArray,
    order: IntArray,
    plan: PlanArrays,
) -> None:
    """Leave in `plan` the cheapest plan that the search finds for the jobs, and in `order` (n,) their order in it.

    `order` is 0 to n - 1 at first. Of each of the `moves` (M, 2) the job at the second place is put at the first.
    """
    n = len(order)
    base = _profile(now_s, running, 2 * n + 2)
    scratch = like(base)
    choices = _priced(taken, total, crowd, wait_s_per_kwh)
    at_least_s, moved = np.zeros(n), np.empty_like(order)
    copy(base, scratch)
    best_s = _planned(order, choices, taken, scratch, now_s, np.inf, at_least_s, False, plan)
    if len(moves) and best_s > 0:
        _planned(order, choices, taken, base, now_s, np.inf, at_least_s, True, plan)
    other = PlanArrays(np.empty(n), np.empty(n, np.int64))
    for m in range(len(moves)):
        if best_s == 0:
            break
        to, at = moves[m, 0], moves[m, 1]
        move(order, at, to, moved)
        copy(base, scratch)
        found_s = _planned(moved, choices, taken, scratch, now_s, best_s, at_least_s, False, other)
        if found_s < np.inf:
            best_s = found_s
            order[:] = moved
            plan.start_s[:] = other.start_s
            plan.gpu_type[:] = other.gpu_type


@inner
def _has_room_now(taken: TakenArrays, i: int, kind: int, profile: Steps, now_s: float) -> bool:
    """Whether a job could run from now on to its end."""
    milli, end_s, k = taken.milli[i, kind], now_s + taken.runtime_s[i, kind], 0
    while k < profile.counts[kind] and profile.times_s[kind, k] < end_s:
        if profile.free[kind, k] < milli:
            return False
        k += 1
    return True


@inner
def _hopeful(pairs: IntArray, count: int, planned: int, taken: TakenArrays, profile: Steps, now_s: float) -> int:
    """Keep the pairs behind the first `planned` jobs that could start now, at the front of `pairs`; how many."""
    kept = 0
    for p in range(count):
        if pairs[p, 0] >= planned and _has_room_now(taken, pairs[p, 0], pairs[p, 1], profile, now_s):
            pairs[kept, 0], pairs[kept, 1] = pairs[p, 0], pairs[p, 1]
            kept += 1
    return kept


@kernel
def reserve_in_order(
    now_s: float, running: RunningArrays, taken: TakenArrays, total: IntArray, pairs: IntArray, plan: PlanArrays
) -> None:
    """Leave in `plan` what each job, in turn, is reserved: where it ends first, ties to the more powerful type.

    `pairs` (P, 2) are the jobs and types that could start now were nothing reserved. It ends where nobody behind can
    start now: jobs from there on have no type.
    """
    n, types = taken.milli.shape
    profile = _profile(now_s, running, 2 * n + 2)
    hopeful = len(pairs)
    plan.gpu_type[:] = NONE
    for i in range(n):
        best_end_s, best_s, best = np.inf, np.inf, NONE
        for kind in range(types):
            if taken.milli[i, kind] > 1000 * total[kind]:
                continue
            runtime_s = taken.runtime_s[i, kind]
            if now_s + runtime_s >= best_end_s:
                continue
            start_s = earliest_s(
                profile.times_s,
                profile.free,
                kind,
                profile.heads[kind],
                profile.counts[kind],
                taken.milli[i, kind],
                runtime_s,
                now_s,
            )
            if start_s + runtime_s < best_end_s:
                best_end_s, best_s, best = start_s + runtime_s, start_s, kind
        plan.start_s[i], plan.gpu_type[i] = best_s, best
        if best != NONE:
            take(
                profile.times_s,
                profile.free,
                profile.counts,
                profile.heads,
                best,
                taken.milli[i, best],
                best_s,
                best_end_s,
            )
        if ((i + 1) & i) == 0:
            hopeful = _hopeful(pairs, hopeful, i + 1, taken, profile, now_s)
            if hopeful == 0:
                return
