"""The loops of a program while it runs dry: few items are run, under weights that stand for all of them.

`rewrite` puts calls of a `Loops` into the program. A loop whose items are cheap, or each use parameters of their own
(the layers of a network), is run in full. Of any other a `LoopPlan` says which items; lists that grow with every item
are filled up when it ends, so that what comes after finds them as long as they would be.

Not covered: state other than lists and counters that grows with every item (a tensor that is concatenated to): the
items then differ, and such a loop is run in full while it is affordable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kilowait.predict.dryrun.loops.index import Index, Question
from kilowait.predict.dryrun.loops.loop_plan import LoopPlan
from kilowait.predict.dryrun.loops.loop_views import Enumerated, View, Zipped, view
from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.tally import Tally

FULL_CALLS = 120
"""A loop that costs no more calls of operators than this is run in full."""
FULL_CALLS_WHERE_ITEMS_DIFFER = 3_000
UNKNOWN_ITEMS = 1 << 20
"""As many items are planned for where nothing says how many there are."""
MOST_PADDING = 1_000_000
DRAINED = 10_000
"""So many items of a generator are counted at most."""


@dataclass(eq=False)
class Loop:
    """One loop that is running."""

    site: int
    line: int
    recorder: Recorder
    plan: LoopPlan
    known: bool
    full: bool = False
    item: int = -1
    decisions: int = 0
    tallies: dict[int, Tally] = field(default_factory=dict)
    asked: list[Question] = field(default_factory=list)
    counters: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    lists: dict[int, tuple[list[Any], int, set[int]]] = field(default_factory=dict)
    tables: dict[int, tuple[dict[Any, Any], int, int]] = field(default_factory=dict)

    def note(self, question: Question) -> None:
        """A question was asked of the index."""
        self.asked.append(question)
        self.plan.ask(question)

    def begin(self, item: int) -> None:
        """Item `item` is about to run; in a loop that is run in full it needs no tally of its own."""
        if not self.full:
            self.tallies[item] = self.recorder.tallies.begin()
        self.item = item
        self.decisions = self.recorder.decisions

    def end(self) -> None:
        """The item has ended as items do."""
        if self.full:
            return
        tally = self.tallies[self.item]
        self.recorder.tallies.end(tally)
        self.plan.did[self.item] = self._kind(tally)
        self.full = self.full or self._in_full()

    def abandon(self) -> None:
        """There is no item of that number; what it cost to find out counts once."""
        self.plan.cut(self.item)
        tally = self.tallies.pop(self.item, None)
        if tally:
            self.recorder.tallies.end(tally)
            self.recorder.tallies.settle(tally, 1.0)

    def next(self, by_number: bool) -> int | None:
        """The next item, None when enough were run."""
        following = self.item + 1
        if self.full or len(self.tallies) < 2:
            return following if following < self.plan.length or not self.known else None
        item = self.plan.next()
        return following if item is not None and not by_number else item

    def _kind(self, tally: Tally) -> int:
        return next(i for i, other in self.tallies.items() if other is tally or other.like(tally))

    def _in_full(self) -> bool:
        """Whether the loop is to be run in full; asked after each item, answered after two and while in order."""
        tallies = list(self.tallies.values())
        if len(tallies) < 2 or self.item != len(tallies) - 1:
            return False
        previous, last = tallies[-2:]
        if last.leaves - previous.leaves and previous.leaves - last.leaves:
            return True
        if not self.known:
            return last.calls == 0
        cost = self.plan.length * last.calls
        differ = len(tallies) > 2 and not last.like(previous)
        return cost <= FULL_CALLS or (differ and cost <= FULL_CALLS_WHERE_ITEMS_DIFFER)

    def finish(self) -> None:
        """Settle what every item stands for."""
        tallies = self.recorder.tallies
        last_item = max(self.tallies, default=-1, key=list(self.tallies).index)
        if not self.full and last_item not in (-1, *self.plan.did):
            tallies.end(self.tallies[last_item])
            self._broken(last_item)
        weights = dict.fromkeys(self.tallies, 1.0) if self.full else self.plan.weights()
        for item, tally in self.tallies.items():
            tallies.settle(tally, weights.get(item, 1.0 if item == last_item else 0.0))
        if not self.full:
            self._differing(weights)
            self._pad()

    def _broken(self, item: int) -> None:
        """The program left the loop from within an item: by its number, or for a reason that is not known."""
        if self.recorder.stopping:
            return
        if self.plan.others(item) or self.recorder.decisions > self.decisions:
            self.recorder.guesses[f"line {self.line}: the loop was left for a reason that may depend on values"] = None
            return
        self.plan.did[item] = -1
        self.plan.cut(item + 1)

    def _differing(self, weights: dict[int, float]) -> None:
        """Say so where items that stand for many differ by more than a tenth in their work."""
        cost = self.recorder.flops
        work = [self.tallies[item].work(cost) for item, weight in weights.items() if weight > 1]
        if work and max(work) - min(work) > 0.1 * max(work) and self.plan.unsettled():
            self.recorder.guesses[f"line {self.line}: the items of the loop differ, {len(weights)} were run"] = None

    def _pad(self) -> None:
        skipped_items = self.plan.length - len(self.tallies)
        if skipped_items <= 0 or not self.known:
            return
        for values, length, items in self.lists.values():
            if len(items) < min(2, len(self.tallies)) or not values:
                continue
            added_per_item = (len(values) - length) / len(self.tallies)
            values.extend([values[-1]] * min(MOST_PADDING, round(added_per_item * skipped_items)))
        for table, slope, start in self.tables.values():
            value = table[slope * self.item + start]
            for item in range(min(MOST_PADDING, self.plan.length)):
                table.setdefault(slope * item + start, value)


class Loops:
    """What the rewritten program calls."""

    enumerate = Enumerated
    zip = Zipped

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.running: list[Loop] = []
        self._skipped: int = 0
        self._ends: dict[tuple[int, str], int] = {}

    def items(self, site: int, line: int, iterable: Any) -> Iterator[Any]:
        """The items of a for loop that are run."""
        if self.recorder.muted:
            yield from iterable
            return
        loop_view = view(iterable)
        loop = self._loop(site, line, loop_view.length)
        for question in loop_view.questions:
            loop.plan.ask(question)
        yield from self._run(loop, loop_view)

    def _loop(self, site: int, line: int, length: int | None) -> Loop:
        plan = LoopPlan(UNKNOWN_ITEMS if length is None else length)
        return Loop(site=site, line=line, recorder=self.recorder, plan=plan, known=length is not None)

    def _run(self, loop: Loop, loop_view: View) -> Iterator[Any]:
        self.running.append(loop)
        try:
            while (item := loop.next(loop_view.at is not None)) is not None:
                loop.begin(item)
                try:
                    value = loop_view.at(item, loop.note) if loop_view.at else next(loop_view.rest)  # type: ignore[arg-type]
                except (StopIteration, IndexError):
                    loop.abandon()
                    break
                yield value
                loop.end()
            else:
                self._drain(loop, loop_view)
        finally:
            self._leave(loop)

    def _drain(self, loop: Loop, loop_view: View) -> None:
        """Count what is left of a generator, without looking at it."""
        if loop_view.rest is None or loop.known:
            return
        remaining = sum(1 for _, _ in zip(range(DRAINED), loop_view.rest))
        if remaining == DRAINED:
            self.recorder.guesses[f"line {loop.line}: a loop over a generator of unknown length"] = None
        loop.plan.cut(loop.item + 1 + remaining)
        loop.known = True

    def _leave(self, loop: Loop) -> None:
        del self.running[self.running.index(loop) :]
        loop.finish()
        self._skipped = 0 if loop.full else max(0, loop.plan.length - len(loop.tallies))
        for name, points in loop.counters.items():
            slope = _slope(points)
            if slope and not loop.full:
                self._ends[loop.site, name] = points[0][1] + slope * loop.plan.length

    def trips(self, site: int, line: int, condition: Callable[[], Any]) -> Iterator[None]:
        """The items of a while loop that are run; its length is where what was asked of counters flips."""
        loop = self._loop(site, line, None)
        self.running.append(loop)
        try:
            while self._goes_on(loop, condition):
                item = loop.next(any(map(_slope, loop.counters.values())))
                if item is None:
                    break
                loop.begin(item)
                yield None
                loop.end()
            self._unending(loop)
        finally:
            self._leave(loop)

    def _goes_on(self, loop: Loop, condition: Callable[[], Any]) -> bool:
        loop.asked.clear()
        if loop.known and not loop.full:
            return True
        go = bool(condition())
        if not go:
            loop.plan.cut(loop.item + 1)
            loop.known = True
        elif loop.asked:
            loop.plan.cut(min(_flip(question, loop.item) for question in loop.asked) + 1)
            loop.known = loop.plan.length < UNKNOWN_ITEMS
        return go

    def _unending(self, loop: Loop) -> None:
        if not loop.known and len(loop.tallies) > 1:
            self.recorder.guesses[f"line {loop.line}: nothing says how often the loop runs"] = None
            loop.plan.cut(loop.item + 1)

    def counter(self, site: int, name: str, value: Any) -> Any:
        """The value of a counter at the start of an item, also where items were left out."""
        loop = next((loop for loop in reversed(self.running) if loop.site == site), None)
        if loop is None or loop.full or type(value) not in (int, Index):
            return value
        points = loop.counters.setdefault(name, [])
        if loop.item == len(points):
            points.append((loop.item, int(value)))
        slope = _slope(points)
        return Index.of(loop.item, slope, points[0][1], loop.note) if slope else value

    def after(self, site: int, name: str, value: Any) -> Any:
        """The value of a counter when its loop has ended."""
        return self._ends.pop((site, name), value)

    def append(self, to: Any, value: Any) -> None:
        """`to.append(value)`, noted for the loops that may leave items out."""
        if type(to) is list:
            for loop in self.running:
                loop.lists.setdefault(id(to), (to, len(to), set()))[2].add(loop.item)
        to.append(value)

    def store(self, value: Any, to: Any, key: Any) -> None:
        """`to[key] = value`; a dictionary with the index as its key gets the items that are left out, too."""
        to[key] = value
        if type(to) is dict and type(key) is Index:
            for loop in self.running:
                if key.note == loop.note:
                    loop.tables[id(to)] = (to, key.slope, key.start)

    def listed(self, made: list[Any]) -> list[Any]:
        """What a comprehension has made, as long as it would be."""
        if self._skipped and made:
            made.extend([made[-1]] * min(MOST_PADDING, self._skipped))
        self._skipped = 0
        return made


def _slope(points: list[tuple[int, int]]) -> int:
    """By how much a counter grows with every item, 0 where that is not known or not the same."""
    steps = {after[1] - before[1] for before, after in zip(points, points[1:])}
    return steps.pop() if len(steps) == 1 else 0


def _flip(question: Question, item: int) -> int:
    """The first item after which the answer is another one than now."""
    answers = question.answers(np.arange(max(item, 0), UNKNOWN_ITEMS, dtype=np.int64))
    flips = np.flatnonzero(answers != answers[0])
    return max(item, 0) + int(flips[0]) if len(flips) else UNKNOWN_ITEMS
