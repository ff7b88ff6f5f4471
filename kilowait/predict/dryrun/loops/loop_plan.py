"""Which items of a loop are run, and how many items each of them stands for.

Items that answer every question asked of the index alike form a class. The first item is a class of its own, because
it makes what the others find (an optimizer's moments). Of every class items are run until two did the same.

A counter that the program steps by hand grows in an item as it grew in the items of its class, so that what is asked
of it tells items apart, too, and says where a loop ends that nothing else bounds.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kilowait.predict.dryrun.loops.index import IntArray, Question
from kilowait.predict.dryrun.loops.item_classes import asked_in_step, holds, refined, sums, usual
from kilowait.predict.dryrun.loops.loop_length import FARTHEST, first_other, searched

MOST_QUESTIONS = 40
MOST_LATER = 64
"""A question that is not asked in every item is at most so many items late."""
MOST_SAMPLES = 5
"""Of a class whose items differ among themselves."""
UNKNOWN_ITEMS = 1 << 20
"""At most so many items are told apart."""
PLANNED, NEAR = 1 << 16, 1 << 12
"""As many items are planned for where nothing says how many there are; an end is looked for near by first."""


@dataclass
class LoopPlan:
    """What is known of a loop with at most `limit` items.

    `did` says by item what it did, equal values for equal work, and `grown` by counter and item how much it grew.
    `repeated` are items that did what those of their number did when the loop ran before.
    """

    limit: int
    did: dict[int, Hashable] = field(default_factory=dict)
    grown: dict[Any, dict[int, int]] = field(default_factory=dict)
    repeated: set[int] = field(default_factory=set)
    _questions: dict[Question, None] = field(default_factory=dict)
    _bounds: dict[Question, int] = field(default_factory=dict)
    _inside: dict[Question, bool] = field(default_factory=dict)
    _later: dict[Question, int] = field(default_factory=dict)
    _length: int | None = None
    _classes: list[IntArray] | None = None
    _tables: dict[Any, IntArray] = field(default_factory=dict)
    _codes_of: dict[int, IntArray] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """How many items the loop has."""
        if self._length is None:
            self._length = min([self.limit, *(self._end(q, answer) for q, answer in self._bounds.items())])
        return self._length

    @property
    def bounded(self) -> bool:
        """Whether a question that ends the loop says how many items there are."""
        return any(self._end(question, answer) < FARTHEST for question, answer in self._bounds.items())

    @property
    def questions(self) -> list[Question]:
        """What was asked."""
        return list(self._questions)

    def turns(self, question: Question) -> bool:
        """Whether its answer is not the same in all items, as far as they are told apart."""
        items = np.arange(min(self.length, UNKNOWN_ITEMS), dtype=np.int64)
        answers = question.answers(items if question.counter is None else self._table(question.counter, len(items)))
        return bool(len(answers)) and bool((answers != answers[0]).any())

    @property
    def has_questions(self) -> bool:
        """Whether anything was asked of the number of an item."""
        return bool(self._questions)

    @property
    def bounds(self) -> Mapping[Question, int]:
        """The questions that end the loop."""
        return self._bounds

    @property
    def counts(self) -> bool:
        """Whether a counter of the loop grows, so that it can go to an item by its number."""
        return any(any(grown.values()) for grown in self.grown.values())

    def ask(self, question: Question) -> None:
        """Tell items apart by one more question."""
        if question in self._questions or len(self._questions) >= MOST_QUESTIONS:
            return
        if not asked_in_step(question, self._questions, self.grown):
            self._questions[question] = None
            self._classes = None
            self._forget_tables()

    def bound(self, question: Question, answer: int, *, inside: bool) -> None:
        """The loop goes on while the answer is this one: the item with another is its last, left from `inside` it."""
        if question not in self._inside:
            self._bounds[question], self._inside[question] = answer, inside
            self._length = self._classes = None

    def answer(self, question: Question, item: int) -> int:
        """What the answer is in `item`."""
        n = item if question.counter is None else self.value(question.counter, item)
        return int(question.answers(np.array([n], dtype=np.int64))[0])

    def refute(self, question: Question, item: int) -> None:
        """The loop goes on after `question` was asked in `item`: where it should have ended it, it bounds nothing."""
        if self._bounds.get(question, -1) not in (-1, self.answer(question, item)):
            self._drop(question)

    def went_on(self, item: int, asked: Collection[Question]) -> None:
        """The item ran to its end, so that no question has ended the loop inside it: one not `asked` does so later."""
        for question in [q for q, inside in self._inside.items() if inside and q in self._bounds]:
            if item + 1 != self._end(question, self._bounds[question]):
                continue
            if question in asked or self._later.get(question, 0) >= MOST_LATER:
                self._drop(question)
            else:
                self._later[question] = self._later.get(question, 0) + 1
                self._length = self._classes = None

    def _drop(self, question: Question) -> None:
        del self._bounds[question]
        self._length = self._classes = None

    def cut(self, length: int) -> None:
        """The loop ends earlier than was thought."""
        if length < self.length:
            self.limit = length
            self._length = self._classes = None

    def grew(self, counter: Any, item: int, by: int) -> None:
        """A counter grew in an item."""
        grown = self.grown.setdefault(counter, {})
        expected, table = set(grown.values()), self._tables.get(counter)
        before = usual(grown)
        if table is not None and item + 1 < len(table):
            expected = {int(table[item + 1] - table[item])}
        grown[item] = by
        if expected != {by} or before != usual(grown):
            self._length = self._classes = None
            self._forget_tables()

    def _forget_tables(self) -> None:
        self._tables.clear()
        self._codes_of.clear()

    def value(self, counter: Any, item: int) -> int:
        """By how much a counter has grown when `item` begins."""
        steps = set(self.grown.get(counter, {}).values())
        if len(steps) <= 1:
            return item * next(iter(steps), 0)
        table = self._tables.get(counter)
        if table is None or item >= len(table):
            self._tables[counter] = table = self._table(counter, max(NEAR, 2 * item))
        return int(table[item])

    def next(self) -> int | None:
        """The next item to run, None when every class is represented."""
        if not self.did:
            return 0 if self.length else None
        lacking = [item for item in map(self._lacking, self.classes()) if item is not None]
        return min(lacking, default=None)

    def weights(self) -> dict[int, float]:
        """How many items each item that was run stands for; together the length of the loop, if anything was run.

        A class without an item that was run falls to all that were run after the first.
        """
        run = sorted(item for item in self.did if item < self.length)
        weights = dict.fromkeys(run, 0.0)
        for members in self.classes() if run else ():
            samples = [item for item in run if holds(members, item)]
            representatives = samples or run[1:] or run
            for item in representatives:
                weights[item] += self._stood_for(members) / len(representatives)
        return weights

    def _stood_for(self, members: IntArray) -> float:
        """How many items a class has; those that are not told apart are like the later half of those that are."""
        told = min(self.length, UNKNOWN_ITEMS)
        if told == self.length:
            return len(members)
        half = told // 2
        later = len(members) - int(np.searchsorted(members, half))
        return len(members) + (self.length - told) * later / (told - half)

    def others(self, item: int) -> bool:
        """Whether another item of its class has been run."""
        return any(other != item and holds(members, other) for members in self._of(item) for other in self.did)

    def unsettled(self) -> bool:
        """Whether items of some class were run and no two of them did the same."""
        return any(self._lacks(members) for members in self.classes())

    def _of(self, item: int) -> list[IntArray]:
        return [members for members in self.classes() if holds(members, item)]

    def classes(self) -> list[IntArray]:
        """The items of each class, in order; the first item alone."""
        if self._classes is None:
            codes = self._codes(min(self.length, UNKNOWN_ITEMS if self.length < FARTHEST else PLANNED))
            order = np.argsort(codes, kind="stable")
            ends = np.flatnonzero(np.diff(codes[order])) + 1
            self._classes = [part for part in np.split(order, ends) if len(part)]
        return self._classes

    def _codes(self, length: int) -> IntArray:
        """A number by item, the same for items of one class; remembered, as every counter that grows asks for it."""
        codes = self._codes_of.get(length)
        if codes is None:
            codes = self._codes_of[length] = self._told_apart(length)
        return codes

    def _told_apart(self, length: int) -> IntArray:
        """What tells `_codes`: counters come last, as they rest on it."""
        items = np.arange(length, dtype=np.int64)
        codes = (items > 0).astype(np.int64)
        for question in list(self._questions):  # a thread that draws a bar may ask meanwhile
            if question.counter is None:
                codes = refined(codes, question.answers(items))
        tables: dict[Any, IntArray] = {}
        for question in list(self._questions):  # a thread that draws a bar may ask meanwhile
            if question.counter is not None:
                table = tables.get(question.counter)
                if table is None:
                    table = tables[question.counter] = self._table(question.counter, length, codes)
                codes = refined(codes, question.answers(table))
        return codes

    def _table(self, counter: Any, length: int, codes: IntArray | None = None) -> IntArray:
        """By how much a counter has grown when each item begins: in an item as much as in others of its class."""
        grown = self.grown.get(counter, {})
        steps = list(grown.values())
        if len(set(steps)) <= 1:
            return np.arange(length, dtype=np.int64) * (steps[0] if steps else 0)
        if codes is None:
            codes = self._codes(length)
        return sums(grown, codes, length)

    def _end(self, question: Question, answer: int) -> int:
        """The number of items up to the first that asks and whose answer is another, FARTHEST where there is none."""
        return self._turn(question, answer) + self._later.get(question, 0)

    def _turn(self, question: Question, answer: int) -> int:
        steps = set() if question.counter is None else set(self.grown.get(question.counter, {}).values())
        if question.counter is not None and len(steps) > 1:
            return self._end_in_table(question, answer)
        if question.counter is not None and steps in (set(), {0}):
            return FARTHEST
        step = 1 if question.counter is None else steps.pop()
        flips = first_other(question.answers(np.arange(1 << 12, dtype=np.int64) * step), answer)
        if flips < FARTHEST or question.modulus:
            return flips
        return searched(question, answer, step, min(self.limit, FARTHEST) if self.limit > UNKNOWN_ITEMS else FARTHEST)

    def _end_in_table(self, question: Question, answer: int) -> int:
        """The same for a counter that grows in some items: looked for near by first, then by its mean growth."""
        most, length, end = min(self.limit, UNKNOWN_ITEMS), NEAR, FARTHEST
        while end == FARTHEST:
            length = min(length, most)
            table = self._table(question.counter, length)
            end = first_other(question.answers(table), answer)
            if length == most:
                break
            length *= 8
        mean_growth = float(table[-1]) / length
        if end < FARTHEST or question.modulus or most < UNKNOWN_ITEMS or mean_growth <= 0:
            return end
        return searched(question, answer, mean_growth, FARTHEST)

    def _lacking(self, members: IntArray) -> int | None:
        """The item that a class still needs."""
        samples = [item for item in self.did if holds(members, item)]
        if len(samples) >= MOST_SAMPLES or not self._lacks(members):
            return None
        return next(int(item) for item in members if int(item) not in self.did)

    def _lacks(self, members: IntArray) -> bool:
        samples = [item for item in self.did if holds(members, item)]
        return len(samples) < len(members) and not self._settled(samples)

    def _settled(self, samples: Sequence[int]) -> bool:
        """Whether two items of a class did the same, or its one item did what another after the first did.

        So did one that did what it did before: two of its class were alike then.
        """
        if any(item in self.repeated for item in samples):
            return True
        results = [self.did[item] for item in samples]
        if len(set(results)) < len(results):
            return True
        other_results = {result for item, result in self.did.items() if item not in samples and item > 0}
        return len(results) == 1 and results[0] in other_results
