"""Building a model whose weights would be read: nothing is initialised, and nothing of it is counted as work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn import init

from kilowait.predict.dryrun.recorder import Recorder


@contextmanager
def building(recorder: Recorder, *owners: Any) -> Iterator[None]:
    """Without PyTorch's initialisers, and those of the classes `owners`, while a model is built."""
    names = [name for name in dir(init) if name.endswith("_") and not name.startswith("_")]
    before = [(init, name, getattr(init, name)) for name in names]
    before += [(owner, name, getattr(owner, name)) for owner in owners for name in _METHODS if name in vars(owner)]
    recorder.muted += 1
    for owner, name, _ in before:
        setattr(owner, name, _as_it_is)
    try:
        yield
    finally:
        recorder.muted -= 1
        for owner, name, value in before:
            setattr(owner, name, value)


_METHODS = ("_initialize_weights", "initialize_weights")


def _as_it_is(tensor: Any = None, *_: Any, **__: Any) -> Any:
    return tensor
