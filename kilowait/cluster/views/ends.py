"""When running jobs are expected to end, by GPU type, kept sorted while jobs start and end and estimates pass."""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable
from heapq import heappop, heappush
from math import inf
from typing import TypeVar

from kilowait.cluster.overrun import estimated_end_s
from kilowait.cluster.standing import Active

Entry = TypeVar("Entry", tuple[float, int], tuple[float, str])


class Ends:
    """Sorted (expected end in seconds, thousandths of GPUs) of the running jobs of each type, as of the last `renew`.

    Changed by the cluster alone. What a job holds on a node of `draining` comes back to nobody, so it is left out.
    `jobs_by_type` has the same ends with the ids of the jobs.
    """

    def __init__(self, types: Iterable[str], draining: Collection[str] = ()) -> None:
        self.by_type: dict[str, list[tuple[float, int]]] = {gpu_type: [] for gpu_type in types}
        self.jobs_by_type: dict[str, list[tuple[float, str]]] = {gpu_type: [] for gpu_type in self.by_type}
        self._draining = draining
        self._now_s = -inf
        self._running: dict[str, tuple[float, Active]] = {}
        self._next: list[tuple[float, str]] = []  # a heap; entries that no longer hold are dropped at the top

    @classmethod
    def of(cls, jobs: Iterable[Active], types: Iterable[str], draining: Collection[str], now_s: float) -> "Ends":
        """The ends of jobs that run already."""
        ends = cls(types, draining)
        ends._now_s = now_s
        for active in jobs:
            ends.add(active)
        return ends

    def add(self, active: Active) -> None:
        """A job has started."""
        end_s, job_id = estimated_end_s(active, self._now_s), active.job.job_id
        if milli := self._milli(active):
            insort(self.by_type[active.gpu_type], (end_s, milli))
            insort(self.jobs_by_type[active.gpu_type], (end_s, job_id))
            self._running[job_id] = end_s, active
            heappush(self._next, (end_s, job_id))

    def remove(self, active: Active) -> None:
        """A job has ended; of equal entries any will do."""
        if milli := self._milli(active):
            end_s, _ = self._running.pop(active.job.job_id)
            _drop(self.by_type[active.gpu_type], (end_s, milli))
            _drop(self.jobs_by_type[active.gpu_type], (end_s, active.job.job_id))

    def renew(self, now_s: float) -> None:
        """Give a later estimate to the jobs whose estimate has passed."""
        self._now_s = now_s
        while self.next_s() <= now_s:
            _, active = self._running[self._next[0][1]]
            self.remove(active)
            self.add(active)

    def next_s(self) -> float:
        """When the first of the estimates passes, inf with nothing running."""
        heap, running = self._next, self._running
        while heap and ((entry := running.get(heap[0][1])) is None or entry[0] != heap[0][0]):
            heappop(heap)
        return heap[0][0] if heap else inf

    def _milli(self, active: Active) -> int:
        return comes_back(active, self._draining) if self._draining else active.gpus * active.job.gpu_milli


def comes_back(active: Active, draining: Collection[str]) -> int:
    """Thousandths of GPUs that others can have once a job has ended: those on a node that drains leave with it."""
    leaving = sum(held.gpus for held in active.where if held.node in draining)
    return (active.gpus - leaving) * active.job.gpu_milli


def _drop(entries: list[Entry], entry: Entry) -> None:
    del entries[0 if entries[0] == entry else bisect_left(entries, entry)]
