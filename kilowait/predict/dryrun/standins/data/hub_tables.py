"""Columns of a table that is not there, and tables by split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kilowait.predict.dryrun.standins.data.hub_batches import typed

if TYPE_CHECKING:
    from kilowait.predict.dryrun.standins.data.hub_table import HubTable

MOST_ITERATED = 10_000
"""So many rows of a column are gone through: others hold nothing new."""


class HubColumn(Sequence):
    """One column of a table."""

    def __init__(self, table: HubTable, name: str) -> None:
        self.table, self.name = table, name

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return [self.table._raw(number)[self.name] for number in range(*key.indices(len(self.table)))]
        if isinstance(key, (list, tuple)):
            return [self.table._raw(number)[self.name] for number in key]
        if int(key) >= len(self.table):
            raise IndexError(key)
        return typed({0: self.table._raw(int(key))[self.name]}, self.table._type)[0]

    def __iter__(self) -> Iterator[Any]:
        """The first rows: others hold nothing new."""
        return iter(self[: min(len(self.table), MOST_ITERATED)])


class HubTables(dict):
    """HubTables by split; what is done to it is done to each of them."""

    @property
    def __class__(self) -> Any:
        """What `isinstance` is told: the library's own class."""
        return import_module("datasets").DatasetDict

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in ("column_names", "num_rows", "shape", "num_columns", "features"):
            return {split: getattr(table, name) for split, table in self.items()}

        def each(*args: Any, **kwargs: Any) -> Any:
            made = {split: getattr(table, name)(*args, **kwargs) for split, table in self.items()}
            return HubTables(made) if all(hasattr(table, "column_names") for table in made.values()) else None

        return each
