"""Numbers that a program steps by hand while a loop runs: local names, attributes, entries of dictionaries.

At the start of every item a counter is put where it would be, also where items were left out, as an `Index` that
notes what is asked of it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kilowait.predict.dryrun.loops.index import Index, Note
from kilowait.predict.dryrun.loops.loop_plan import LoopPlan


@dataclass(eq=False)
class Counter:
    """One counter of one loop: `base` was its value when the loop began, `began` when the item did."""

    key: Any
    base: Any
    began: int
    item: int

    def at(self, item: int, plan: LoopPlan, note: Note) -> Index:
        """Its value when `item` begins."""
        index = Index.of(plan.value(self.key, item), 1, self.base, note, self.key, lambda: self._growth(plan))
        self.began, self.item = int(index), item
        return index

    def grew(self, value: Any, plan: LoopPlan) -> None:
        """Its value when the item ended."""
        plan.grew(self.key, self.item, int(value) - self.began)

    def end(self, value: Any, plan: LoopPlan, *, exact: bool) -> Any:
        """Its value when the loop has ended, known to the loops outside; `exact` where nothing was left out."""
        growth = int(value) - int(self.base) if exact else plan.value(self.key, plan.length)
        return self.base + growth

    def _growth(self, plan: LoopPlan) -> int | None:
        return plan.value(self.key, plan.length) if plan.length < 1 << 30 else None


def at_end(counter: Counter, value: Any, loop: Any) -> Any:
    """The value of a counter when its loop has ended; what it grew by in the item that was run last is known now."""
    if not (loop.full or loop.left):
        counter.grew(value, loop.plan)
    return counter.end(value, loop.plan, exact=loop.full or loop.item >= loop.plan.length - 1)


@dataclass(eq=False)
class CountedPlace:
    """An attribute or an entry that holds a counter; `owner` is kept so that its identity stays its own."""

    owner: Any
    name: Any
    entry: bool

    @property
    def key(self) -> Any:
        """What names it among the counters of a loop."""
        return id(self.owner), self.name, self.entry

    def get(self) -> Any:
        """The value, None where there is none that counts."""
        value = None
        with suppress(Exception):
            value = self.owner[self.name] if self.entry else getattr(self.owner, self.name)
        return value if counts(value) else None

    def set(self, value: Any) -> None:
        """Put a value there; an owner that refuses keeps its own."""
        with suppress(Exception):
            if self.entry:
                self.owner[self.name] = value
            else:
                setattr(self.owner, self.name, value)


def counts(value: Any) -> bool:
    """Whether a value may be a counter."""
    return type(value) in (int, Index)
