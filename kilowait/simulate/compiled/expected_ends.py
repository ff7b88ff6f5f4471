"""Expected ends of running jobs, compiled: `kilowait.cluster.views.ends` and `kilowait.cluster.overrun` over arrays."""

from typing import NamedTuple

import numpy as np

from kilowait.cluster.overrun import RUNGS
from kilowait.core.jit import inner
from kilowait.simulate.compiled.track import F64, I32, I64, LOGGED, NEVER, Tracks, WorldArrays


class CompiledEnds(NamedTuple):
    """Expected ends of the running jobs in seconds, the GPUs that each gives back, and which start it was.

    Those of type t begin at `first_T[t]`; the soonest of its `count_T[t]` come first. `high_s_NT` are the upper ends of
    the predictions' intervals, 0 where there is none, and `rungs` are `kilowait.cluster.overrun.RUNGS`.
    """

    end_s: F64
    gpus: I64
    serial: I32
    first_T: I64
    count_T: I64
    high_s_NT: F64
    rungs: F64


def no_ends(world: WorldArrays, high_s_NT: F64) -> CompiledEnds:
    """Room for the expected ends of all jobs that can run at a time."""
    first_T = np.concatenate([[0], np.cumsum(np.minimum(world.total_T, len(world.submit_s_N)))])
    count_T, room = np.zeros(len(world.total_T), np.int64), first_T[-1]
    return CompiledEnds(
        np.empty(room), np.empty(room, np.int64), np.empty(room, np.int32), first_T, count_T, high_s_NT, np.array(RUNGS)
    )


@inner
def add(ends: CompiledEnds, kind: int, end_s: float, gpus: int, serial: int) -> None:
    """A job has started, or has a later estimate."""
    first, place = ends.first_T[kind], ends.first_T[kind] + ends.count_T[kind]
    while place > first and ends.end_s[place - 1] > end_s:
        ends.end_s[place], ends.gpus[place] = ends.end_s[place - 1], ends.gpus[place - 1]
        ends.serial[place] = ends.serial[place - 1]
        place -= 1
    ends.end_s[place], ends.gpus[place], ends.serial[place] = end_s, gpus, serial
    ends.count_T[kind] += 1


@inner
def _remove(ends: CompiledEnds, kind: int, serial: int) -> None:
    """A job has ended, or its estimate has passed."""
    place, last = ends.first_T[kind], ends.first_T[kind] + ends.count_T[kind] - 1
    while ends.serial[place] != serial:
        place += 1
    while place < last:
        ends.end_s[place], ends.gpus[place] = ends.end_s[place + 1], ends.gpus[place + 1]
        ends.serial[place] = ends.serial[place + 1]
        place += 1
    ends.count_T[kind] -= 1


@inner
def drop_ended(world: WorldArrays, so_far: Tracks, ends: CompiledEnds, logged: int) -> None:
    """Forget the ends of the jobs whose completions the log has from `logged` on."""
    jobs = len(world.submit_s_N)
    for place in range(logged, so_far.at[LOGGED]):
        serial = so_far.log[place] - 2 * jobs
        if serial >= 0:
            _remove(ends, so_far.kind[serial], serial)


@inner
def next_renewal_s(ends: CompiledEnds) -> float:
    """When the first of the estimates passes, NEVER with nothing running."""
    next_s = NEVER
    for kind in range(len(ends.count_T)):
        if ends.count_T[kind]:
            next_s = min(next_s, ends.end_s[ends.first_T[kind]])
    return next_s


@inner
def renew(world: WorldArrays, so_far: Tracks, ends: CompiledEnds, seen_s_NT: F64, now_s: float) -> None:
    """Give a later estimate to the jobs whose estimate has passed."""
    for kind in range(len(ends.count_T)):
        first = ends.first_T[kind]
        while ends.count_T[kind] and ends.end_s[first] <= now_s:
            serial, gpus = ends.serial[first], ends.gpus[first]
            job = so_far.job[serial]
            high_s = ends.high_s_NT[job, kind]
            end_s = _renewed_end_s(so_far.start_s[serial], seen_s_NT[job, kind], high_s, now_s, ends.rungs)
            _remove(ends, kind, serial)
            add(ends, kind, end_s, gpus, serial)


@inner
def _renewed_end_s(placed_s: float, runtime_s: float, high_s: float, now_s: float, rungs: F64) -> float:
    """As `kilowait.cluster.overrun.renewed_end_s`, operation by operation."""
    rung_s = runtime_s
    if high_s > runtime_s:
        for share in rungs:
            end_s: float = placed_s + runtime_s * (high_s / runtime_s) ** share
            if end_s > now_s:
                return end_s
        rung_s = high_s
    while placed_s + rung_s <= now_s:
        rung_s *= 2
    return placed_s + rung_s


@inner
def earliest_s(ends: CompiledEnds, kind: int, free: int, gpus: int, now_s: float) -> float:
    """The first time, now or an expected end, at which so many GPUs of a type are free."""
    start_s = now_s
    for place in range(ends.first_T[kind], ends.first_T[kind] + ends.count_T[kind]):
        if free >= gpus:
            break
        free += ends.gpus[place]
        start_s = ends.end_s[place]
    return start_s
