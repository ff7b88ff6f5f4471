"""The index of a loop as an int that notes which questions a program asks of it.

`step % 100 == 0`, `step < warmup` and `epoch == 0` decide what an item of a loop does. An `Index` answers like an int
and leaves the question behind, wherever in the program it is asked, so that items can be told apart before they run.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from typing import Self

IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Question:
    """Whether slope * i + start (modulo `modulus` where that is not 0) stands in `relation` to `value`."""

    slope: int
    start: int
    modulus: int = 0
    relation: str = "=="
    value: float = 0

    def answers(self, items: IntArray) -> Mask:
        """The answer for every item i."""
        numbers = self.slope * items + self.start
        if self.modulus:
            numbers = numbers % self.modulus
        return np.asarray(_COMPARISONS[self.relation](numbers, self.value), dtype=np.bool_)


Note = Callable[[Question], None]


class _Noted(int):
    """An int that leaves a question behind whenever it is compared with a number."""

    def _leave(self, relation: str, value: float) -> None:
        raise NotImplementedError

    def _ask(self, relation: str, other: Any) -> Any:
        if isinstance(other, (int, float)):
            self._leave(relation, int(other) if isinstance(other, int) else other)
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
    """slope * i + start in item i of a loop; what is asked of it goes to `note`."""

    slope: int
    start: int
    note: Note

    @classmethod
    def of(cls, item: int, slope: int, start: int, note: Note) -> Self:
        """The value in item `item`."""
        index = cls(slope * item + start)
        index.slope, index.start, index.note = slope, start, note
        return index

    def _moved(self, slope: int, start: int, value: int) -> Index:
        index = Index(value)
        index.slope, index.start, index.note = slope, start, self.note
        return index

    def __add__(self, other: Any) -> Any:
        """The sum; after an integer still an index, with a later start."""
        value = int(self) + other
        return self._moved(self.slope, self.start + other, value) if type(other) is int else value

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        """The difference; after an integer still an index, with an earlier start."""
        value = int(self) - other
        return self._moved(self.slope, self.start - other, value) if type(other) is int else value

    def __mul__(self, other: Any) -> Any:
        """The product; after an integer still an index, linear in the item."""
        value = int(self) * other
        return self._moved(self.slope * other, self.start * other, value) if type(other) is int else value

    __rmul__ = __mul__

    def __mod__(self, other: Any) -> Any:
        """The remainder, which notes what it is compared with."""
        rest = int(self) % other
        return Rest.of(rest, self, int(other)) if isinstance(other, int) and other > 1 else rest

    def _leave(self, relation: str, value: float) -> None:
        self.note(Question(slope=self.slope, start=self.start, relation=relation, value=value))


class Rest(_Noted):
    """An index modulo something."""

    index: Index
    modulus: int

    @classmethod
    def of(cls, value: int, index: Index, modulus: int) -> Self:
        """The rest `value` of `index`."""
        rest = cls(value)
        rest.index, rest.modulus = index, modulus
        return rest

    def _leave(self, relation: str, value: float) -> None:
        index = self.index
        index.note(Question(slope=index.slope, start=index.start, modulus=self.modulus, relation=relation, value=value))
