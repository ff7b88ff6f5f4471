"""EASY backfill, compiled: `kilowait.policies.easy` without looking at the queue.

What a decision asks is which job comes first in the queue among those that want so many GPUs of a type and, on the
head's type, end by the shadow time. Each bucket has a tree of minima over its jobs in queue order for that: a leaf is
the job's predicted seconds while it may be backfilled, else infinity, and the answer is the leftmost leaf that is small
enough. Jobs enter it as they arrive, and leave as they start or become the head.
"""

from typing import NamedTuple

import numpy as np

from kilowait.core.jit import inner, kernel
from kilowait.simulate.compiled.expected_ends import (
    CompiledEnds,
    add,
    drop_ended,
    earliest_s,
    next_renewal_s,
    renew,
)
from kilowait.simulate.compiled.track import (
    ARRIVED,
    F64,
    I32,
    I64,
    LOGGED,
    NEVER,
    STARTED,
    Bools,
    Tracks,
    WorldArrays,
    first_pairs,
    next_instant,
    start,
)

ANY_S = 1e300
"""Later than everything that ends."""


class Forest(NamedTuple):
    """The trees of the buckets: bucket b has `leaves_B[b]`, a power of two, and its nodes are `first_B[b]` + 1 and on.

    `job` is by `pair_B[b]` + leaf, and `leaf_NT` says which leaf of its bucket a pair is.
    """

    tree: F64
    first_B: I64
    leaves_B: I64
    pair_B: I64
    job: I32
    leaf_NT: I32


def forest(world: WorldArrays) -> Forest:
    """Trees with a leaf for every pair, in none of which a job waits yet."""
    sizes, pair_B, leaf_NT = len(world.sizes_S), first_pairs(world), np.zeros_like(world.size_NT)
    counts_B = np.diff(pair_B)
    leaves_B = 1 << np.ceil(np.log2(np.maximum(counts_B, 1))).astype(np.int64)
    in_order = []
    for kind, size_N in enumerate(world.size_NT.T):
        order = np.argsort(size_N, kind="stable").astype(np.int32)
        order = order[len(order) - counts_B[kind * sizes : (kind + 1) * sizes].sum() :]
        before = pair_B[kind * sizes + size_N[order]] - pair_B[kind * sizes]
        leaf_NT[order, kind] = np.arange(len(order)) - before
        in_order.append(order)
    first_B = np.concatenate([[0], np.cumsum(2 * leaves_B)])
    return Forest(np.full(first_B[-1], np.inf), first_B, leaves_B, pair_B, np.concatenate(in_order), leaf_NT)


@inner
def _set(forest: Forest, bucket: int, leaf: int, value: float) -> None:
    """Change a leaf of a bucket's tree."""
    tree, first = forest.tree, forest.first_B[bucket]
    node = forest.leaves_B[bucket] + leaf
    tree[first + node] = value
    while node > 1:
        node >>= 1
        least = min(tree[first + 2 * node], tree[first + 2 * node + 1])
        if tree[first + node] == least:
            break
        tree[first + node] = least


@inner
def _enter(world: WorldArrays, forest: Forest, seen_s_NT: F64, job: int) -> bool:
    """Let a job wait in all its buckets; False when it has none."""
    sizes, waits = len(world.sizes_S), False
    for kind in range(world.size_NT.shape[1]):
        size = world.size_NT[job, kind]
        if size:
            _set(forest, kind * sizes + size, forest.leaf_NT[job, kind], seen_s_NT[job, kind])
            waits = True
    return waits


@inner
def _leave(world: WorldArrays, forest: Forest, job: int) -> None:
    """A job waits in no bucket any more."""
    sizes = len(world.sizes_S)
    for kind in range(world.size_NT.shape[1]):
        size = world.size_NT[job, kind]
        if size:
            _set(forest, kind * sizes + size, forest.leaf_NT[job, kind], np.inf)


@inner
def _leftmost(forest: Forest, bucket: int, now_s: float, limit_s: float) -> int:
    """The first job of a bucket that, started now, is predicted to end by `limit_s`; -1 when there is none."""
    tree, first, leaves = forest.tree, forest.first_B[bucket], forest.leaves_B[bucket]
    if not now_s + tree[first + 1] <= limit_s:
        return -1
    node = 1
    while node < leaves:
        node *= 2
        if not now_s + tree[first + node] <= limit_s:
            node += 1
    return int(forest.job[forest.pair_B[bucket] + node - leaves])


