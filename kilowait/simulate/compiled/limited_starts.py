"""Power limits and a power budget in the kernels: `LimitPrice` and `PowerBudget`, operation by operation.

Curves of limits lie one after another: those of job n on type t at pair n * T + t. Suffix P: pairs; the others as in
`kilowait.simulate.compiled.track`.
"""

from typing import NamedTuple

import numpy as np

from kilowait.core.jit import inner
from kilowait.core.units import JOULES_PER_KWH
from kilowait.simulate.compiled.track import ARRIVED, F64, I64, LOGGED, STARTED, Bools, Tracks, WorldArrays, start

NO_LIMIT, NO_ROOM = -1.0, -2.0
"""What stands for a limit where a job gets none, and where it cannot start for want of watts."""
COMMITTED = 0
"""Where the watts that are promised stand in `Limits.committed_w`."""


class Curves(NamedTuple):
    """Known limits from `first_P[p]` until `first_P[p + 1]`, falling, and what is expected without any, by (job, type).

    `limit_w` is of a board, `runtime_s` and `energy_kwh` are of the whole job.
    """

    first_P: I64
    limit_w: F64
    runtime_s: F64
    energy_kwh: F64
    whole_s_NT: F64
    whole_kwh_NT: F64


class Limits(NamedTuple):
    """By what limits are chosen, and which were.

    `weights` are the price of a kWh in seconds and the congestion. With `priced` policies see each type at its cheapest
    limit; with `budget` jobs start within `watts`, at no more than `top_P`, and `watt_price_N` is a watt's price once
    that job has arrived. `seen_s_NT` and `seen_kwh_NT` are what a policy sees; `crowd_N` is how many waited when a job
    arrived, it included. By start there are `chosen_w` and `energy_kwh`, and `promised_w` to it.
    """

    seen: Curves
    true: Curves
    weights: F64
    priced: bool
    budget: bool
    watts: float
    idle_w_T: F64
    top_P: F64
    watt_price_N: F64
    admitted_N: Bools
    seen_s_NT: F64
    seen_kwh_NT: F64
    crowd_N: I64
    chosen_w: F64
    energy_kwh: F64
    promised_w: F64
    committed_w: F64
    waiting: I64


