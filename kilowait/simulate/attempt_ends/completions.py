"""The true ends that are to come, one heap keyed (time, serial), so that ties are deterministic."""

import heapq
from math import inf

from kilowait.cluster.events import AttemptFinished
from kilowait.core.errors import IllegalEvent


class Completions(list[tuple[float, int, AttemptFinished]]):
    """A heap; the serial is the number of the placement."""

    @property
    def next_s(self) -> float:
        """When the next attempt ends, inf with nothing running."""
        return self[0][0] if self else inf

    def add(self, end_s: float, serial: int, job_id: str, attempt: int) -> None:
        """An attempt ends then."""
        heapq.heappush(self, (end_s, serial, AttemptFinished(time_s=end_s, job_id=job_id, attempt=attempt)))

    def take(self) -> tuple[int, AttemptFinished]:
        """The next end."""
        _, serial, event = heapq.heappop(self)
        return serial, event

    def withdraw(self, job_id: str) -> tuple[float, int]:
        """When an attempt would have ended, and its serial; raises IllegalEvent unless it runs."""
        index = next((k for k, (_, _, end) in enumerate(self) if end.job_id == job_id), None)
        if index is None:
            raise IllegalEvent(f"job {job_id}: the policy preempts it, but it does not run")
        end_s, serial, _ = self.pop(index)
        heapq.heapify(self)
        return end_s, serial
