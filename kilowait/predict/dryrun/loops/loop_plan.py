"""Which items of a loop are run, and how many items each of them stands for.

Items that answer every question asked of the index alike form a class. The first item is a class of its own, because
it makes what the others find (an optimizer's moments). Of every class items are run until two did the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from kilowait.predict.dryrun.loops.index import IntArray, Question

MOST_QUESTIONS = 40
MOST_SAMPLES = 5
"""Of a class whose items differ among themselves."""


@dataclass
class LoopPlan:
    """What is known of a loop with `length` items; `did` says by item what it did, equal values for equal work."""

    length: int
    did: dict[int, Hashable] = field(default_factory=dict)
    _questions: dict[Question, None] = field(default_factory=dict)
    _classes: list[IntArray] | None = None

    def ask(self, question: Question) -> None:
        """Tell items apart by one more question."""
        if question not in self._questions and len(self._questions) < MOST_QUESTIONS:
            self._questions[question] = None
            self._classes = None

    def cut(self, length: int) -> None:
        """The loop ends earlier than was thought."""
        if length < self.length:
            self.length = length
            self._classes = None

    def next(self) -> int | None:
        """The next item to run, None when every class is represented."""
        if not self.did:
            return 0 if self.length else None
        lacking = [item for item in map(self._lacking, self._members()) if item is not None]
        return min(lacking, default=None)

    def weights(self) -> dict[int, float]:
        """How many items each item that was run stands for; together the length of the loop, if anything was run.

        A class without an item that was run falls to all that were run after the first.
        """
        run = sorted(item for item in self.did if item < self.length)
        weights = dict.fromkeys(run, 0.0)
        for members in self._members() if run else ():
            samples = [item for item in run if _holds(members, item)]
            representatives = samples or run[1:] or run
            for item in representatives:
                weights[item] += len(members) / len(representatives)
        return weights

    def others(self, item: int) -> bool:
        """Whether another item of its class has been run."""
        return any(other != item and _holds(members, other) for members in self._of(item) for other in self.did)

    def unsettled(self) -> bool:
        """Whether items of some class were run and no two of them did the same."""
        return any(self._lacks(members) for members in self._members())

    def _of(self, item: int) -> list[IntArray]:
        return [members for members in self._members() if _holds(members, item)]

    def _members(self) -> list[IntArray]:
        """The items of each class, in order; the first item alone."""
        if self._classes is None:
            items = np.arange(self.length, dtype=np.int64)
            codes = (items > 0).astype(np.int64)
            for question in self._questions:
                codes = codes * 2 + question.answers(items)
            order = np.argsort(codes, kind="stable")
            ends = np.flatnonzero(np.diff(codes[order])) + 1
            self._classes = [part for part in np.split(items[order], ends) if len(part)]
        return self._classes

    def _lacking(self, members: IntArray) -> int | None:
        """The item that a class still needs."""
        samples = [item for item in self.did if _holds(members, item)]
        if len(samples) >= MOST_SAMPLES or not self._lacks(members):
            return None
        return next(int(item) for item in members if int(item) not in self.did)

    def _lacks(self, members: IntArray) -> bool:
        samples = [item for item in self.did if _holds(members, item)]
        return len(samples) < len(members) and not self._settled(samples)

    def _settled(self, samples: Sequence[int]) -> bool:
        """Whether two items of a class did the same, or its one item did what another after the first did."""
        results = [self.did[item] for item in samples]
        if len(set(results)) < len(results):
            return True
        other_results = {result for item, result in self.did.items() if item not in samples and item > 0}
        return len(results) == 1 and results[0] in other_results


def _holds(members: IntArray, item: int) -> bool:
    place = int(np.searchsorted(members, item))
    return place < len(members) and int(members[place]) == item
