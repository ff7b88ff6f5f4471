"""In which order a loader takes the rows of its data set: one after the other.

A random order is a tensor of numbers that a dry run does not know, and asking for each of a million of them costs its
budget. How much work a batch is does not depend on which rows are in it.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import RandomSampler, SubsetRandomSampler, WeightedRandomSampler


def pretend_orders() -> None:
    """Let the samplers that draw give the numbers of rows in turn."""
    setattr(RandomSampler, "__iter__", _in_turn)  # noqa: B010 - the checker knows another type
    setattr(WeightedRandomSampler, "__iter__", _in_turn)  # noqa: B010
    setattr(SubsetRandomSampler, "__iter__", lambda self: iter(self.indices))  # noqa: B010


def _in_turn(sampler: Any) -> Iterator[int]:
    data = getattr(sampler, "data_source", None)
    rows = len(sampler.weights if data is None else data)
    return (number % rows for number in range(int(sampler.num_samples)))
