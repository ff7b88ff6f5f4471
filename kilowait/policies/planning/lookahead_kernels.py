"""Plans against many futures, compiled: what `anticipatory` spends its time on. Imported when it first decides.

The waiting jobs come first, those of one future behind them.
"""

from typing import NamedTuple

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.jit import inner, kernel
from kilowait.policies.planning.futures import Futures
from kilowait.policies.planning.plan_kernels import (
    NONE,
    JobArrays,
    PlanArrays,
    Steps,
    by_area,
    copy,
    like,
    search,
    take,
)


class RecentJobs(NamedTuple):
    """As `JobArrays`, of the jobs that future ones are like."""

    milli: IntArray
    runtime_s: FloatArray
    extra_s: FloatArray
    by_price: IntArray


@inner
def _begun(waiting: int, plan: PlanArrays, now_s: float) -> IntArray:
    """The type of each waiting job that a plan starts now, `NONE` for the others."""
    chosen = np.full(waiting, NONE)
    for i in range(waiting):
        if plan.start_s[i] <= now_s:
            chosen[i] = plan.gpu_type[i]
    return chosen


@inner
def _append(jobs: JobArrays, waiting: int, known: RecentJobs, futures: Futures, scenario: int) -> int:
    """Put the jobs of a future behind the waiting ones; how many jobs that makes."""
    for k in range(futures.counts[scenario]):
        i, like = waiting + k, futures.like[scenario, k]
        jobs.release_s[i] = futures.arrive_s[scenario, k]
        jobs.milli[i] = known.milli[like]
        jobs.runtime_s[i] = known.runtime_s[like]
        jobs.extra_s[i] = known.extra_s[like]
        jobs.by_price[i] = known.by_price[like]
    jobs_in_all: int = waiting + futures.counts[scenario]
    return jobs_in_all


@inner
def _distinct(choices: IntArray, most: int) -> IntArray:
    """Up to `most` different rows of the choices: the first row, then the most frequent ones."""
    votes = np.zeros(len(choices), np.int64)
    for c in range(len(choices)):
        for d in range(c + 1):
            if (choices[c] == choices[d]).all():
                votes[d] += 1
                break
    votes[0] += len(choices)
    ranked = np.argsort(-votes, kind="mergesort")
    kept = 0
    while kept < min(len(choices), most) and votes[ranked[kept]] > 0:
        kept += 1
    return ranked[:kept]


@inner
def _begin(choice: IntArray, jobs: JobArrays, now_s: float, profile: Steps) -> tuple[float, float]:
    """Start the chosen jobs in `profile`; what their types cost them, and when the first of them ends."""
    cost_s, first_end_s = 0.0, np.inf
    for i in range(len(choice)):
        kind = choice[i]
        if kind != NONE:
            end_s = now_s + jobs.runtime_s[i, kind]
            take(profile.times_s, profile.free, profile.counts, profile.heads, kind, jobs.milli[i, kind], now_s, end_s)
            cost_s += jobs.extra_s[i, kind]
            first_end_s = min(first_end_s, end_s)
    return cost_s, first_end_s


@inner
def _rest_s(
    choice: IntArray,
    jobs: JobArrays,
    order: IntArray,
    now_s: float,
    next_s: float,
    profile: Steps,
    scratch: Steps,
    moves: int,
    plan: PlanArrays,
) -> float:
    """What the jobs cost that are not started now; no waiting one starts before anything happens, at `next_s`."""
    waiting, n = len(choice), 0
    held, rest = 0, np.empty_like(order)
    for i in order:
        if i >= waiting or choice[i] == NONE:
            rest[n] = i
            n += 1
        if i < waiting and choice[i] == NONE:
            jobs.release_s[i] = next_s
            held += 1
    if held and next_s == np.inf:
        return np.inf
    return held * (next_s - now_s if held else 0.0) + (
        search(rest[:n], jobs, profile, scratch, moves, plan) if n else 0.0
    )


