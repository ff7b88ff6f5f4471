"""What a loop runs over, by number: so that it can go to item 500 after item 2.

A view knows its length where there is one, and gives item j. What has no items by number (generators, streams) is run
in order; where the program asks for the number of an item, what lies between is thrown away, for a while, and from
then on one item of a stream is taken for another.
"""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from kilowait.predict.dryrun.loops.index import Index, Question
from kilowait.predict.dryrun.loops.lazy.links import GeneratorLink, link_of
from kilowait.predict.dryrun.loops.lazy.remembering import Enumerated, Zipped
from kilowait.predict.dryrun.loops.loader import adapt, batches, items_left
from kilowait.predict.dryrun.loops.running_loop import Loop
from kilowait.predict.dryrun.recorder import Recorder

DRAINED = 10_000
"""So many items of a stream are looked for at most, to find where it ends,"""
DRAINED_S = 0.5
"""and for so many CPU seconds."""
PASSED = 16
"""Of a stream whose length is known, more items than this are not passed over: one is taken for another."""
_LISTED = (list, tuple, str, bytes, dict, set, frozenset)
_CHEAP: set[type] = {
    *map(type, (iter(()), iter([]), reversed([]), reversed(()), {}.items(), {}.keys(), {}.values())),
    *map(type, (iter({}), iter({}.items()), iter({}.values()))),
}
"""Iterators over what is in memory: making a list of them costs nothing."""

STANDS_IN = "_kilowait_items"
"""The items, by number, of what stands in for data that is not there."""
_RANGE_ITERATOR = type(reversed(range(1)))


@dataclass(eq=False)
class View:
    """`at(j, loop)` is item j, None where only `rest` can say what comes, which is then `wrapped(j, item, loop)`.

    `questions` are known to tell items apart; `samples(j)` is how many samples item j of a loader holds. `link` is
    to what a generator runs over, which then gives its items by number.
    """

    length: int | None
    at: Callable[[int, Loop], Any] | None = None
    rest: Iterator[Any] | None = None
    questions: tuple[Question, ...] = ()
    wrapped: Callable[[int, Any, Loop], Any] | None = None
    samples: bool = False
    link: GeneratorLink | None = None
    _all_seen: bool = False

    def by_number(self, loop: Loop) -> bool:
        """Whether the loop may go to an item by its number."""
        return self.at is not None or self._linked or loop.plan.has_questions

    @property
    def _linked(self) -> bool:
        return self.link is not None and self.link.holds

    def item(self, j: int, loop: Loop) -> Any:
        """Item j for `loop`; raises StopIteration or IndexError where there is none."""
        if self.at is not None:
            value = self.at(j, loop)
        else:
            assert self.rest is not None
            value = next(self.rest) if self.link is None else self.link.draw(self.rest, j, loop)
            value = self.wrapped(j, value, loop) if self.wrapped else value
        if self.samples and (size := _samples(value)):
            loop.samples[j] = float(size)
        return value

    def skip(self, count: int, recorder: Recorder) -> int | None:
        """Pass over items; None where there may be that many, else how many there were."""
        if self.at is not None or count <= 0 or self._all_seen or (self.length is not None and count > PASSED):
            return None
        if self._linked:
            return None
        passed = self._pass(count, recorder)
        self._all_seen = passed is None
        return passed if passed is not None and passed < count else None

    def drain(self, recorder: Recorder) -> int | None:
        """How many items are left, None where they do not end."""
        if isinstance(self.rest, io.IOBase):
            return sum(1 for _ in self.rest)
        return None if self._all_seen else self._pass(FAR, recorder)

    def finish(self) -> None:
        """No more items are asked for: a generator does what comes after its last."""
        if self.link is not None and self.link.holds and self.rest is not None:
            self.link.end(self.rest)

    def _pass(self, count: int, recorder: Recorder) -> int | None:
        """How many of so many items there were to take; None where it took too long to see."""
        assert self.rest is not None
        end_s = _cpu_s() + DRAINED_S
        recorder.muted += 1
        try:
            for passed in range(min(count, DRAINED)):
                if next(self.rest, _END) is _END:
                    return passed
                if _cpu_s() > end_s:
                    return None
        finally:
            recorder.muted -= 1
        return count if count <= DRAINED else None


FAR = 1 << 40
_END = object()
_cpu_s = time.process_time


def _samples(value: Any) -> int:
    """The first dimension of the first tensor in a batch."""
    if isinstance(value, Tensor):
        return int(value.shape[0]) if value.dim() else 0
    parts = list(value.values()) if hasattr(value, "values") else value if isinstance(value, (list, tuple)) else []
    return next((size for size in map(_samples, parts) if size), 0)


