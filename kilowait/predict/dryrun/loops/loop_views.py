"""What a loop runs over, by number: so that it can go to item 500 after item 2.

A view knows its length where there is one, and gives item j. What has no items by number (generators) is run in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from kilowait.predict.dryrun.loops.index import Index, Note, Question
from kilowait.predict.dryrun.loops.loader import batches

_LISTED = (list, tuple, str, bytes, dict, set, frozenset)
_CHEAP: set[type] = {
    type(iter(())),
    type(iter([])),
    type(reversed([])),
    type(iter({})),
    type({}.items()),
    type({}.keys()),
} | {
    type({}.values()),
    type(iter({}.items())),
    type(iter({}.values())),
    type(reversed(())),
}
"""Iterators over what is in memory: making a list of them costs nothing."""


STANDS_IN = "_kilowait_items"
"""The items, by number, of what stands in for data that is not there."""
_RANGE_ITERATOR = type(reversed(range(1)))


@dataclass(frozen=True)
class View:
    """`at(j, note)` is item j, None where only `rest` can say what comes; `questions` are known to tell items apart."""

    length: int | None
    at: Callable[[int, Note], Any] | None = None
    rest: Iterator[Any] | None = None
    questions: tuple[Question, ...] = ()


class Enumerated:
    """`enumerate`, which remembers over what."""

    def __init__(self, iterable: Iterable[Any], start: int = 0) -> None:
        self.iterable, self.start = iterable, start
        self._items: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._items is None:
            self._items = enumerate(self.iterable, self.start)
        return next(self._items)


def _zip(iterables: tuple[Iterable[Any], ...], strict: bool) -> Iterator[Any]:
    """Python's zip, which knows `strict` since 3.10; a program for an older one does not ask for it."""
    options: dict[str, Any] = {"strict": True} if strict else {}
    return zip(*iterables, **options)


class Zipped:
    """`zip`, which remembers over what."""

    def __init__(self, *iterables: Iterable[Any], strict: bool = False) -> None:
        self.iterables, self.strict = iterables, strict
        self._items: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._items is None:
            self._items = _zip(self.iterables, self.strict)
        return next(self._items)


def view(iterable: Any) -> View:
    """The view of anything a loop can run over; raises TypeError where Python would."""
    if isinstance(iterable, range):
        return _range(iterable)
    if isinstance(iterable, Enumerated) and iterable._items is None:
        return _enumerated(view(iterable.iterable), iterable.start)
    if isinstance(iterable, Zipped) and iterable._items is None:
        return _zipped([view(part) for part in iterable.iterables])
    if isinstance(iterable, Tensor):
        return View(length=len(iterable), at=lambda j, _note: iterable[int(j)])
    if isinstance(iterable, DataLoader) and not isinstance(iterable.dataset, IterableDataset):
        if type(iterable).__iter__ is DataLoader.__iter__:
            return _loader(iterable)
        return View(length=len(iterable), rest=iter(iterable))  # one that does more, such as moving batches
    if type(iterable).__module__.startswith("tqdm") and getattr(iterable, "iterable", None) is not None:
        return view(iterable.iterable)
    if hasattr(type(iterable), STANDS_IN):  # what is not there, and knows how long it is taken to be
        return _listed(getattr(iterable, STANDS_IN))
    if type(iterable) is _RANGE_ITERATOR:
        numbers = list(iterable)
        return _range(range(numbers[0], numbers[-1] + _step(numbers), _step(numbers)) if numbers else range(0))
    if isinstance(iterable, _LISTED) or type(iterable) in _CHEAP:
        return _listed(list(iterable))
    return View(length=None, rest=iter(iterable))


def _range(numbers: range) -> View:
    return View(length=len(numbers), at=lambda j, note: Index.of(j, numbers.step, numbers.start, note))


def _step(numbers: list[int]) -> int:
    return numbers[1] - numbers[0] if len(numbers) > 1 else 1


def _listed(items: Sequence[Any]) -> View:
    """The items of a list; where tensors in it have several shapes, the rare ones are told apart."""
    odd: tuple[Question, ...] = ()
    if items and isinstance(items[0], Tensor) and isinstance(items[-1], Tensor) and items[0].shape != items[-1].shape:
        odd = (_last(len(items)),)
    return View(length=len(items), at=lambda j, _note: items[j], questions=odd)


def _loader(loader: DataLoader[Any]) -> View:
    length, item_at, ragged = batches(loader)
    return View(length=length, at=lambda j, _note: item_at(j), questions=(_last(length),) if ragged else ())


def _last(length: int) -> Question:
    return Question(slope=1, start=0, value=length - 1)


def _enumerated(inner: View, start: int) -> View:
    if inner.at is None:
        return View(length=None, rest=enumerate(_in_order(inner), start))
    item_at = inner.at
    return View(
        length=inner.length,
        at=lambda j, note: (Index.of(j, 1, start, note), item_at(j, note)),
        questions=inner.questions,
    )


def _zipped(parts: list[View]) -> View:
    if any(part.at is None for part in parts):
        return View(length=None, rest=zip(*map(_in_order, parts)))
    length = min((part.length for part in parts if part.length is not None), default=0)
    return View(
        length=length,
        at=lambda j, note: tuple(part.at(j, note) for part in parts if part.at),
        questions=tuple(question for part in parts for question in part.questions),
    )


def _in_order(part: View) -> Iterator[Any]:
    if part.rest is not None:
        yield from part.rest
    elif part.at is not None and part.length is not None:
        for j in range(part.length):
            yield part.at(j, lambda _question: None)
