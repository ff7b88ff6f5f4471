"""Waiting (job, GPU type) pairs in the order of a key, kept sorted while jobs come and go.

A job's key does not change while it waits, so one insertion a pair replaces sorting the queue at every event. A job
that leaves is not searched for: its entries are skipped where they are met, and swept out once they are the half.
"""

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any
from weakref import ref

from kilowait.cluster.standing import Waiting
from kilowait.cluster.views.room import Room
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import WHOLE

Key = Callable[[Job, str, Prediction], float]
"""What a pair is ordered by, smallest first: a pure function of the job, the GPU type and the prediction seen."""

JobKey = Callable[[Waiting], float]
"""What a job is ordered by, smallest first, the same for all its types."""

Demand = tuple[str, int] | tuple[str, int, int, bool]
"""GPU type and boards; where that is not all, thousandths of each and whether they must be of one node."""

SPARE = 64
"""Entries of departed jobs that are not worth a sweep."""

Head = tuple[float, tuple[float, str], int, int, "Bucket"]
"""key, place in the queue, position of the type, position in the bucket, the bucket: ties go to the earlier in the
queue, then to the earlier type."""

_place = attrgetter("place")


class Bucket:
    """Pairs of one GPU type that ask for the same there: they fit, or do not fit, together.

    `plain` are whole GPUs of any nodes. `milli` counts thousandths of GPUs. `entries` and their `keys` are parallel and
    sorted by key, then by place in the queue.
    """

    __slots__ = ("demand", "entries", "gpu_type", "gpus", "keys", "milli", "plain")

    def __init__(self, demand: Demand) -> None:
        self.demand, self.plain = demand, len(demand) == 2
        self.gpu_type, self.gpus = demand[0], demand[1]
        self.milli = self.gpus * (WHOLE if len(demand) == 2 else demand[2])
        self.keys: list[float] = []
        self.entries: list[Waiting] = []

    def add(self, key: float, waiting: Waiting) -> None:
        """Insert a pair at its rank."""
        keys = self.keys
        position = bisect_right(keys, key)
        if position and keys[position - 1] == key and self.entries[position - 1].place > waiting.place:
            position = bisect_left(self.entries, waiting.place, bisect_left(keys, key), position, key=_place)
        keys.insert(position, key)
        self.entries.insert(position, waiting)

    def sweep(self, queue: Mapping[str, Waiting]) -> None:
        """Drop the entries of jobs that no longer wait."""
        live = [(k, w) for k, w in zip(self.keys, self.entries, strict=True) if queue.get(w.job.job_id) is w]
        self.keys, self.entries = [k for k, _ in live], [w for _, w in live]


