"""Checkpoints and pickles that are not there, and those that the program has saved in this dry run.

What a program saves is remembered as shapes, so that it finds it again. A checkpoint that is not there has any entry,
and a model takes it as its weights; used as an array it is one of numbers.
"""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from kilowait.predict.dryrun.standins import published_facts
from kilowait.predict.dryrun.standins.data.absent import Absent
from kilowait.predict.dryrun.standins.data.absent_arrays import zeros
from kilowait.predict.dryrun.standins.data.contents import BinaryFile

_COUNTS = ("epoch", "step", "iter", "best", "acc", "loss", "global", "num", "seed", "version")
DEFAULT_SHAPE = (1_000, 100)
"""Of a file of numbers of which nothing is known."""


class Loaded(dict):
    """What is read of a file that is not there: any entry of it is another, counters are 0."""

    def __init__(self, absent: Absent, path: str) -> None:
        super().__init__()
        self._absent, self._path = absent, path

    def __getitem__(self, name: Any) -> Any:
        return super().__getitem__(name) if isinstance(name, str) else self.__missing__(name)

    def __missing__(self, name: Any) -> Any:
        if not isinstance(name, str):
            return numbers(self._absent, self._path)[name]
        return 0 if any(part in name.lower() for part in _COUNTS) else Loaded(self._absent, self._path)

    def __contains__(self, name: Any) -> bool:
        return isinstance(name, str)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in dir(Tensor):
            return getattr(numbers(self._absent, self._path), name)
        return Loaded(self._absent, self._path)

    def pop(self, name: Any, *default: Any) -> Any:
        """The entry."""
        return self.__missing__(name)

    def get(self, name: Any, default: Any = None) -> Any:
        """The entry; a counter keeps its default."""
        value = self.__missing__(name)
        return default if value == 0 and default is not None and not isinstance(value, dict) else value

    def eval(self) -> Any:
        """As a model that was saved whole."""
        return self


class Numbers(np.ndarray):
    """An array that is a tensor where a program takes it for one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(Tensor, name):
            raise AttributeError(name)
        return getattr(torch.zeros(self.shape), name)


def numbers(absent: Absent, path: str) -> Any:
    """The file as an array of the size that the user gave, or a default."""
    size = absent.size_of(path)
    shape = size.given.shape if size.given is not None and size.given.shape else DEFAULT_SHAPE
    absent.said(size, f"the shape {' x '.join(map(str, shape))}")
    return zeros(shape, np.float64).view(Numbers)


def stand_in_checkpoints(absent: Absent) -> None:
    """Replace what saves and loads, and what takes a checkpoint as its state."""
    saved: list[Any] = []
    real = torch.load

    def save(value: Any, file: Any = None, *_: Any, **__: Any) -> None:
        saved.append(tree_map(_shape, value))
        _write(file, _MARK + str(len(saved) - 1).encode())

    @wraps(real)
    def load(file: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        number = _saved_as(file)
        if number is not None:
            return tree_map(lambda value: _again(value, map_location), saved[number])
        if not isinstance(file, BinaryFile) and not absent.stands_in(file):
            return real(file, map_location, *args, **kwargs)
        return loaded(absent, str(getattr(file, "path", file)))

    torch.save, torch.load = save, load
    _taking_states()
    _pickles(absent)


_MARK = b"saved in a dry run, number "
"""With this and a number begins a file that was saved, so that it may be renamed, copied and asked for."""


def _write(file: Any, contents: bytes) -> None:
    if not isinstance(file, (str, os.PathLike)):
        file.write(contents)
        return
    with suppress(OSError), open(file, "wb") as stream:
        stream.write(contents)


def _saved_as(file: Any) -> int | None:
    """The number of what was saved in a file, None where it is none of this program's."""
    if isinstance(file, (str, os.PathLike)):
        if not os.path.isfile(file):
            return None
        with open(file, "rb") as stream:
            return _saved_as(stream)
    if isinstance(file, BinaryFile) or not hasattr(file, "read") or not hasattr(file, "seek"):
        return None
    place = file.tell()
    contents = file.read(len(_MARK) + 12)
    file.seek(place)
    begins = isinstance(contents, bytes) and contents.startswith(_MARK)
    return int(contents[len(_MARK) :]) if begins else None


def loaded(absent: Absent, path: str) -> Any:
    """What stands in for a checkpoint: a tensor where the user gave its shape, else something with any entry."""
    size = absent.size_of(path)
    if size.given is not None and size.given.shape is not None:
        absent.said(size, f"the shape {' x '.join(map(str, size.given.shape))}")
        return torch.zeros(size.given.shape)
    state = absent.state_of(path)
    if state is not None:
        return state
    absent.fitting(size.name)
    return Loaded(absent, path)


class _Shape:
    """A tensor that was saved: its shape, its type and where it was."""

    def __init__(self, tensor: Tensor) -> None:
        self.shape, self.dtype, self.device = tuple(tensor.shape), tensor.dtype, tensor.device


def _shape(value: Any) -> Any:
    return _Shape(value) if isinstance(value, Tensor) else value


def _again(value: Any, map_location: Any) -> Any:
    if not isinstance(value, _Shape):
        return value
    device = map_location if isinstance(map_location, (str, torch.device)) else value.device
    return torch.zeros(value.shape, dtype=value.dtype, device=device)


def _taking_states() -> None:
    owners = [nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, torch.amp.GradScaler]
    for owner in owners:
        owner.load_state_dict = _taking(owner.load_state_dict)


def _taking(real: Any) -> Any:
    @wraps(real)
    def load_state_dict(self: Any, state: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(state, Loaded) or (isinstance(state, dict) and not state):
            return nn.modules.module._IncompatibleKeys([], [])
        return real(self, state, *args, **kwargs)

    return load_state_dict


def _pickles(absent: Absent) -> None:
    for owner in (pickle,):
        owner.load = _unpickle(owner.load, absent)


def _unpickle(real: Any, absent: Absent) -> Any:
    @wraps(real)
    def load(file: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(file, BinaryFile):
            return real(file, *args, **kwargs)
        facts = absent.size_of(file.path).facts or {}
        if "vocab_size" in facts:
            count = facts["vocab_size"]
            mark, how = published_facts.certainty(facts)
            absent.recorder.assume(f"{absent.shown(file.path)} has a vocabulary of {count:,} ({mark})", how)
            letters = [chr(32 + number) for number in range(count)]
            return {
                "vocab_size": count,
                "itos": dict(enumerate(letters)),
                "stoi": {c: i for i, c in enumerate(letters)},
            }
        return loaded(absent, file.path)

    return load
