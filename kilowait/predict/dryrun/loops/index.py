"""Numbers that grow with the items of a loop, as ints that note which questions a program asks of them.

`step % 100 == 0`, `step < warmup` and `epoch == 0` decide what an item of a loop does. An `Index` answers like an int
and leaves the question behind, wherever in the program it is asked, so that items can be told apart before they run.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Question:
    """Whether (slope * n + start) // divisor + shift, modulo `modulus` where that is not 0, is so related to `value`.

    n is the number of the item, or the value at its start of `counter`, by how much
    it has grown since the loop began. With a `span` the question
    is put to that many numbers in a row, the first of them this one, and the answer is how often it holds.
    """

    slope: int
    start: int
    modulus: int = 0
    relation: str = "=="
    value: float = 0
    divisor: int = 1
    shift: int = 0
    counter: Any = None
    span: int = 0

    def answers(self, n: IntArray) -> IntArray:
        """The answer for every n: 0 or 1, or with a span how often."""
        numbers = self.slope * n + self.start
        if self.span:
            return self._hits(numbers)
        if self.divisor != 1:
            numbers = numbers // self.divisor
        numbers = numbers + self.shift
        if self.modulus:
            numbers = numbers % self.modulus
        return np.asarray(_COMPARISONS[self.relation](numbers, self.value), dtype=np.int64)

    def _hits(self, firsts: IntArray) -> IntArray:
        ends = firsts + self.span
        if self.modulus:
            rest = int(self.value)
            hits: IntArray = (ends - 1 - rest) // self.modulus - (firsts - 1 - rest) // self.modulus
            return hits
        if self.relation == "==":
            return np.asarray((firsts <= self.value) & (self.value < ends), dtype=np.int64)
        below = self.value + 1 if self.relation in ("<=", ">") else self.value
        count: IntArray = np.clip(np.ceil(below - firsts), 0, self.span).astype(np.int64)
        return self.span - count if self.relation in (">", ">=") else count


Note = Callable[[Question], None]


class _Noted(int):
    """An int that leaves a question behind whenever it is compared with a number."""

    def _leave(self, relation: str, value: float) -> None:
        raise NotImplementedError

    def _ask(self, relation: str, other: Any) -> Any:
        if isinstance(other, (int, float)):
            self._leave(relation, int(other) if isinstance(other, int) else float(other))
            other = int(other) if isinstance(other, _Noted) else other
        return _COMPARISONS[relation](int(self), other)

    def __lt__(self, other: Any) -> Any:
        return self._ask("<", other)

    def __le__(self, other: Any) -> Any:
        return self._ask("<=", other)

    def __gt__(self, other: Any) -> Any:
        return self._ask(">", other)

    def __ge__(self, other: Any) -> Any:
        return self._ask(">=", other)

    def __eq__(self, other: object) -> Any:
        return self._ask("==", other)

    def __ne__(self, other: object) -> Any:
        return not self._ask("==", other)

    def __bool__(self) -> bool:
        return not self._ask("==", 0)

    def __hash__(self) -> int:
        return int.__hash__(self)

    def __reduce__(self) -> Any:
        return int, (int(self),)


class Index(_Noted):
    """(slope * n + start) // divisor + shift of a loop; what is asked of it goes to `note`.

    n is the number of the item, or by how much `counter` has grown when the item begins. `above` is the number of an
    outer loop that it is on top of, and is part of `start`; `span` says how many items the inner loop has, so that the
    outer one can be asked how often an answer holds in one of its items.
    """

    slope: int
    start: int
    note: Note
    divisor: int
    shift: int
    counter: Any
    above: Index | None
    span: Callable[[], int | None]

    @classmethod
    def of(
        cls,
        n: int,
        slope: int,
        start: int,
        note: Note,
        counter: Any = None,
        span: Callable[[], int | None] = lambda: None,
    ) -> Index:
        """slope * n + start."""
        index = cls(slope * n + int(start))
        index.slope, index.start, index.note, index.counter, index.span = slope, int(start), note, counter, span
        index.divisor, index.shift = 1, 0
        index.above = start if isinstance(start, Index) and start.divisor == 1 else None
        return index

    def _like(self, value: int, **changed: Any) -> Index:
        index = Index(value)
        index.__dict__.update(vars(self), **changed)
        return index

    def _plus(self, other: Any, sign: int) -> Any:
        value = int(self) + sign * other
        if type(other) is not int:
            return value
        if self.divisor != 1:
            return self._like(value, shift=self.shift + sign * other)
        above = None if self.above is None else self.above._plus(other, sign)
        return self._like(value, start=self.start + sign * other, above=above)

    def __add__(self, other: Any) -> Any:
        """The sum; after an integer still an index, and on top of the index of an outer loop one that knows both."""
        if isinstance(other, Index):
            return self._on(other) or other._on(self) or int(self) + int(other)
        return self._plus(other, 1)

    __radd__ = __add__

    def _on(self, outer: Index) -> Index | None:
        """The sum, where this is the index of a loop inside the other's."""
        simple = self.divisor == outer.divisor == 1 and self.above is None and self.note != outer.note
        if not simple or self.span() is None or not _inside(self.note, outer.note):
            return None
        start = self.start + int(outer)
        above = outer._plus(self.start, 1)
        return self._like(int(self) + int(outer), start=start, above=above)

    def __sub__(self, other: Any) -> Any:
        """The difference; after an integer still an index, with an earlier start."""
        if isinstance(other, Index):
            return int(self) - int(other)
        return self._plus(other, -1)

    def __rsub__(self, other: Any) -> Any:
        """An integer minus the index."""
        if type(other) is not int or self.divisor != 1 or self.above is not None:
            return other - int(self)
        return self._like(other - int(self), slope=-self.slope, start=other - self.start)

    def __mul__(self, other: Any) -> Any:
        """The product; after an integer still an index, linear in the item."""
        if type(other) is not int or self.divisor != 1:
            return int(self) * (int(other) if isinstance(other, Index) else other)
        above = None if self.above is None else self.above * other
        return self._like(int(self) * other, slope=self.slope * other, start=self.start * other, above=above)

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        """The quotient; by a positive integer still an index, one that stands for a while."""
        if type(other) is not int or self.divisor != 1 or other < 1:
            return int(self) // (int(other) if isinstance(other, Index) else other)
        return self._like(int(self) // other, divisor=other, above=None)

    def __mod__(self, other: Any) -> Any:
        """The remainder, which notes what it is compared with."""
        other = int(other) if isinstance(other, Index) else other
        rest = int(self) % other
        return Rest.of(rest, self, int(other)) if isinstance(other, int) and other > 1 else rest

    def _leave(self, relation: str, value: float, modulus: int = 0) -> None:
        fields: dict[str, Any] = {"modulus": modulus, "relation": relation, "value": value}
        self.note(
            Question(
                slope=self.slope,
                start=self.start,
                divisor=self.divisor,
                shift=self.shift,
                counter=self.counter,
                **fields,
            )
        )
        span = self.span() if self.above is not None else None
        if self.above is not None and span and self.slope == 1 and (not modulus or relation == "=="):
            self.above._leave_for(span, fields)
        elif self.above is not None and span == 0:  # it has not grown in here yet
            self.above._plus(int(self) - int(self.above), 1)._leave(relation, value, modulus)

    def _leave_for(self, span: int, fields: dict[str, Any]) -> None:
        """Ask the outer loop how often an answer holds in the `span` items of the inner one."""
        question = Question(slope=self.slope, start=self.start, counter=self.counter, span=span, **fields)
        self.note(question)
        outer_span = self.span() if self.above is not None else None
        if self.above is not None and outer_span and self.slope == span:
            self.above._leave_for(span * outer_span, fields)


def _inside(note: Note, outer_note: Note) -> bool:
    """Whether the loop that is noted to began after the other."""
    inner, outer = getattr(note, "__self__", None), getattr(outer_note, "__self__", None)
    return getattr(inner, "depth", 0) > getattr(outer, "depth", 0)


class Rest(_Noted):
    """An index modulo something."""

    index: Index
    modulus: int

    @classmethod
    def of(cls, value: int, index: Index, modulus: int) -> Rest:
        """The rest `value` of `index`."""
        rest = cls(value)
        rest.index, rest.modulus = index, modulus
        return rest

    def _leave(self, relation: str, value: float) -> None:
        self.index._leave(relation, value, self.modulus)