@inner
def _between(curves: Curves, pair: int, limit_w: float) -> tuple[float, float]:
    """Seconds and kWh under a limit, as `Prediction.figures_under`."""
    first, end = curves.first_P[pair], curves.first_P[pair + 1]
    if first == end or limit_w == NO_LIMIT:
        types = curves.whole_s_NT.shape[1]
        return curves.whole_s_NT[pair // types, pair % types], curves.whole_kwh_NT[pair // types, pair % types]
    if limit_w >= curves.limit_w[first]:
        return curves.runtime_s[first], curves.energy_kwh[first]
    for below in range(first + 1, end):
        above = below - 1
        if limit_w >= curves.limit_w[below]:
            part = (curves.limit_w[above] - limit_w) / (curves.limit_w[above] - curves.limit_w[below])
            runtime_s = curves.runtime_s[above] + part * (curves.runtime_s[below] - curves.runtime_s[above])
            kwh = curves.energy_kwh[above] + part * (curves.energy_kwh[below] - curves.energy_kwh[above])
            return runtime_s, kwh
    return curves.runtime_s[end - 1] * curves.limit_w[end - 1] / limit_w, curves.energy_kwh[end - 1]


@inner
def _held(curves: Curves, pair: int, limit_w: float, gpus: int) -> tuple[float, float]:
    """Seconds and kWh under a limit that is kept, as `kilowait.simulate.within_power.power_budget.held`."""
    runtime_s, energy_kwh = _between(curves, pair, limit_w)
    watts = energy_kwh * JOULES_PER_KWH / runtime_s / gpus
    return (runtime_s if watts <= limit_w else runtime_s * watts / limit_w), energy_kwh


@inner
def _cheapest(limits: Limits, pair: int, crowd: float) -> float:
    """The cheapest known limit of a pair, NO_LIMIT without any."""
    best_w, least = NO_LIMIT, np.inf
    for place in range(limits.seen.first_P[pair], limits.seen.first_P[pair + 1]):
        cost_s = (1 + crowd) * limits.seen.runtime_s[place] + limits.weights[0] * limits.seen.energy_kwh[place]
        if best_w == NO_LIMIT or cost_s < least:
            best_w, least = limits.seen.limit_w[place], cost_s
    return best_w


@inner
def _crowd(world: WorldArrays, limits: Limits, kind: int, waiting: int, gpus: int) -> float:
    crowd: float = limits.weights[1] * waiting * gpus / max(world.total_T[kind], 1)
    return crowd


@inner
def arrive(world: WorldArrays, limits: Limits, job: int) -> bool:
    """Let a job wait, seen at its cheapest limits; False for one that is refused."""
    if not limits.admitted_N[job]:
        return False
    types = world.size_NT.shape[1]
    limits.waiting[0] += 1
    limits.crowd_N[job] = limits.waiting[0]
    if limits.priced:
        for kind in range(types):
            gpus = world.sizes_S[world.size_NT[job, kind]]
            if gpus > 0:
                crowd = _crowd(world, limits, kind, limits.waiting[0], gpus)
                limit_w = _cheapest(limits, job * types + kind, crowd)
                told_s, told_kwh = _between(limits.seen, job * types + kind, limit_w)
                limits.seen_s_NT[job, kind], limits.seen_kwh_NT[job, kind] = told_s, told_kwh
    return True


@inner
def limit_at_start(world: WorldArrays, so_far: Tracks, limits: Limits, job: int, kind: int) -> float:
    """The limit of a job that fits and starts now; NO_ROOM where there are no watts for it."""
    pair, gpus = job * world.size_NT.shape[1] + kind, world.sizes_S[world.size_NT[job, kind]]
    crowd = _crowd(world, limits, kind, limits.waiting[0] - 1, gpus)
    if not limits.budget:
        return _cheapest(limits, pair, crowd)
    idle_w, top_w = limits.idle_w_T[kind], limits.top_P[pair]
    most_w = idle_w + (limits.watts - limits.committed_w[COMMITTED]) / gpus
    worth = 0.0 if limits.waiting[0] < 2 else limits.watt_price_N[so_far.at[ARRIVED] - 1]
    best_w, least = NO_ROOM, np.inf
    for place in range(limits.seen.first_P[pair] - 1, limits.seen.first_P[pair + 1]):
        own = place < limits.seen.first_P[pair]
        limit_w = top_w if own else limits.seen.limit_w[place]
        if limit_w > most_w or (not own and limit_w >= top_w):
            continue
        told_s, told_kwh = _held(limits.seen, pair, limit_w, gpus)
        priced_s = told_s * (1 + worth * (limit_w - idle_w))
        cost_s = (1 + crowd) * priced_s + limits.weights[0] * told_kwh
        if best_w == NO_ROOM or cost_s < least:
            best_w, least = limit_w, cost_s
    return best_w


@inner
def start_limited(
    world: WorldArrays, so_far: Tracks, limits: Limits, job: int, kind: int, now_s: float, limit_w: float
) -> None:
    """Start a job under a limit, or without one, and schedule its true end."""
    pair, gpus = job * world.size_NT.shape[1] + kind, world.sizes_S[world.size_NT[job, kind]]
    serial = so_far.at[STARTED]
    if limits.budget:
        true_s, true_kwh = _held(limits.true, pair, limit_w, gpus)
        limits.promised_w[serial] = gpus * (limit_w - limits.idle_w_T[kind])
        limits.committed_w[COMMITTED] += limits.promised_w[serial]
    else:
        true_s, true_kwh = _between(limits.true, pair, limit_w)
    world.true_s_NT[job, kind] = true_s
    limits.chosen_w[serial], limits.energy_kwh[serial] = limit_w, true_kwh
    limits.waiting[0] -= 1
    start(world, so_far, job, kind, now_s)


@inner
def give_back(world: WorldArrays, so_far: Tracks, limits: Limits, logged: int) -> None:
    """Give back the watts of the jobs whose completions the log has from `logged` on."""
    jobs = len(world.submit_s_N)
    for place in range(logged, so_far.at[LOGGED]):
        serial = so_far.log[place] - 2 * jobs
        if serial >= 0:
            limits.committed_w[COMMITTED] -= limits.promised_w[serial]
