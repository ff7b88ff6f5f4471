"""Batches of a DataLoader by number, made in this process."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import BatchSampler, DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter

from kilowait.predict.dryrun.standins.data.like_rows import fetched


def batches(loader: DataLoader[Any]) -> tuple[int, Callable[[int], Any], bool]:
    """How many batches a pass over a map-style data set has, what gives batch j, and whether the last one is smaller.

    Which items are in a batch does not matter to its work, so they are taken in order, whatever the sampler.
    """
    sampler = loader.batch_sampler
    if sampler is None:
        return len(loader.sampler), lambda j: loader.collate_fn(loader.dataset[j]), False  # type: ignore[arg-type]
    if type(sampler) is not BatchSampler:
        numbers = list(sampler)
        return len(numbers), lambda j: _batch(loader, numbers[j]), False
    total, size = len(sampler.sampler), sampler.batch_size  # type: ignore[arg-type]
    ragged = not sampler.drop_last and total % size != 0
    return len(loader), lambda j: _batch(loader, range(j * size, min(total, (j + 1) * size))), ragged


def items_left(iterator: Any) -> int | None:
    """How many items an iterator still gives, None where it does not say so: of a loader, a fetcher of one, a list."""
    given = getattr(iterator, "_num_yielded", None) if isinstance(iterator, _BaseDataLoaderIter) else None
    length = len(iterator) if given is not None else getattr(iterator, "length", None)
    given = getattr(iterator, "fetched", None) if given is None else given
    if type(length) is int and isinstance(given, int):
        return length - int(given)
    return operator.length_hint(iterator, 0) or None


def _batch(loader: DataLoader[Any], numbers: Sequence[int]) -> Any:
    data: Any = loader.dataset
    size = len(data)
    numbers = [number % size for number in numbers]
    if hasattr(data, "__getitems__"):
        return loader.collate_fn(data.__getitems__(numbers))
    return loader.collate_fn(fetched(data, numbers))


ADAPTED: dict[str, Callable[[Any], Any]] = {}
"""How objects of installed packages are seen, by the name of their class; None: as any other iterable."""


def adapt(iterable: Any) -> Any:
    """The view of an object of an installed package that is known by name, None for any other."""
    kind = type(iterable)
    adapted = ADAPTED.get(f"{kind.__module__}.{kind.__qualname__}")
    return adapted(iterable) if adapted else None