@inner
def _soonest(
    world: WorldArrays, so_far: Tracks, ends: CompiledEnds, seen_s_NT: F64, job: int, now_s: float
) -> tuple[int, float, int]:
    """The type on which a job would end first, its start there (the shadow time), and the extra GPUs then."""
    best, best_start_s, best_end_s = -1, NEVER, NEVER
    for kind in range(world.size_NT.shape[1]):
        size = world.size_NT[job, kind]
        if size:
            start_s = earliest_s(ends, kind, so_far.free_T[kind], world.sizes_S[size], now_s)
            if best < 0 or start_s + seen_s_NT[job, kind] < best_end_s:
                best, best_start_s, best_end_s = kind, start_s, start_s + seen_s_NT[job, kind]
    extra = so_far.free_T[best] - world.sizes_S[world.size_NT[job, best]]
    for place in range(ends.first_T[best], ends.first_T[best] + ends.count_T[best]):
        if ends.end_s[place] > best_start_s:
            break
        extra += ends.gpus[place]
    return best, best_start_s, extra


@inner
def _candidate(
    world: WorldArrays, so_far: Tracks, forest: Forest, now_s: float, held: int, shadow_s: float, extra: int
) -> int:
    """The first job behind the head that fits now on a type where it does not delay the head; -1 for none."""
    sizes, first = len(world.sizes_S), -1
    for kind in range(len(world.total_T)):
        for size in range(1, sizes):
            gpus = world.sizes_S[size]
            if gpus > so_far.free_T[kind]:
                break
            limit_s = shadow_s if kind == held and gpus > extra else ANY_S
            job = _leftmost(forest, kind * sizes + size, now_s, limit_s)
            if job >= 0 and (first < 0 or job < first):
                first = job
    return first


@inner
def _fastest_admitted(
    world: WorldArrays, so_far: Tracks, seen_s_NT: F64, job: int, now_s: float, held: int, shadow_s: float, extra: int
) -> int:
    """Of the types on which a candidate fits without delaying the head, that of the least predicted seconds."""
    fastest = -1
    for kind in range(len(world.total_T)):
        size = world.size_NT[job, kind]
        if size == 0 or world.sizes_S[size] > so_far.free_T[kind]:
            continue
        if kind == held and world.sizes_S[size] > extra and now_s + seen_s_NT[job, kind] > shadow_s:
            continue
        if fastest < 0 or seen_s_NT[job, kind] < seen_s_NT[job, fastest]:
            fastest = kind
    return fastest


@inner
def _backfill(
    world: WorldArrays,
    so_far: Tracks,
    forest: Forest,
    ends: CompiledEnds,
    seen_s_NT: F64,
    done_N: Bools,
    now_s: float,
    held: int,
    shadow_s: float,
    extra: int,
) -> None:
    """Start the jobs behind the head, in queue order, that do not delay it."""
    while True:
        job = _candidate(world, so_far, forest, now_s, held, shadow_s, extra)
        if job < 0:
            return
        kind = _fastest_admitted(world, so_far, seen_s_NT, job, now_s, held, shadow_s, extra)
        gpus, end_s = world.sizes_S[world.size_NT[job, kind]], now_s + seen_s_NT[job, kind]
        if kind == held and end_s > shadow_s:
            extra -= gpus
        done_N[job] = True
        _leave(world, forest, job)
        start(world, so_far, job, kind, now_s)
        add(ends, kind, end_s, gpus, so_far.at[STARTED] - 1)


@kernel
def easy_backfill(world: WorldArrays, so_far: Tracks, forest: Forest, ends: CompiledEnds, seen_s_NT: F64) -> None:
    """Run all jobs; `seen_s_NT` are the predicted seconds, the others as `forest` and `no_ends` give them.

    The upper ends of the predictions' intervals are in `ends`.
    """
    done_N, head, entered, left = np.zeros(len(seen_s_NT), np.bool_), so_far.at[ARRIVED], so_far.at[ARRIVED], -1
    while True:
        logged = so_far.at[LOGGED]
        now_s = next_instant(world, so_far, next_renewal_s(ends) if head < entered else NEVER)
        if now_s == NEVER:
            return
        drop_ended(world, so_far, ends, logged)
        renew(world, so_far, ends, seen_s_NT, now_s)
        for job in range(entered, so_far.at[ARRIVED]):
            done_N[job] = not _enter(world, forest, seen_s_NT, job)  # it is refused
        entered = so_far.at[ARRIVED]
        while head < entered:
            if done_N[head]:
                head += 1
                continue
            if left < head:  # the head is no candidate
                _leave(world, forest, head)
                left = head
            held, shadow_s, extra = _soonest(world, so_far, ends, seen_s_NT, head, now_s)
            gpus = world.sizes_S[world.size_NT[head, held]]
            if shadow_s > now_s or gpus > so_far.free_T[held]:
                _backfill(world, so_far, forest, ends, seen_s_NT, done_N, now_s, held, shadow_s, extra)
                break
            done_N[head] = True
            start(world, so_far, head, held, now_s)
            add(ends, held, now_s + seen_s_NT[head, held], gpus, so_far.at[STARTED] - 1)
