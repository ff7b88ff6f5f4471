"""Wherever it fits, best key first, compiled: `kilowait.policies.value` and `kilowait.policies.sjf`.

Each bucket has a heap of its waiting jobs. A job that has started stays in its other heaps until it comes to the top.
"""

from typing import NamedTuple

import numpy as np

from kilowait.core.jit import inner, kernel
from kilowait.simulate.compiled.track import (
    ARRIVED,
    F64,
    I32,
    I64,
    NEVER,
    Bools,
    Tracks,
    WorldArrays,
    next_instant,
    pop,
    push,
    start,
)


class Weighed(NamedTuple):
    """What Value weighs on a scale that moves: GPU-seconds and kWh of pairs, and `weight`, its kappa_relative.

    Epoch E of the scale begins when job `since_E` has arrived, and has s = `gpu_s_E` and E = `energy_kwh_E`. Without
    any epochs the keys stand as they are given.
    """

    work_NT: F64
    energy_NT: F64
    weight: float
    since_E: I64
    gpu_s_E: F64
    energy_kwh_E: F64


@inner
def _weigh(world: WorldArrays, weighed: Weighed, epoch: int, job: int, key_P: F64) -> None:
    """Set the keys of a job: as `kilowait.policies.value.negative_relative_value`, operation by operation."""
    jobs, s, scale_kwh = len(world.submit_s_N), weighed.gpu_s_E[epoch], weighed.energy_kwh_E[epoch]
    for kind in range(world.size_NT.shape[1]):
        if world.size_NT[job, kind]:
            energy = weighed.energy_NT[job, kind] / scale_kwh if scale_kwh else 0.0
            key_P[kind * jobs + job] = -(s / weighed.work_NT[job, kind] - weighed.weight * energy)


@inner
def file_pairs(world: WorldArrays, heap: I32, first_B: I64, held_B: I64, key_P: F64, job: int) -> None:
    """Put all pairs of a job into their buckets."""
    (jobs, types), sizes = world.size_NT.shape, len(world.sizes_S)
    for kind in range(types):
        size = world.size_NT[job, kind]
        if size:
            bucket = kind * sizes + size
            push(heap, first_B[bucket], held_B[bucket], key_P, kind * jobs, job)
            held_B[bucket] += 1


@inner
def best_pair(
    world: WorldArrays, so_far: Tracks, heap: I32, first_B: I64, held_B: I64, key_P: F64, done_N: Bools
) -> tuple[int, int]:
    """The waiting pair that fits and has the least key, then the earlier job, then the earlier type; -1 for none."""
    (jobs, types), sizes = world.size_NT.shape, len(world.sizes_S)
    best, on, least = -1, -1, 0.0
    for kind in range(types):
        for size in range(1, sizes):
            if world.sizes_S[size] > so_far.free_T[kind]:
                break
            bucket = kind * sizes + size
            first = first_B[bucket]
            while held_B[bucket] and done_N[heap[first]]:
                pop(heap, first, held_B[bucket], key_P, kind * jobs)
                held_B[bucket] -= 1
            if held_B[bucket]:
                job = heap[first]
                key = key_P[kind * jobs + job]
                if best < 0 or key < least or (key == least and job < best):
                    best, on, least = job, kind, key
    return best, on


@inner
def fastest_kind(world: WorldArrays, so_far: Tracks, seen_s_NT: F64, job: int) -> int:
    """The type of the least predicted seconds on which a job, that fits somewhere, fits now."""
    fastest = -1
    for kind in range(seen_s_NT.shape[1]):
        size = world.size_NT[job, kind]
        fits = size > 0 and world.sizes_S[size] <= so_far.free_T[kind]
        if fits and (fastest < 0 or seen_s_NT[job, kind] < seen_s_NT[job, fastest]):
            fastest = kind
    return fastest


@kernel
def by_key(
    world: WorldArrays, so_far: Tracks, first_B: I64, key_P: F64, weighed: Weighed, seen_s_NT: F64, any_type: bool
) -> None:
    """Run all jobs by `key_P`, smallest first, that of a job on a type at type * N + job; `first_B` is `first_pairs`.

    With `any_type` a job goes where it is fastest, not to the key's type.
    """
    heap, held_B = np.empty(first_B[-1], np.int32), np.zeros(len(first_B), np.int64)
    done_N = np.zeros(len(seen_s_NT), np.bool_)
    epoch, epochs, filed = -1, len(weighed.since_E), 0
    while True:
        now_s = next_instant(world, so_far, NEVER)
        if now_s == NEVER:
            return
        last_epoch, arrived = epoch, so_far.at[ARRIVED]
        while epoch + 1 < epochs and weighed.since_E[epoch + 1] < arrived:
            epoch += 1
        if epoch != last_epoch:  # another scale: all keys anew
            for bucket in range(len(held_B)):
                held_B[bucket] = 0
            filed = 0
        for job in range(filed, arrived):
            if not done_N[job]:
                if epochs:
                    _weigh(world, weighed, epoch, job, key_P)
                file_pairs(world, heap, first_B, held_B, key_P, job)
        filed = arrived
        while True:
            job, kind = best_pair(world, so_far, heap, first_B, held_B, key_P, done_N)
            if job < 0:
                break
            if any_type:
                kind = fastest_kind(world, so_far, seen_s_NT, job)
            done_N[job] = True
            start(world, so_far, job, kind, now_s)
