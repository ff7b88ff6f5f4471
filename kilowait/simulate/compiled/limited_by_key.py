"""Wherever it fits under power limits, best key first, compiled: `kilowait.policies.value` and `kilowait.policies.sjf`.

The key of a job is of what is expected under the limits at which it is seen when it arrives.
"""

import numpy as np

from kilowait.core.jit import inner, kernel
from kilowait.simulate.compiled.by_key import best_pair, fastest_kind, file_pairs
from kilowait.simulate.compiled.limited_starts import (
    NO_ROOM,
    Limits,
    arrive,
    give_back,
    limit_at_start,
    start_limited,
)
from kilowait.simulate.compiled.track import ARRIVED, F64, I64, LOGGED, NEVER, Tracks, WorldArrays, next_instant


@inner
def _set_keys(world: WorldArrays, limits: Limits, key_P: F64, job: int, kappa: float, shortest: bool) -> None:
    """The keys of a job that has arrived: its value's negative by type, or its seconds on its fastest type."""
    (jobs, types), least_s = world.size_NT.shape, np.inf
    for kind in range(types):
        if world.size_NT[job, kind]:
            least_s = min(least_s, limits.seen_s_NT[job, kind])
    for kind in range(types):
        if world.size_NT[job, kind]:
            gpu_s = world.sizes_S[world.size_NT[job, kind]] * limits.seen_s_NT[job, kind]
            value = 1 / gpu_s - kappa * limits.seen_kwh_NT[job, kind]
            key_P[kind * jobs + job] = least_s if shortest else -value


@kernel
def limited_by_key(
    world: WorldArrays, so_far: Tracks, first_B: I64, limits: Limits, kappa: float, shortest: bool
) -> None:
    """Run all jobs by value at `kappa`, or, `shortest` first, each where it is fastest; `first_B` is `first_pairs`.

    While there are no watts for the first one that fits, all wait.
    """
    heap, held_B = np.empty(first_B[-1], np.int32), np.zeros(len(first_B), np.int64)
    key_P, done_N, entered = np.empty(world.size_NT.size), np.zeros(len(world.submit_s_N), np.bool_), 0
    while True:
        logged = so_far.at[LOGGED]
        now_s = next_instant(world, so_far, NEVER)
        if now_s == NEVER:
            return
        give_back(world, so_far, limits, logged)
        for job in range(entered, so_far.at[ARRIVED]):
            if arrive(world, limits, job):
                _set_keys(world, limits, key_P, job, kappa, shortest)
                file_pairs(world, heap, first_B, held_B, key_P, job)
        entered = so_far.at[ARRIVED]
        while True:
            job, kind = best_pair(world, so_far, heap, first_B, held_B, key_P, done_N)
            if job < 0:
                break
            if shortest:
                kind = fastest_kind(world, so_far, limits.seen_s_NT, job)
            limit_w = limit_at_start(world, so_far, limits, job, kind)
            if limit_w == NO_ROOM:
                break
            done_N[job] = True
            start_limited(world, so_far, limits, job, kind, now_s, limit_w)
