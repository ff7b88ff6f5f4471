"""A data set of the Hugging Face hub that is not there: rows by number, made when they are asked for.

It has the methods of `datasets.Dataset` that programs train with. `map` calls its function on a few rows to learn the
columns, and on a whole batch where that changes the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

from kilowait.predict.dryrun.standins.data.absent_rows import AnyRow
from kilowait.predict.dryrun.standins.data.hub_batches import Call, at_row, batch, height, merged, share, typed
from kilowait.predict.dryrun.standins.data.hub_tables import MOST_ITERATED, HubColumn, HubTables
from kilowait.predict.dryrun.standins.data.lengths import LENGTHS
from kilowait.predict.dryrun.standins.data.like_rows import fetched, touch

Row = "dict[str, Any]"
LOOKED_AT = len(LENGTHS)
"""So many rows are mapped to learn what comes out: one of each length."""
SAMPLED = 8 * len(LENGTHS)
"""A filter is asked about so many rows."""


_FORMAT = {"format_kwargs": {}, "output_all_columns": False}


class HubTable:
    """`length` rows, of which `make` gives one by number; `names` are its columns, `kinds` what they are made of."""

    def __init__(self, length: int, make: Callable[[int], Any], names: list[str], kinds: dict[str, Any]) -> None:
        self._length, self._make, self.column_names, self._kinds = length, make, names, kinds
        self._transform: Any = None
        self._type: Any = None
        self.split: Any = None
        self.info: Any = None

    @property
    def __class__(self) -> Any:
        """What `isinstance` is told: the library's own class."""
        return import_module("datasets").Dataset

    @property
    def _kilowait_items(self) -> Any:
        return self

    def _derived(self, length: int, make: Callable[[int], Any], names: list[str] | None = None) -> HubTable:
        made = type(self)(length, make, list(self.column_names if names is None else names), self._kinds)
        made._transform, made._type, made.split, made.info = self._transform, self._type, self.split, self.info
        return made

    def __len__(self) -> int:
        return self._length

    num_rows = property(__len__)
    num_columns = property(lambda self: len(self.column_names))
    shape = property(lambda self: (self._length, len(self.column_names)))
    format = property(lambda self: {"type": self._type, "columns": self.column_names, **_FORMAT})

    @property
    def features(self) -> Any:
        """The library's own description of the columns."""
        from kilowait.predict.dryrun.standins.data.hub_features import features

        return features(self.column_names, self._kinds)

    def _raw(self, number: int) -> Any:
        touch(int(number) % len(LENGTHS))
        row = self._make(int(number) % max(1, self._length))
        if isinstance(row, AnyRow):
            return row
        return {name: row[name] for name in self.column_names if name in row}

    def _shown(self, number: int) -> Any:
        row = self._raw(number)
        if self._transform is not None:
            shown = self._transform(batch([row]))
            return {name: values[0] for name, values in shown.items()}
        return typed(row, self._type)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return HubColumn(self, key)
        if isinstance(key, slice):
            return self._together(range(*key.indices(self._length)))
        if isinstance(key, (list, tuple, range)) or (hasattr(key, "__len__") and getattr(key, "ndim", 1)):
            return self._together([int(number) for number in key])
        if int(key) >= self._length:
            raise IndexError(f"Index {key} out of range for dataset of size {self._length}.")
        return self._shown(int(key))

    def _together(self, numbers: Sequence[int]) -> Any:
        rows = [self._raw(number) for number in numbers]
        together = batch(rows) if rows else {name: [] for name in self.column_names}
        return self._transform(together) if self._transform is not None else typed(together, self._type)

    def __getitems__(self, numbers: Sequence[int]) -> list[Any]:
        return fetched(_Shown(self), numbers)

    def __iter__(self) -> Iterator[Any]:
        return (self._shown(number) for number in range(self._length))

    def iter(self, batch_size: int, drop_last_batch: bool = False) -> Iterator[Any]:
        """Batches in order."""
        until = self._length - self._length % batch_size if drop_last_batch else self._length
        return (self._together(range(at, min(at + batch_size, until))) for at in range(0, until, batch_size))

    def map(
        self, function: Any = None, with_indices: bool = False, with_rank: bool = False, input_columns: Any = None,
        batched: bool = False, batch_size: Any = 1000, drop_last_batch: bool = False, remove_columns: Any = None,
        keep_in_memory: bool = False, load_from_cache_file: Any = None, cache_file_name: Any = None,
        writer_batch_size: Any = None, features: Any = None, disable_nullable: bool = False, fn_kwargs: Any = None,
        **_: Any,
    ) -> HubTable:  # fmt: skip
        """A table of what the function makes of the rows; it is called on a few of them."""
        if function is None:
            return self
        removed = [remove_columns] if isinstance(remove_columns, str) else list(remove_columns or [])
        call = Call(function, with_indices, with_rank, input_columns, fn_kwargs or {})
        if not batched:
            return self._mapped_rows(call, removed)
        return self._mapped_batches(call, removed, int(batch_size or self._length or 1), drop_last_batch)

    def _mapped_rows(self, call: Call, removed: list[str]) -> HubTable:
        def make(number: int) -> Any:
            row = self._raw(number)
            return merged(row, call(row, number), removed)

        first = make(0) if self._length else dict.fromkeys(self.column_names)
        return self._derived(self._length, make, list(first))

    def _mapped_batches(self, call: Call, removed: list[str], size: int, drop_last: bool) -> HubTable:
        size = max(1, min(size, self._length))
        tried = min(LOOKED_AT, size)
        made = self._mapped(call, removed, 0, tried)
        count = height(made)
        if count == tried:
            return self._derived(self._length, lambda number: at_row(made, number % max(1, count)), list(made))
        made = self._mapped(call, removed, 0, size)
        count, (batches, rest) = height(made), divmod(self._length, size)
        length = batches * count
        if rest and not drop_last:
            length += height(self._mapped(call, removed, batches * size, rest))
        return self._derived(length, lambda number: at_row(made, number % max(1, count)), list(made))

    def _mapped(self, call: Call, removed: list[str], start: int, count: int) -> dict[str, Any]:
        numbers = list(range(start, start + count))
        made_rows = [self._raw(number) for number in numbers[:LOOKED_AT]]  # the others are as long as these, in turn
        together = batch([made_rows[place % len(made_rows)] for place in range(count)])
        made: dict[str, Any] = merged(together, call(together, numbers), removed)
        return {name: values for name, values in made.items() if len(values) == height(made)}

    def filter(self, function: Any = None, *_: Any, batched: bool = False, fn_kwargs: Any = None,
               input_columns: Any = None, with_indices: bool = False, **__: Any) -> HubTable:  # fmt: skip
        """The share of rows that the function lets through, among the first ones."""
        if function is None or not self._length:
            return self
        call, numbers = (
            Call(function, with_indices, False, input_columns, fn_kwargs or {}),
            range(min(SAMPLED, self._length)),
        )
        if batched:
            answers = list(call(batch([self._raw(number) for number in numbers]), list(numbers)))
        else:
            answers = [call(self._raw(number), number) for number in numbers]
        kept = [number for number, answer in zip(numbers, answers) if answer]
        if len(kept) == len(numbers):
            return self
        length = round(self._length * len(kept) / len(numbers))
        return self._derived(length, lambda number: self._raw(kept[number % len(kept)]))

    def select(self, indices: Any, **_: Any) -> HubTable:
        """The rows of these numbers."""
        chosen = indices if hasattr(indices, "__getitem__") else list(indices)
        return self._derived(len(chosen), lambda number: self._raw(int(chosen[number])))

    def shuffle(self, *_: Any, **__: Any) -> HubTable:
        """Itself: the order of rows changes nothing."""
        return self

    sort = flatten_indices = cast = cast_column = class_encode_column = with_rank = shuffle
    align_labels_with_mapping = shuffle

    def take(self, n: int) -> HubTable:
        """The first rows."""
        return self.select(range(min(n, self._length)))

    def skip(self, n: int) -> HubTable:
        """All but the first rows."""
        return self.select(range(min(n, self._length), self._length))

    def repeat(self, num_times: int) -> HubTable:
        """The rows again and again."""
        return self._derived(self._length * num_times, lambda number: self._raw(number % max(1, self._length)))

    def shard(self, num_shards: int, index: int = 0, **_: Any) -> HubTable:
        """One of so many equal parts."""
        return self.select(range(index, self._length, num_shards))

    def train_test_split(self, test_size: Any = None, train_size: Any = None, **_: Any) -> Any:
        """Two tables under the names train and test."""
        test = share(test_size, self._length)
        train = share(train_size, self._length)
        if test is None:
            test = self._length - train if train is not None else round(0.25 * self._length)
        train = self._length - test if train is None else train
        return HubTables(train=self.select(range(train)), test=self.select(range(train, train + test)))

    def remove_columns(self, column_names: Any, **_: Any) -> HubTable:
        """Without these columns."""
        removed = {column_names} if isinstance(column_names, str) else set(column_names)
        return self.select_columns([name for name in self.column_names if name not in removed])

    def select_columns(self, column_names: Any, **_: Any) -> HubTable:
        """These columns alone."""
        names = [column_names] if isinstance(column_names, str) else list(column_names)
        return self._derived(self._length, self._raw, names)

    def rename_columns(self, column_mapping: dict[str, str], **_: Any) -> HubTable:
        """Columns under other names."""

        def make(number: int) -> Any:
            return {column_mapping.get(name, name): value for name, value in self._raw(number).items()}

        made = self._derived(self._length, make, [column_mapping.get(name, name) for name in self.column_names])
        made._kinds = {column_mapping.get(name, name): kind for name, kind in self._kinds.items()}
        return made

    def rename_column(self, original_column_name: str, new_column_name: str, **_: Any) -> HubTable:
        """A column under another name."""
        return self.rename_columns({original_column_name: new_column_name})

    def add_column(self, name: str, column: Any, **_: Any) -> HubTable:
        """One column more."""
        return self._derived(self._length, lambda i: {**self._raw(i), name: column[i]}, [*self.column_names, name])

    def with_format(self, type: Any = None, columns: Any = None, **_: Any) -> HubTable:  # noqa: A002 - the library's name
        """Rows as tensors or arrays."""
        made = self._derived(self._length, self._raw, list(columns) if columns else None)
        made._type = type
        return made

    def set_format(self, type: Any = None, columns: Any = None, **_: Any) -> None:  # noqa: A002 - the library's name
        """Rows as tensors or arrays, from now on."""
        self._type = type
        if columns:
            self.column_names = list(columns)

    def reset_format(self) -> None:
        """Rows as Python has them."""
        self._type = None

    def with_transform(self, transform: Any, *_: Any, **__: Any) -> HubTable:
        """Rows as a function of batches makes them when they are read."""
        made = self._derived(self._length, self._raw)
        made._transform = transform
        return made

    def set_transform(self, transform: Any, *_: Any, **__: Any) -> None:
        """The same, from now on."""
        self._transform = transform

    def unique(self, column: str) -> list[Any]:
        """The different values of a column among the first rows."""
        return list(dict.fromkeys(self[column][:MOST_ITERATED]))

    def to_iterable_dataset(self, *_: Any, **__: Any) -> Any:
        """The rows in order."""
        from kilowait.predict.dryrun.standins.data.hub_stream import HubStream

        return HubStream(self)

    def to_pandas(self, *_: Any, **__: Any) -> Any:
        """A frame of the first rows."""
        return import_module("pandas").DataFrame(self.to_list())

    def to_list(self) -> list[Any]:
        """The first rows."""
        return [self._raw(number) for number in range(min(self._length, MOST_ITERATED))]

    def save_to_disk(self, *_: Any, **__: Any) -> None:
        """Nothing is written in a dry run."""

    push_to_hub = to_json = to_csv = to_parquet = cleanup_cache_files = save_to_disk


class _Shown:
    """The rows of a table one by one, in its format."""

    def __init__(self, table: HubTable) -> None:
        self.table = table

    def __getitem__(self, number: int) -> Any:
        return self.table._shown(number)
