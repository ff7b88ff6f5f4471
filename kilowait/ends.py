"""When running jobs are predicted to end, by GPU type, kept sorted while jobs start and end."""

from bisect import bisect_left, insort
from collections.abc import Iterable

from kilowait.standing import Active


class Ends:
    """Sorted (predicted end in seconds, thousandths of GPUs) of the running jobs of each type.

    Changed by the cluster alone.
    """

    def __init__(self, types: Iterable[str]) -> None:
        self.by_type: dict[str, list[tuple[float, int]]] = {gpu_type: [] for gpu_type in types}

    def add(self, active: Active) -> None:
        """A job has started."""
        insort(self.by_type[active.gpu_type], (active.predicted_end_s, active.gpus * active.job.gpu_milli))

    def remove(self, active: Active) -> None:
        """A job has ended; of equal entries any will do."""
        ends, end = self.by_type[active.gpu_type], (active.predicted_end_s, active.gpus * active.job.gpu_milli)
        del ends[0 if ends[0] == end else bisect_left(ends, end)]
