"""The event loop over arrays, compiled by numba: what `kilowait.simulate.loop` does, start by start.

Jobs are numbered in queue order, GPU types from the most powerful, attempts ("starts") as they are decided. Heaps and
bisections replace the indexes of `kilowait.cluster.views.ranking` and `kilowait.cluster.views.ends`; nothing here sorts
or walks a queue at an event. Suffixes: N jobs, T types, S sizes (numbers of GPUs that some job asks for, 0 first for a
type it cannot use), B buckets (type * S + size), whose pairs fit or do not fit together.

Here is what all kernels share: the heap of completions, instant after instant.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kilowait.core.jit import inner

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
Bools = NDArray[np.bool_]

NEVER = np.inf
ARRIVED, STARTED, RUNNING, LOGGED = range(4)
"""What `Tracks.at` counts: jobs arrived, attempts started, attempts in the heap of completions, entries of the log."""


class WorldArrays(NamedTuple):
    """Jobs and GPUs, nothing of which changes: seconds, and positions in `sizes_S` of what each job asks for."""

    submit_s_N: F64
    size_NT: I32
    sizes_S: I64
    true_s_NT: F64
    total_T: I64


class Tracks(NamedTuple):
    """What happened so far. `job`, `kind` (GPU type), `start_s` and `end_s` are by start.

    `log` has a job's number for its arrival, N + start for a placement and 2 N + start for a completion. `heap` holds
    the starts that run, the soonest end first, of equal ends the earlier start.
    """

    job: I32
    kind: I32
    start_s: F64
    end_s: F64
    log: I32
    heap: I32
    free_T: I64
    at: I64


def tracks(world: WorldArrays) -> Tracks:
    """Room for a whole run, nothing of which has happened yet."""
    jobs = len(world.submit_s_N)
    return Tracks(
        job=np.empty(jobs, np.int32),
        kind=np.empty(jobs, np.int32),
        start_s=np.empty(jobs),
        end_s=np.empty(jobs),
        log=np.empty(3 * jobs, np.int32),
        heap=np.empty(jobs, np.int32),
        free_T=world.total_T.copy(),
        at=np.zeros(4, np.int64),
    )


def first_pairs(world: WorldArrays) -> I64:
    """Where each bucket's pairs begin when they lie one after another; B + 1 positions."""
    sizes = len(world.sizes_S)
    counts = [np.bincount(size_N, minlength=sizes) for size_N in world.size_NT.T]
    counts_B = np.concatenate(counts)
    counts_B[::sizes] = 0  # pairs that cannot be
    return np.concatenate([[0], np.cumsum(counts_B)])


@inner
def push(heap: I32, first: int, size: int, key: F64, offset: int, item: int) -> None:
    """Add `item` to the heap of `size` items at `first`; smaller keys are above, then smaller items.

    The key of an item is `key[offset + item]`.
    """
    place, item_key = size, key[offset + item]
    while place > 0:
        parent = (place - 1) >> 1
        parent_item = heap[first + parent]
        parent_key = key[offset + parent_item]
        if parent_key < item_key or (parent_key == item_key and parent_item < item):
            break
        heap[first + place] = parent_item
        place = parent
    heap[first + place] = item


@inner
def pop(heap: I32, first: int, size: int, key: F64, offset: int) -> None:
    """Drop the top of the heap of `size` items at `first`."""
    size -= 1
    item = heap[first + size]
    place, item_key = 0, key[offset + item]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        child_item = heap[first + child]
        child_key = key[offset + child_item]
        if child + 1 < size:
            right_item = heap[first + child + 1]
            right_key = key[offset + right_item]
            if right_key < child_key or (right_key == child_key and right_item < child_item):
                child, child_item, child_key = child + 1, right_item, right_key
        if item_key < child_key or (item_key == child_key and item < child_item):
            break
        heap[first + place] = child_item
        place = child
    heap[first + place] = item


@inner
def next_instant(world: WorldArrays, so_far: Tracks, wanted_s: float) -> float:
    """Take in all completions, then all arrivals of the next instant; returns it, NEVER when nothing is left.

    It is no later than `wanted_s`, though nothing happens then.
    """
    submit_s_N, at, jobs = world.submit_s_N, so_far.at, len(world.submit_s_N)
    heap, end_s, log = so_far.heap, so_far.end_s, so_far.log
    now_s = NEVER
    if at[RUNNING]:
        now_s = end_s[heap[0]]
    if at[ARRIVED] < jobs:
        now_s = min(now_s, submit_s_N[at[ARRIVED]])
    now_s = min(now_s, wanted_s)
    if now_s == NEVER:
        return now_s
    while at[RUNNING] and end_s[heap[0]] == now_s:
        serial = heap[0]
        pop(heap, 0, at[RUNNING], end_s, 0)
        at[RUNNING] -= 1
        kind = so_far.kind[serial]
        so_far.free_T[kind] += world.sizes_S[world.size_NT[so_far.job[serial], kind]]
        log[at[LOGGED]] = 2 * jobs + serial
        at[LOGGED] += 1
    while at[ARRIVED] < jobs and submit_s_N[at[ARRIVED]] == now_s:
        log[at[LOGGED]] = at[ARRIVED]
        at[LOGGED] += 1
        at[ARRIVED] += 1
    return now_s


@inner
def start(world: WorldArrays, so_far: Tracks, job: int, kind: int, now_s: float) -> None:
    """Start a job that fits, and schedule its true end."""
    at, serial = so_far.at, so_far.at[STARTED]
    so_far.job[serial], so_far.kind[serial], so_far.start_s[serial] = job, kind, now_s
    so_far.end_s[serial] = now_s + world.true_s_NT[job, kind]
    so_far.free_T[kind] -= world.sizes_S[world.size_NT[job, kind]]
    so_far.log[at[LOGGED]] = len(world.submit_s_N) + serial
    push(so_far.heap, 0, at[RUNNING], so_far.end_s, 0, serial)
    at[LOGGED] += 1
    at[RUNNING] += 1
    at[STARTED] += 1
