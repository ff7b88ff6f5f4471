"""Python's `enumerate` and `zip` for programs, which remember over what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


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
