"""A data set of the hub that is read in order: rows of a table, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset


class HubStream(IterableDataset):
    """The rows of a table in order; what a table can do gives a stream again."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __iter__(self) -> Iterator[Any]:
        return iter(self.table)

    def set_epoch(self, _epoch: int) -> None:
        """The order of rows changes nothing."""

    n_shards = num_shards = 1
    column_names = property(lambda self: self.table.column_names)
    features = property(lambda self: self.table.features)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "table":
            raise AttributeError(name)
        method = getattr(self.table, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            made = method(*args, **kwargs)
            return HubStream(made) if hasattr(made, "column_names") else made

        return called if callable(method) else method

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        """The share of rows that a function lets through."""
        return HubStream(self.table.filter(*args, **kwargs))

    def map(self, *args: Any, **kwargs: Any) -> Any:
        """What a function makes of the rows."""
        return HubStream(self.table.map(*args, **kwargs))