class Ranking:
    """The waiting pairs under one key. Filled and emptied by the cluster alone.

    It does not keep its key alive: the cluster forgets a ranking when nobody else holds the key any more. `queue` is
    the cluster's own mapping of waiting jobs, which tells the entries that still count.
    """

    def __init__(self, keys: "Keys", positions: Mapping[str, int], queue: Mapping[str, Waiting]) -> None:
        self.keys = keys
        self._positions = positions
        self._queue = queue
        self._buckets: dict[Demand, Bucket] = {}
        self._by_type: dict[str, list[Bucket]] = {gpu_type: [] for gpu_type in positions}
        self._special: list[Bucket] = []
        self._departed = 0

    @classmethod
    def of(cls, jobs: Iterable[Waiting], keys: "Keys", types: Iterable[str], queue: Mapping[str, Waiting]) -> "Ranking":
        """The ranking of jobs that wait already; raises InputError when a key is not a number."""
        ranking = cls(keys, {gpu_type: position for position, gpu_type in enumerate(types)}, queue)
        for waiting in jobs:
            ranking.add(waiting, keys.of(waiting) or ())
        return ranking

    def add(self, waiting: Waiting, keys: Sequence[float]) -> None:
        """Rank a job by one key an option."""
        job = waiting.job
        demands: Iterable[Demand] = waiting.gpus.items()
        if job.one_node or job.gpu_milli != WHOLE:
            demands = [(gpu_type, gpus, job.gpu_milli, job.one_node) for gpu_type, gpus in waiting.gpus.items()]
        for demand, key in zip(demands, keys, strict=True):
            bucket = self._buckets.get(demand)
            if bucket is None:
                bucket = self._buckets[demand] = Bucket(demand)
                (self._by_type[bucket.gpu_type] if bucket.plain else self._special).append(bucket)
            bucket.add(key, waiting)

    def depart(self) -> None:
        """A job has left the queue; its entries go in the next sweep, so that leaving costs a constant on average."""
        self._departed += 1
        if self._departed > SPARE + len(self._queue):
            self._departed = 0
            for bucket in self._buckets.values():
                bucket.sweep(self._queue)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Every waiting pair (job_id, gpu_type), best first."""
        return self._merged(self._buckets.values(), None)

    def jobs(self, demand: Demand) -> Iterator[Waiting]:
        """The waiting jobs that may use a type and ask for just this there, best first."""
        bucket = self._buckets.get(demand)
        if bucket is None:
            return
        position = self._live(bucket)
        while position < len(bucket.entries):
            yield bucket.entries[position]
            position = self._live(bucket, position + 1)

    def fitting(self, room: Room) -> Iterator[tuple[str, str]]:
        """Pairs (job_id, gpu_type) that fit at the moment they are reached, best first.

        The caller takes room as it places; it must not give any back during the iteration.
        """
        buckets = self.fitting_buckets(room)
        return self._merged(buckets, room) if buckets else iter(())

    def fitting_buckets(self, room: Room) -> list[Bucket]:
        """The buckets of pairs that fit; perhaps none of their jobs waits any more."""
        buckets = [b for b in self._special if b.entries and room.holds(*b.demand)] if self._special else []
        for gpu_type, free in room.free.items():
            if free > 0:
                for bucket in self._by_type[gpu_type]:
                    if bucket.gpus <= free and bucket.entries:
                        buckets.append(bucket)  # noqa: PERF401 (this runs at every decision, and is faster so)
        return buckets

    def _live(self, bucket: Bucket, start: int = 0) -> int:
        """The first position from `start` on of a job that still waits, the bucket's length when there is none."""
        queue, entries = self._queue, bucket.entries
        position, end = start, len(entries)
        while position < end and queue.get(entries[position].job.job_id) is not entries[position]:
            position += 1
        if start == 0 and position:
            del entries[:position], bucket.keys[:position]
            return 0
        return position

    def _merged(self, buckets: Iterable[Bucket], room: Room | None) -> Iterator[tuple[str, str]]:
        """The live pairs of several buckets in one order; a bucket is left as soon as it no longer fits."""
        heads = [head for bucket in buckets if (head := self._head(bucket, 0)) is not None]
        heapq.heapify(heads)
        free = {} if room is None else room.free
        while heads:
            _, (_, job_id), _, position, bucket = heads[0]
            if room is not None and (
                bucket.gpus > free[bucket.gpu_type] if bucket.plain else not room.holds(*bucket.demand)
            ):
                heapq.heappop(heads)
                continue
            yield job_id, bucket.gpu_type
            head = self._head(bucket, position + 1)
            if head is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, head)

    def _head(self, bucket: Bucket, start: int) -> Head | None:
        position = self._live(bucket, start)
        if position == len(bucket.entries):
            return None
        job = bucket.entries[position].job
        place = job.submit_s, job.job_id  # as `Waiting.place`, which is a call, and this runs at every decision
        return bucket.keys[position], place, self._positions[bucket.gpu_type], position, bucket


class Keys:
    """What a ranking is ordered by, while somebody else holds that function: a `Key`, or `per_job` a `JobKey`."""

    def __init__(self, key: Key | JobKey, *, per_job: bool) -> None:
        self._key = ref(key)
        self._each: Callable[[Any, Waiting], list[float]] = _job_keys if per_job else _pair_keys

    def by(self, key: Key | JobKey) -> bool:
        """Whether these are keys by that function."""
        return self._key() is key

    def of(self, waiting: Waiting) -> list[float] | None:
        """One key an option, None once the function is gone; raises InputError when one is not a number."""
        key = self._key()
        return None if key is None else self._each(key, waiting)


def ranking_by(key: Key | JobKey, rankings: Iterable[Ranking]) -> Ranking | None:
    """The ranking that is ordered by this function."""
    for ranking in rankings:
        if ranking.keys.by(key):
            return ranking
    return None


def ranked_in(rankings: Iterable[Ranking], waiting: Waiting) -> list[Ranking]:
    """Add a job to every ranking whose function still lives, and return those.

    Raises InputError, before anything changes, when a key is not a number.
    """
    pairs = []
    for ranking in rankings:
        if (keys := ranking.keys.of(waiting)) is not None:
            pairs.append((ranking, keys))  # noqa: PERF401 (this runs at every submission, and is faster so)
    for ranking, keys in pairs:
        ranking.add(waiting, keys)
    return [ranking for ranking, _ in pairs]


def _pair_keys(key: Key, waiting: Waiting) -> list[float]:
    job, predictions = waiting.job, waiting.predictions
    keys = [key(job, gpu_type, predictions[gpu_type]) for gpu_type in waiting.gpus]
    if math.isnan(sum(keys)):  # perhaps only infinities of both signs
        for gpu_type, value in zip(waiting.gpus, keys, strict=True):
            if math.isnan(value):
                prediction = predictions[gpu_type]
                raise InputError(f"job {job.job_id} on {gpu_type}: its rank is not a number, from {prediction}")
    return keys


def _job_keys(key: JobKey, waiting: Waiting) -> list[float]:
    value = key(waiting)
    if math.isnan(value):
        raise InputError(f"job {waiting.job.job_id}: its rank is not a number, from {waiting.predictions}")
    return [value] * len(waiting.gpus)
