"""The jobs that were submitted last: what a policy that looks ahead expects more of."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from kilowait.cluster.standing import Active, Waiting
from kilowait.core.jobs import Job, Prediction

MOST = 256
"""Submissions that are remembered."""


@dataclass(slots=True, kw_only=True)
class Recent:
    """The last `MOST` accepted submissions, as they first waited, oldest first.

    It depends on the submissions and their order alone, so a replayed log leads to the same one. Kept by the cluster.
    """

    jobs: deque[Waiting] = field(default_factory=lambda: deque(maxlen=MOST))

    @classmethod
    def of(cls, jobs: Iterable[Waiting]) -> "Recent":
        """The last of these jobs, which come in the order of their submission."""
        return cls(jobs=deque(jobs, maxlen=MOST))

    def copy(self) -> "Recent":
        """The same jobs, which changes without this one."""
        return Recent(jobs=self.jobs.copy())

    def revise(self, before: Waiting, after: Waiting) -> None:
        """A job waits by other predictions; one that is forgotten stays so."""
        if (position := next((n for n, job in enumerate(self.jobs) if job.place == before.place), None)) is not None:
            self.jobs[position] = after

    def add(self, waiting: Waiting) -> None:
        """A job was submitted; the oldest is forgotten once there are too many."""
        self.jobs.append(waiting)


def submitted(
    queue: Iterable[Waiting],
    running: Iterable[Active],
    possible: Callable[[Job, Mapping[str, Prediction]], Mapping[str, int]],
) -> list[Waiting]:
    """The jobs that run or wait, as they first waited, in the order of their submission."""
    entries: list[Active | Waiting] = [*running, *queue]
    jobs = [
        Waiting(job=job, predictions=whole, whole=whole, attempt=1, gpus=possible(job, whole))
        for job, whole in ((entry.job, entry.whole) for entry in entries)
    ]
    return sorted(jobs, key=lambda waiting: waiting.place)
