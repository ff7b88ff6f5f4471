"""Waiting (job, GPU type) pairs in the order of a key, kept sorted while jobs come and go.

A job's key does not change while it waits, so one insertion a pair replaces sorting the queue at every event.
"""

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping

from kilowait.errors import InputError
from kilowait.jobs import Job, Prediction

Key = Callable[[Job, str, Prediction], float]
"""What a pair is ordered by, smallest first: a pure function of the job, the GPU type and the prediction seen."""

Entry = tuple[float, float, str, int, str]
"""key, submit_s, job_id, position of the type, the type: ties go to the earlier in the queue, then the earlier type."""

Bucket = tuple[str, int]
"""Pairs of one GPU type that take the same number of GPUs: they fit, or do not fit, together."""


class Ranking:
    """The waiting pairs under one key. Filled and emptied by the cluster alone.

    It does not hold its key: the cluster forgets a ranking when nobody else holds the key any more.
    """

    def __init__(self, positions: Mapping[str, int]) -> None:
        self._positions = positions
        self._sorted: dict[Bucket, list[Entry]] = {}
        self._entries: dict[str, list[tuple[Bucket, Entry]]] = {}

    def add(self, key: Key, job: Job, predictions: Mapping[str, Prediction], options: Iterable[str]) -> None:
        """Rank `job` by `key` on each of its `options`; raises InputError when the key is not a number."""
        entries = [
            self._entry(key(job, gpu_type, predictions[gpu_type]), job, gpu_type, predictions[gpu_type])
            for gpu_type in options
        ]
        self._entries[job.job_id] = entries
        for bucket, entry in entries:
            insort(self._sorted.setdefault(bucket, []), entry)

    def remove(self, job_id: str) -> None:
        """Forget a job that no longer waits."""
        for bucket, entry in self._entries.pop(job_id):
            entries = self._sorted[bucket]
            del entries[bisect_left(entries, entry)]

    def _entry(self, key: float, job: Job, gpu_type: str, prediction: Prediction) -> tuple[Bucket, Entry]:
        if math.isnan(key):
            raise InputError(f"job {job.job_id} on {gpu_type}: its rank is not a number, from {prediction}")
        place = self._positions[gpu_type]
        return (gpu_type, job.gpus_on(gpu_type)), (key, job.submit_s, job.job_id, place, gpu_type)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Every waiting pair (job_id, gpu_type), best first."""
        return ((entry[2], entry[4]) for entry in heapq.merge(*self._sorted.values()))

    def fitting(self, free: Mapping[str, int]) -> Iterator[tuple[str, str]]:
        """Pairs whose GPUs are free at the moment they are reached, best first.

        The caller lowers `free` (GPUs by type) as it places; it must not raise it during the iteration.
        """
        heads = [
            (entries[0], 0, bucket)
            for bucket, entries in self._sorted.items()
            if entries and bucket[1] <= free.get(bucket[0], 0)
        ]
        heapq.heapify(heads)
        while heads:
            entry, cursor, bucket = heads[0]
            if bucket[1] > free.get(bucket[0], 0):
                heapq.heappop(heads)
                continue
            yield entry[2], entry[4]
            entries, cursor = self._sorted[bucket], cursor + 1
            if cursor < len(entries):
                heapq.heapreplace(heads, (entries[cursor], cursor, bucket))
            else:
                heapq.heappop(heads)
