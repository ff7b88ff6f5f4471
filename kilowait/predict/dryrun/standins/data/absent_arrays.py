"""Arrays of numbers in files that are not there: numpy's readers give arrays of zeros that take no memory."""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np

from kilowait.predict.dryrun.standins.data.absent import DEFAULT_ROWS, Absent
from kilowait.predict.dryrun.standins.data.contents import BinaryFile, size_in_bytes, table_size


def zeros(shape: Any, dtype: Any) -> Any:
    """An array of zeros of any size: one number that is read over and over."""
    return np.lib.stride_tricks.as_strided(np.zeros(1, dtype), shape, (0,) * len(shape))


def _lean(real: Any) -> Any:
    """An array that memory cannot hold (a replay buffer) takes that of one row: all its rows are that one."""

    @wraps(real)
    def made(shape: Any, dtype: Any = float, *args: Any, **kwargs: Any) -> Any:
        try:
            return real(shape, dtype, *args, **kwargs)
        except MemoryError:
            sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
            row = real((1, *sizes[1:]), dtype, *args, **kwargs)
            return np.lib.stride_tricks.as_strided(row, sizes, (0, *row.strides[1:]))

    return made


def stand_in_arrays(absent: Absent) -> None:
    """Replace numpy's readers of files."""
    np.memmap = _memmap(absent)
    np.load = _load(absent)
    np.fromfile = _fromfile(absent)
    for name in ("zeros", "ones"):  # and not "empty": numpy's own code fills what it gets from there, row after row
        setattr(np, name, _lean(getattr(np, name)))
    for name in ("loadtxt", "genfromtxt"):
        setattr(np, name, _table(absent, getattr(np, name)))


def _memmap(absent: Absent) -> Any:
    real = np.memmap

    class Memmap(real):
        """numpy's, or zeros where the file is not there."""

        def __new__(cls, filename: Any, dtype: Any = np.uint8, mode: Any = "r+", offset: int = 0, shape: Any = None,
                    order: Any = "C") -> Any:  # fmt: skip
            if str(mode).startswith("w") or not absent.stands_in(filename):
                return real.__new__(real, filename, dtype, mode, offset, shape, order)
            return _mapped(absent, filename, dtype, shape).view(real)

    return Memmap


def _mapped(absent: Absent, path: Any, dtype: Any, shape: Any) -> Any:
    """The whole file as numbers of a type; nothing is assumed of it where the program itself says the shape."""
    size = absent.size_of(path)
    if shape is not None:
        return zeros((shape,) if isinstance(shape, int) else tuple(shape), dtype)
    if size.given is not None and size.given.shape is not None:
        absent.said(size, f"the shape {_times(size.given.shape)}")
        return zeros(size.given.shape, dtype)
    count = size_in_bytes(absent, path) // np.dtype(dtype).itemsize
    absent.said(size, f"{count:,} numbers ({np.dtype(dtype)})")
    return zeros((count,), dtype)


def _times(shape: Any) -> str:
    return str(shape) if isinstance(shape, int) else " x ".join(f"{side:,}" for side in shape)


def _load(absent: Absent) -> Any:
    real = np.load

    @wraps(real)
    def load(file: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(file, BinaryFile) and not absent.stands_in(file):
            return real(file, *args, **kwargs)
        path = file.path if isinstance(file, BinaryFile) else file
        return Archive(absent, path) if str(path).endswith(".npz") else _array(absent, path)

    return load


def _array(absent: Absent, path: Any) -> Any:
    """An array of which the name alone is known: a label an item where the name says so, else numbers in rows."""
    size = absent.size_of(path)
    is_label = any(
        word in str(path).rpartition("/")[2].lower() for word in ("label", "target", "_y", "y_", "idx", "ids")
    )
    shape = (DEFAULT_ROWS,) if is_label else (DEFAULT_ROWS, 100)
    if size.given is not None:
        shape = (size.given.shape or (size.given.size_bytes or 0) // 4,)
    absent.said(size, f"the shape {_times(shape)}")
    return zeros(shape, np.int64 if is_label else np.float32)


class Archive(dict):
    """An .npz file that is not there: every name holds an array."""

    def __init__(self, absent: Absent, path: Any) -> None:
        super().__init__()
        self._absent, self._path = absent, str(path)
        self.files: list[str] = []

    def __missing__(self, name: str) -> Any:
        return _array(self._absent, f"{self._path[:-4]}/{name}.npy")

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None:
        """Nothing is open."""


def _fromfile(absent: Absent) -> Any:
    real = np.fromfile

    @wraps(real)
    def fromfile(file: Any, dtype: Any = float, count: int = -1, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(file, BinaryFile) and not absent.stands_in(file):
            return real(file, dtype, count, *args, **kwargs)
        array = _mapped(absent, file.path if isinstance(file, BinaryFile) else file, dtype, None)
        return array if count < 0 else array[:count]

    return fromfile


def _table(absent: Absent, real: Any) -> Any:
    @wraps(real)
    def table(file: Any, *args: Any, **kwargs: Any) -> Any:
        if not absent.stands_in(file):
            return real(file, *args, **kwargs)
        size, dtype = absent.size_of(file), np.dtype(kwargs.get("dtype", np.float64))
        shape = table_size(absent, size)
        return _words(*shape, (size.facts or {}).get("classes", 1)) if dtype.kind in "SU" else zeros(shape, dtype)

    return table


def _words(rows: int, columns: int, classes: int) -> Any:
    """A table read as text: the number of the row, zeros, and the class in the last column."""
    table = np.full((rows, columns), "0", dtype=f"U{max(8, len(str(rows)))}")
    table[:, 0] = np.arange(rows).astype(str)
    table[:, -1] = np.char.add("class", (np.arange(rows) % classes).astype(str))
    return table
