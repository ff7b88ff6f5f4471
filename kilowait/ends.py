"""When running jobs are predicted to end, by GPU type, kept sorted while jobs start and end."""

from bisect import bisect_left, insort
from collections.abc import Sequence

from kilowait.standing import Active


class Ends:
    """Sorted (predicted end in seconds, GPUs) of the running jobs of each type. Changed by the cluster alone."""

    def __init__(self) -> None:
        self._by_type: dict[str, list[tuple[float, int]]] = {}

    def of(self, gpu_type: str) -> Sequence[tuple[float, int]]:
        """The ends on one type, soonest first; do not change it."""
        return self._by_type.get(gpu_type, ())

    def add(self, active: Active) -> None:
        """A job has started."""
        insort(self._by_type.setdefault(active.gpu_type, []), (active.predicted_end_s, active.gpus))

    def remove(self, active: Active) -> None:
        """A job has ended; of equal entries any will do."""
        ends, end = self._by_type[active.gpu_type], (active.predicted_end_s, active.gpus)
        del ends[0 if ends[0] == end else bisect_left(ends, end)]