@inner
def _hindsight(
    scenarios: tuple[int, int],
    now_s: float,
    waiting: int,
    profile: Steps,
    scratch: Steps,
    jobs: JobArrays,
    known: RecentJobs,
    futures: Futures,
    moves: IntArray,
    plan: PlanArrays,
    orders: IntArray,
    choices: IntArray,
) -> None:
    """Plan these scenarios as if each were known: its order of jobs, and in `choices[s + 1]` how it begins."""
    for s in range(scenarios[0], scenarios[1]):
        jobs.release_s[:waiting] = now_s
        n = _append(jobs, waiting, known, futures, s)
        order = by_area(jobs, n)
        search(order, jobs, profile, scratch, moves[n], plan)
        orders[s, :n] = order
        choices[s + 1] = _begun(waiting, plan, now_s)


@inner
def _mean_cost_s(
    choice: IntArray,
    count: int,
    now_s: float,
    next_end_s: float,
    profile: Steps,
    behind: Steps,
    scratch: Steps,
    jobs: JobArrays,
    known: RecentJobs,
    futures: Futures,
    moves: IntArray,
    plan: PlanArrays,
    orders: IntArray,
) -> float:
    """What a choice costs on average over the first `count` futures, with the best plan behind it in each."""
    copy(profile, behind)
    begun_s, first_end_s = _begin(choice, jobs, now_s, behind)
    cost_s = begun_s * count
    for s in range(count):
        n = _append(jobs, len(choice), known, futures, s)
        next_s = min(next_end_s, first_end_s, futures.arrive_s[s, 0] if futures.counts[s] else np.inf)
        cost_s += _rest_s(choice, jobs, orders[s, :n], now_s, next_s, behind, scratch, moves[n] // 4, plan)
    return cost_s / count


@kernel
def decide(
    now_s: float,
    next_end_s: float,
    profile: Steps,
    jobs: JobArrays,
    crowded_s: FloatArray,
    crowded_by_price: IntArray,
    known: RecentJobs,
    futures: Futures,
    chunk: int,
    most: int,
    moves: IntArray,
    seed: int,
    chosen: IntArray,
) -> None:
    """Set `chosen` (n,) to the type on which each waiting job starts now, `NONE` for those that do not.

    `crowded_s` (n, T) replaces the extra costs, and `crowded_by_price` the order of the types, for a plan without
    futures. One plan is made for each future, as if it were known; the different starts that these plans begin with,
    `most` of them, are compared over all futures by what
    the best plan behind each costs on average. Futures are taken up `chunk` at a time, until all plans agree or all
    are seen. `moves[n]` are the insertions for n jobs. `next_end_s` is inf where nothing runs: then something starts.
    """
    np.random.seed(seed)
    waiting, scenarios = len(crowded_s), len(futures.counts)
    plan = PlanArrays(np.empty(len(jobs.release_s)), np.empty(len(jobs.release_s), np.int64))
    scratch = like(profile)
    behind = like(profile)
    choices = np.full((scenarios + 1, waiting), NONE)
    orders = np.empty((scenarios, len(jobs.release_s)), np.int64)
    alone = JobArrays(jobs.release_s, jobs.milli, jobs.runtime_s, crowded_s, crowded_by_price)
    search(by_area(jobs, waiting), alone, profile, scratch, moves[waiting], plan)
    choices[0] = _begun(waiting, plan, now_s)
    count = 0
    while count < scenarios:
        span = (count, min(count + chunk, scenarios))
        _hindsight(span, now_s, waiting, profile, scratch, jobs, known, futures, moves, plan, orders, choices)
        count = span[1]
        if len(_distinct(choices[: count + 1], 2)) == 1:
            chosen[:] = choices[0]
            return
    best, least_s = 0, np.inf
    for c in _distinct(choices, most):
        if next_end_s < np.inf or (choices[c] != NONE).any():
            cost_s = _mean_cost_s(
                choices[c],
                count,
                now_s,
                next_end_s,
                profile,
                behind,
                scratch,
                jobs,
                known,
                futures,
                moves,
                plan,
                orders,
            )
            if cost_s < least_s:
                best, least_s = c, cost_s
    chosen[:] = choices[best]
