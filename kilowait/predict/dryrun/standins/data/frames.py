"""Tables that pandas and h5py would read from files that are not there."""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np

from kilowait.predict.dryrun.standins.data.absent import Absent
from kilowait.predict.dryrun.standins.data.absent_arrays import zeros
from kilowait.predict.dryrun.standins.data.absent_rows import kind_by_name
from kilowait.predict.dryrun.standins.data.contents import MOST_ROWS, prose, table_size
from kilowait.predict.dryrun.standins.data.lengths import LENGTHS, spread

_READERS = "read_csv read_table read_parquet read_json read_feather read_excel read_pickle read_hdf"
DEFAULT_LENGTH = 128
"""Of a row of numbers in an HDF5 file of which nothing is known."""
DEFAULT_LABELLED = 10_000
TEXT_LENGTH = 200
"""Letters on average in a text column of which nothing is known."""


def stand_in_pandas(module: Any, absent: Absent) -> None:
    """Replace pandas' readers of files."""
    for name in _READERS.split():
        if hasattr(module, name):
            setattr(module, name, _reading(module, getattr(module, name), absent))


def _reading(module: Any, real: Any, absent: Absent) -> Any:
    @wraps(real)
    def read(path: Any, *args: Any, **kwargs: Any) -> Any:
        path = getattr(path, "path", path)
        if not absent.stands_in(path):
            return real(path, *args, **kwargs)
        rows, columns = table_size(absent, absent.size_of(path))
        rows = min(rows, MOST_ROWS)
        names = kwargs.get("names") or kwargs.get("usecols") or kwargs.get("columns")
        if names is None or callable(names):
            names = [*(f"x{number}" for number in range(columns - 1)), "label"]
        return _frame_class(module)({name: _column(str(name), rows) for name in names})

    return read


def _column(name: str, rows: int) -> Any:
    kind = "number" if name.startswith("x") and name[1:].isdigit() else kind_by_name(name)
    if isinstance(kind, dict):
        return np.arange(rows) % kind["classes"]
    return np.full(rows, 0.5) if kind in ("number", "image", "audio") else _texts(rows)


def _texts(rows: int) -> Any:
    made = np.array([prose(spread(TEXT_LENGTH, place)) for place in range(len(LENGTHS))], dtype=object)
    return made[np.arange(rows) % len(made)]


def _frame_class(module: Any) -> Any:
    class Frame(module.DataFrame):
        """A frame in which every column is there that is asked for."""

        @property
        def _constructor(self) -> Any:
            return Frame

        def __getitem__(self, key: Any) -> Any:
            for name in key if isinstance(key, list) else [key]:
                if isinstance(name, str) and name not in self.columns:
                    self[name] = _column(name, len(self))
            return super().__getitem__(key)

        def drop(self, labels: Any = None, *args: Any, columns: Any = None, **kwargs: Any) -> Any:
            for name in labels if isinstance(labels, list) else [labels, *(columns or [])]:
                if isinstance(name, str):
                    self[name]
            return super().drop(labels, *args, columns=columns, **kwargs)

    return Frame


def stand_in_h5py(module: Any, absent: Absent) -> None:
    """`h5py.File` of a file that is not there."""
    real = module.File

    class File(real):
        """h5py's, or one in which any name is an array."""

        def __new__(cls, name: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if mode != "r" or not absent.stands_in(name):
                return real(name, mode, *args, **kwargs)
            return AbsentGroup(absent, str(name))

    module.File = File


class AbsentGroup(dict):
    """A group of an HDF5 file that is not there: labels have a number an item, all else rows of numbers."""

    def __init__(self, absent: Absent, path: str) -> None:
        super().__init__()
        self._absent, self._path = absent, path

    def __missing__(self, name: str) -> Any:
        size = self._absent.size_of(self._path)
        rows = (size.given.rows if size.given is not None else None) or DEFAULT_LABELLED
        shape: tuple[int, ...] = (rows,) if "label" in name or name in ("y", "targets") else (rows, DEFAULT_LENGTH)
        if size.given is not None and size.given.shape is not None and len(size.given.shape) > 1:
            shape = size.given.shape if len(shape) > 1 else shape
        self._absent.said(size, f"{name} of {' x '.join(map(str, shape))}")
        is_float = any(part in name for part in ("image", "data", "feature", "x", "signal"))
        return zeros(shape, np.float32 if is_float else np.int64)

    def __contains__(self, _name: object) -> bool:
        return True

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None:
        """Nothing is open."""