def holds_state(value: Any) -> bool:
    """Whether an item is a module, a parameter or an entry of a state: a loop over such builds or changes state."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], Tensor):
        return True
    parts = value if isinstance(value, tuple) else (value,)
    return any(isinstance(part, (nn.Module, nn.Parameter)) for part in parts)


def index_of(loop: Loop, slope: int, start: int, item: int) -> Index:
    """The number of an item of a loop."""
    return Index.of(item, slope, start, loop.note, None, loop.span)


def view(iterable: Any) -> View:
    """The view of anything a loop can run over; raises TypeError where Python would."""
    if isinstance(iterable, range):
        return _range(iterable)
    if isinstance(iterable, Enumerated) and iterable._items is None:
        return _enumerated(view(iterable.iterable), iterable.start)
    if isinstance(iterable, Zipped) and iterable._items is None:
        return _zipped([view(part) for part in iterable.iterables])
    if isinstance(iterable, Tensor):
        return View(length=len(iterable), at=lambda j, _loop: iterable[int(j)])
    if isinstance(iterable, DataLoader):
        return adapt(iterable) or _loader(iterable)
    if isinstance(iterable, _BaseDataLoaderIter):
        return View(length=items_left(iterable), rest=iterable, samples=True)
    if type(iterable).__module__.startswith("tqdm") and getattr(iterable, "iterable", None) is not None:
        return _bar(iterable)
    if hasattr(type(iterable), STANDS_IN):  # what is not there, and knows how long it is taken to be
        return _listed(getattr(iterable, STANDS_IN))
    if type(iterable) is itertools.count:
        return _counted(iterable)
    if type(iterable) is _RANGE_ITERATOR:
        numbers = list(iterable)
        return _range(range(numbers[0], numbers[-1] + _step(numbers), _step(numbers)) if numbers else range(0))
    if isinstance(iterable, _LISTED) or type(iterable) in _CHEAP:
        return _listed(list(iterable))
    if link := link_of(iterable):
        return View(length=None, rest=iterable, link=link)
    items = iter(iterable)  # of an iterator that has a length some items may be gone
    return View(length=None if items is iterable else _length(iterable), rest=items)


def _length(iterable: Any) -> int | None:
    with suppress(TypeError, NotImplementedError, AttributeError):
        return len(iterable)
    return None


def _bar(bar: Any) -> View:
    """What a progress bar runs over; one that knows a total of what does not say its own length is believed."""
    inner = view(bar.iterable)
    total = getattr(bar, "total", None)
    if inner.length is None and inner.rest is not None and isinstance(total, (int, float)) and total > 0:
        inner.length = int(total)
    return inner


def _range(numbers: range) -> View:
    return View(length=len(numbers), at=lambda j, loop: index_of(loop, numbers.step, numbers.start, j))


def _counted(numbers: Any) -> View:
    """`itertools.count`, which has no end."""
    first = next(numbers)
    step = next(numbers) - first
    if type(first) is not int or type(step) is not int:
        return View(length=None, rest=itertools.count(first, step))
    return View(length=None, at=lambda j, loop: index_of(loop, step, first, j))


def _step(numbers: list[int]) -> int:
    return numbers[1] - numbers[0] if len(numbers) > 1 else 1


def _listed(items: Sequence[Any]) -> View:
    """The items of a list; where tensors in it have several shapes, the rare ones are told apart."""
    odd: tuple[Question, ...] = ()
    if items and isinstance(items[0], Tensor) and isinstance(items[-1], Tensor) and items[0].shape != items[-1].shape:
        odd = (_last(len(items)),)
    return View(length=len(items), at=lambda j, _loop: items[j], questions=odd)


def _loader(loader: DataLoader[Any]) -> View:
    """The batches of a loader: by number where its data set has numbers and nobody changed how it is run through."""
    if type(loader).__iter__ is not DataLoader.__iter__ or isinstance(loader.dataset, IterableDataset):
        return View(length=_length(loader), rest=iter(loader), samples=True)
    length, item_at, ragged = batches(loader)
    questions = (_last(length),) if ragged else ()
    return View(length=length, at=lambda j, _loop: item_at(j), questions=questions, samples=True)


def _last(length: int) -> Question:
    return Question(slope=1, start=0, value=length - 1)


def _enumerated(inner: View, start: int) -> View:
    def numbered(j: int, value: Any, loop: Loop) -> Any:
        value = inner.wrapped(j, value, loop) if inner.wrapped else value
        return index_of(loop, 1, start, j), value

    def at(j: int, loop: Loop) -> Any:
        assert inner.at is not None
        return index_of(loop, 1, start, j), inner.at(j, loop)

    return View(
        length=inner.length,
        at=None if inner.at is None else at,
        rest=inner.rest,
        wrapped=None if inner.at is not None else numbered,
        questions=inner.questions,
        samples=inner.samples,
        link=inner.link,
    )


def _zipped(parts: list[View]) -> View:
    samples = any(part.samples for part in parts)
    lengths = [part.length for part in parts if part.length is not None]
    if any(part.at is None for part in parts):
        return _zipped_streams(parts, min(lengths, default=None), samples)
    return View(
        length=min(lengths, default=None if parts else 0),
        at=lambda j, loop: tuple(part.at(j, loop) for part in parts if part.at),
        questions=tuple(question for part in parts for question in part.questions),
        samples=samples,
    )


def _zipped_streams(parts: list[View], length: int | None, samples: bool) -> View:
    """What has numbers gives its items by number, and the streams beside it their next."""

    def items(j: int, values: Any, loop: Loop) -> Any:
        streamed = iter(values)
        return tuple(_part(part, j, streamed, loop) for part in parts)

    streams = [part.rest for part in parts if part.at is None and part.rest is not None]
    return View(length=length, rest=zip(*streams), wrapped=items, samples=samples)


def _part(part: View, j: int, streamed: Iterator[Any], loop: Loop) -> Any:
    if part.at is not None:
        return part.at(j, loop)
    value = next(streamed)
    return part.wrapped(j, value, loop) if part.wrapped else value
