"""Rows of a batch that are all made of the same stand-in: one is made, and stands for the others.

Transforming a thousand black images costs the dry run its budget and tells nothing that the first two do not. Whatever
stands in for a row's data calls `touch`; rows that touched nothing are all made. Texts have several lengths in turn:
only rows that come out alike from texts of different lengths stand for one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import _utils

LOOKED_AT = 2
_touched = 0
_length: int | None = None


def touch(length: int | None = None) -> None:
    """A row is being made of a stand-in; `length` says which of the lengths its texts have."""
    global _touched, _length
    _touched += 1
    _length = _length if length is None else length


def fetched(data: Any, numbers: Sequence[int]) -> list[Any]:
    """The rows `numbers` of a data set."""
    global _length
    rows: list[Any] = []
    lengths: list[int | None] = []
    for number in numbers:
        before, _length = _touched, None
        rows.append(data[number])
        if _touched == before:
            return rows + [data[other] for other in numbers[len(rows) :]]
        lengths.append(_length)
        if len(rows) >= LOOKED_AT and (_length is None or len(set(lengths)) > 1):
            break
    rest = numbers[len(rows) :]
    alike = len(rows) >= LOOKED_AT and all(_form(row) == _form(rows[0]) for row in rows)
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
