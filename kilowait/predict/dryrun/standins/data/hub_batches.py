"""Rows and batches of a table that is not there, as the `datasets` library hands them to functions."""

from __future__ import annotations

from typing import Any

from kilowait.predict.dryrun.standins.data.absent_rows import AnyRow


class Call:
    """A function of `map` or `filter`, with the arguments that it was asked to be given."""

    def __init__(self, function: Any, indices: bool, rank: bool, columns: Any, kwargs: dict[str, Any]) -> None:
        self.function, self.indices, self.rank, self.kwargs = function, indices, rank, kwargs
        self.columns = [columns] if isinstance(columns, str) else columns

    def __call__(self, row: Any, number: Any) -> Any:
        """What the function gives for a row or batch."""
        first = [row] if self.columns is None else [row[name] for name in self.columns]
        return self.function(*first, *([number] if self.indices else []), *([0] if self.rank else []), **self.kwargs)


def merged(row: Any, made: Any, removed: list[str]) -> Any:
    """A row or batch with what a function made of it."""
    kept = {name: value for name, value in row.items() if name not in removed}
    kept.update(dict(made) if made is not None else {})
    return kept


def batch(rows: list[Any]) -> Any:
    """Rows as columns."""
    if isinstance(rows[0], AnyRow):
        return AnyBatch(rows)
    return {name: [row[name] for row in rows] for name in rows[0]}


class AnyBatch(dict):
    """A batch of rows whose columns are not known."""

    def __init__(self, rows: list[Any]) -> None:
        super().__init__({name: [row[name] for row in rows] for name in rows[0]})
        self._rows = rows

    def __missing__(self, name: Any) -> Any:
        return [row[name] for row in self._rows]


def height(batch: dict[str, Any]) -> int:
    """How many rows the columns that came last have."""
    return len(next(reversed(list(batch.values())), ()))


def at_row(batch: dict[str, Any], number: int) -> Any:
    """A row of a batch."""
    return {name: values[number] for name, values in batch.items()}


def share(size: Any, length: int) -> int | None:
    """A number of rows, which may be given as a share."""
    if size is None:
        return None
    return round(size * length) if isinstance(size, float) else int(size)


def typed(row: Any, kind: Any) -> Any:
    """A row or batch as tensors or arrays, where `kind` says so."""
    if kind not in ("torch", "numpy", "np", "pt"):
        return row
    import numpy as np
    import torch

    def made(value: Any) -> Any:
        if isinstance(value, str) or (isinstance(value, (list, tuple)) and value and isinstance(value[0], str)):
            return value
        try:
            return torch.as_tensor(value) if kind in ("torch", "pt") else np.asarray(value)
        except (TypeError, ValueError, RuntimeError):
            return value

    return {name: made(value) for name, value in row.items()}
