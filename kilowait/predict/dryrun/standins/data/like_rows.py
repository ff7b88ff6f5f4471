"""Rows of a batch that are all made of the same stand-in: one is made, and stands for the others.

Transforming a thousand black images costs the dry run its budget and tells nothing that the first two do not. Whatever
stands in for a row's data calls `touch`; rows that touched nothing are all made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import _utils

LOOKED_AT = 2
_touched = 0


def touch() -> None:
    """A row is being made of a stand-in."""
    global _touched
    _touched += 1


def fetched(data: Any, numbers: Sequence[int]) -> list[Any]:
    """The rows `numbers` of a data set."""
    rows: list[Any] = []
    touches: list[int] = []
    for number in numbers[:LOOKED_AT]:
        before = _touched
        rows.append(data[number])
        touches.append(_touched - before)
    alike = len(rows) == LOOKED_AT and all(touches) and _form(rows[0]) == _form(rows[1])
    rest = numbers[LOOKED_AT:]
    return rows + ([rows[-1]] * len(rest) if alike else [data[number] for number in rest])


def _form(row: Any) -> Any:
    if isinstance(row, Tensor):
        return tuple(row.shape), row.dtype
    if isinstance(row, dict):
        return tuple((name, _form(part)) for name, part in row.items())
    if isinstance(row, (list, tuple)):
        return tuple(_form(part) for part in row[:100]), len(row)
    return (str, len(row)) if isinstance(row, str) else (type(row), getattr(row, "size", None))


def stand_in_fetching() -> None:
    """Let PyTorch's own loaders make one row for all, too."""
    fetcher = _utils.fetch._MapDatasetFetcher
    real = fetcher.fetch

    def fetch(self: Any, numbers: Any) -> Any:
        if not self.auto_collation or getattr(self.dataset, "__getitems__", None):
            return real(self, numbers)
        return self.collate_fn(fetched(self.dataset, numbers))

    fetcher.fetch = fetch
