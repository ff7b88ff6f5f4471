"""The largest batch of a program that fits on one GPU of a type.

From two dry runs that differ in the batch alone what is held is taken for a line: exact where every tensor either grows
with the batch or does not. From one dry run what is no parameter, gradient or optimizer's state is taken to grow.
"""

import math
from dataclasses import dataclass
from typing import Any

from kilowait.predict.board_memory.board_capacity import context_bytes, usable_bytes
from kilowait.predict.board_memory.memory_need import SPREAD, held_bytes, varying_bytes
from kilowait.predict.dryrun.record import DryRun


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """Bytes that are held by a batch of b: `fixed` + `each` x b; `batch` is the program's, and `how` this was had."""

    fixed: float
    each: float
    batch: float
    how: str

    def largest(self, gpu_type: str) -> "LargestBatch":
        """The largest batch on one GPU of a type: expected to fit, and sure to by the interval of the need."""
        available, context = usable_bytes(gpu_type), context_bytes(gpu_type)
        expected, sure = (self._batch(available / factor - context) for factor in (1.0, SPREAD))
        return LargestBatch(expected=expected, sure=sure, batch=self.batch, how=self.how)

    def _batch(self, room: float) -> int:
        return max(0, math.floor((room - self.fixed) / self.each))


@dataclass(frozen=True, slots=True, kw_only=True)
class LargestBatch:
    """How many samples a batch may have: `expected` to fit, `sure` at the upper end of the need; 0 where none fits."""

    expected: int
    sure: int
    batch: float
    how: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"expected": self.expected, "sure": self.sure, "batch": self.batch, "how": self.how}


def line_of_two(first: DryRun, second: DryRun, batches: tuple[int, int], how: str) -> BatchLine | None:
    """From dry runs with these two batches; None where more samples need no more memory."""
    each = (held_bytes(second) - held_bytes(first)) / (batches[1] - batches[0])
    if each <= 0:
        return None
    fixed = held_bytes(first) - each * batches[0]
    return BatchLine(fixed=fixed, each=each, batch=batches[0], how=f"two dry runs, with {how} and {batches[1]}")


def line_of_one(run: DryRun) -> BatchLine | None:
    """From the samples that loaders gave at a step; None where there were no loaders, steps or activations."""
    varying = varying_bytes(run)
    if not run.samples or not run.steps or varying <= 0:
        return None
    batch = math.ceil(run.samples / run.steps)  # the last of an epoch may be smaller
    how = "one dry run: what is no parameter, gradient or optimizer's state grows with the batch"
    return BatchLine(fixed=held_bytes(run) - varying, each=varying / batch, batch=batch, how=how)
