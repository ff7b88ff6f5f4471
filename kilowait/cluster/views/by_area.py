"""The waiting jobs as arrays, and their order by the GPU-seconds that they can take at least, kept up event by event.

A planner looks at the smallest jobs of a long queue at every decision, and at what they take on each type. Here that is
looked up once, when a job comes. Sizes: R rows, T GPU types.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np

from kilowait.cluster.standing import Waiting
from kilowait.cluster.views.room import Room
from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.core.units import WHOLE

NEVER = np.iinfo(np.int64).max
"""Thousandths of GPUs where a job may not run: more than there are."""

Array = TypeVar("Array", FloatArray, IntArray)

Entry = tuple[float, tuple[float, str], int]
"""Least GPU-seconds, place in the queue, row."""


class ByArea:
    """Waiting jobs, the least GPU-seconds first, then as they queue. Changed by the cluster alone.

    `milli` (R, T) counts thousandths of GPUs, `NEVER` where a job may not run; `runtime_s` and `energy_kwh` (R, T) are
    as predicted. A row that is nobody's is `NEVER` throughout.
    """

    def __init__(self, types: Sequence[str], jobs: Iterable[Waiting] = ()) -> None:
        self._column = {gpu_type: column for column, gpu_type in enumerate(types)}
        self._entries: list[Entry] = []
        self._row_of: dict[str, int] = {}
        self._spare: list[int] = []
        self._jobs: dict[int, Waiting] = {}
        self.milli = np.full((0, len(types)), NEVER, np.int64)
        self.runtime_s, self.energy_kwh = np.ones((0, len(types))), np.zeros((0, len(types)))
        self._fill(list(jobs))

    def _fill(self, jobs: Sequence[Waiting]) -> None:
        """As `add` for each, in a tenth of the time."""
        while len(self._spare) < len(jobs):
            self._grow()
        rows = [self._spare.pop() for _ in jobs]
        known = [(waiting.predictions, waiting.gpus) for waiting in jobs]
        columns = [self._column[gpu_type] for _, gpus in known for gpu_type in gpus]
        at = np.repeat(np.array(rows, np.int64), [len(gpus) for _, gpus in known]), np.array(columns, np.int64)
        self.milli[at] = [boards * waiting.job.gpu_milli for waiting in jobs for boards in waiting.gpus.values()]
        self.runtime_s[at] = [predictions[gpu_type].runtime_s for predictions, gpus in known for gpu_type in gpus]
        self.energy_kwh[at] = [predictions[gpu_type].energy_kwh for predictions, gpus in known for gpu_type in gpus]
        area_s = np.where(self.milli[rows] == NEVER, np.inf, self.milli[rows] / WHOLE * self.runtime_s[rows])
        least = np.min(area_s, axis=1, initial=np.inf).tolist()
        self._entries = sorted(zip(least, [waiting.place for waiting in jobs], rows, strict=True))
        self._row_of = {waiting.job.job_id: row for waiting, row in zip(jobs, rows, strict=True)}
        self._jobs = dict(zip(rows, jobs, strict=True))

    def add(self, waiting: Waiting) -> None:
        """A job waits."""
        if not self._spare:
            self._grow()
        row, job, predictions, least = self._spare.pop(), waiting.job, waiting.predictions, np.inf
        milli, runtime_s, energy_kwh = self.milli[row], self.runtime_s[row], self.energy_kwh[row]
        for gpu_type in waiting.gpus:
            column, prediction, taken = self._column[gpu_type], predictions[gpu_type], job.milli_on(gpu_type)
            milli[column], runtime_s[column], energy_kwh[column] = taken, prediction.runtime_s, prediction.energy_kwh
            least = min(least, taken / WHOLE * prediction.runtime_s)
        insort(self._entries, (least, waiting.place, row))
        self._row_of[job.job_id], self._jobs[row] = row, waiting

    def remove(self, waiting: Waiting) -> None:
        """A job waits no longer, or by other predictions."""
        row, job, predictions = self._row_of.pop(waiting.job.job_id), waiting.job, waiting.predictions
        least = min((job.milli_on(t) / WHOLE * predictions[t].runtime_s for t in waiting.gpus), default=np.inf)
        del self._entries[bisect_left(self._entries, (least, waiting.place, row))], self._jobs[row]
        self.milli[row] = NEVER
        self._spare.append(row)

    def first(self, jobs: int) -> list[Waiting]:
        """So many of the smallest jobs, in their order."""
        return [self._jobs[row] for _, _, row in islice(self._entries, jobs)]

    def rows(self, jobs: int) -> IntArray:
        """The rows of so many of the smallest jobs, in their order."""
        return np.array([row for _, _, row in islice(self._entries, jobs)], np.int64)

    def rows_of(self, jobs: Iterable[Waiting]) -> IntArray:
        """The rows of these jobs, which wait."""
        return np.array([self._row_of[waiting.job.job_id] for waiting in jobs], np.int64)

    def job(self, row: int) -> Waiting:
        """The job of a row."""
        return self._jobs[row]

    def fits_any(self, room: Room) -> bool:
        """Whether any waiting job could start now."""
        enough = self.milli <= self._free(room)
        if not room.boards:
            return bool(enough.any())
        return any(room.fitting(self._jobs[row]) for row in np.nonzero(enough.any(axis=1))[0].tolist())

    def fitting_first(self, room: Room, jobs: int) -> list[Waiting]:
        """So many jobs: those that could start now, in their order, and then the others."""
        rows = self.rows(len(self._entries))
        enough: Mask = np.any(self.milli[rows] <= self._free(room), axis=1)
        if room.boards:
            enough[enough] = [bool(room.fitting(self._jobs[row])) for row in rows[enough].tolist()]
        chosen = [*rows[enough][:jobs].tolist(), *rows[~enough][:jobs].tolist()][:jobs]
        return [self._jobs[row] for row in chosen]

    def _free(self, room: Room) -> IntArray:
        return np.array([room.milli(gpu_type) for gpu_type in self._column], np.int64)

    def _grow(self) -> None:
        rows, more = len(self.milli), max(64, len(self.milli))
        self.milli = _longer(self.milli, more, NEVER)
        self.runtime_s, self.energy_kwh = _longer(self.runtime_s, more, 1.0), _longer(self.energy_kwh, more, 0.0)
        self._spare.extend(range(rows + more - 1, rows - 1, -1))


def _longer(array: Array, rows: int, fill: float) -> Array:
    return np.concatenate([array, np.full((rows, array.shape[1]), fill, array.dtype)])
