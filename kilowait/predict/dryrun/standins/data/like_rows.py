"""Rows of a batch that are all alike: a few are made, and the last of them stands for the others.

Transforming a thousand black images costs the dry run its budget and tells nothing that the first two do not. Whatever
stands in for a row's data calls `touch`. Rows that touched nothing and hold tensors without data are alike where those
at both ends and in the middle are; all others that touched nothing are all made. Texts have several lengths in turn:
only rows that come out alike from texts of different lengths stand for one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
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
    rows, touching = _first(data, numbers)
    if not touching:
        if len(numbers) <= LOOKED_AT or not _empty(rows[0]):
            return [rows[place] if place in rows else data[number] for place, number in enumerate(numbers)]
        for place in (len(numbers) // 2, len(numbers) - 1):
            rows[place] = data[numbers[place]]
    alike = len(rows) >= LOOKED_AT and len({_form(row) for row in rows.values()}) == 1
    other = list(rows.values())[-1] if alike else None
    return [rows[i] if i in rows else other if alike else data[number] for i, number in enumerate(numbers)]


def _first(data: Any, numbers: Sequence[int]) -> tuple[dict[int, Any], bool]:
    """The first rows by their place, as many as tell the rest, and whether each touched what stands in for data."""
    global _length
    rows: dict[int, Any] = {}
    lengths: list[int | None] = []
    touching = True
    for place, number in enumerate(numbers):
        before, _length = _touched, None
        rows[place] = data[number]
        touching = touching and _touched != before
        lengths.append(_length)
        if len(rows) >= LOOKED_AT and (not touching or _length is None or len(set(lengths)) > 1):
            break
    return rows, touching


def _empty(row: Any) -> bool:
    """Whether a row holds tensors, all of them without data."""
    parts = row.values() if isinstance(row, dict) else row if isinstance(row, (list, tuple)) else [row]
    tensors = [part for part in parts if isinstance(part, Tensor)]
    return bool(tensors) and all(isinstance(tensor, FakeTensor) for tensor in tensors)


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
