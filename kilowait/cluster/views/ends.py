"""When running jobs are predicted to end, by GPU type, kept sorted while jobs start and end."""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable

from kilowait.cluster.standing import Active


class Ends:
    """Sorted (predicted end in seconds, thousandths of GPUs) of the running jobs of each type.

    Changed by the cluster alone. What a job holds on a node of `draining` comes back to nobody, so it is left out.
    """

    def __init__(self, types: Iterable[str], draining: Collection[str] = ()) -> None:
        self.by_type: dict[str, list[tuple[float, int]]] = {gpu_type: [] for gpu_type in types}
        self._draining = draining

    @classmethod
    def of(cls, jobs: Iterable[Active], types: Iterable[str], draining: Collection[str]) -> "Ends":
        """The ends of jobs that run already."""
        ends = cls(types, draining)
        for active in jobs:
            ends.add(active)
        return ends

    def add(self, active: Active) -> None:
        """A job has started."""
        milli = comes_back(active, self._draining) if self._draining else active.gpus * active.job.gpu_milli
        if milli:
            insort(self.by_type[active.gpu_type], (active.predicted_end_s, milli))

    def remove(self, active: Active) -> None:
        """A job has ended; of equal entries any will do."""
        milli = comes_back(active, self._draining) if self._draining else active.gpus * active.job.gpu_milli
        if milli:
            ends, end = self.by_type[active.gpu_type], (active.predicted_end_s, milli)
            del ends[0 if ends[0] == end else bisect_left(ends, end)]


def comes_back(active: Active, draining: Collection[str]) -> int:
    """Thousandths of GPUs that others can have once a job has ended: those on a node that drains leave with it."""
    leaving = sum(held.gpus for held in active.where if held.node in draining)
    return (active.gpus - leaving) * active.job.gpu_milli
