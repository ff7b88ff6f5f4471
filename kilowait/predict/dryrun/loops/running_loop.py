"""One loop of a program while it runs dry: which item is on, what each did, and what that stands for at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kilowait.predict.dryrun.loops.counters import CountedPlace, Counter
from kilowait.predict.dryrun.loops.earlier_run import EarlierRun, goes_on_as_before, leaves_nothing
from kilowait.predict.dryrun.loops.index import Question
from kilowait.predict.dryrun.loops.item_classes import pass_on
from kilowait.predict.dryrun.loops.known_trainers import of_known_trainer
from kilowait.predict.dryrun.loops.loop_length import FARTHEST
from kilowait.predict.dryrun.loops.loop_plan import LoopPlan
from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.tally import Tally

FULL_CALLS = 120
"""A loop that costs no more calls of operators than this is run in full."""
FULL_CALLS_WHERE_ITEMS_DIFFER = 3_000
FULL_CALLS_OF_LISTS = 16
"""The same for a comprehension: what it makes of the items that are left out is what it made of the last."""
MOST_PADDING = 1_000_000
IDLE_S, IDLE_ITEMS, MUCH_S = 0.3, 8, 2.0
"""CPU seconds and items (the first may load what the others use) after which a loop that makes data goes no further,
where those that are left would cost so many CPU seconds."""
_cpu_s = time.process_time  # the program finds another clock


@dataclass(eq=False)
class Loop:
    """One loop that is running; `left` says that the program left it on purpose, `ended` that its items were over.

    `before` is what its items did the last few times, where those of a class did the same.
    """

    site: int
    line: str
    depth: int
    recorder: Recorder
    plan: LoopPlan
    full: bool = False
    makes_list: bool = False
    trains: bool = False
    item: int = -1
    left: bool = False
    ended: bool = False
    finished: bool = False
    limited: bool = False
    idle_since_s: float | None = None
    idle_calls: int = 0
    idle_item: int = 0
    tired: bool = False
    adopted: int = 0
    countable: bool = False
    decisions: int = 0
    built: int = 0
    tallies: dict[int, Tally] = field(default_factory=dict)
    before: Sequence[EarlierRun] = ()
    samples: dict[int, float] = field(default_factory=dict)
    asked: list[Question] = field(default_factory=list)
    listeners: list[Any] = field(default_factory=list)
    stayed: set[Any] = field(default_factory=set)
    doubts: dict[Any, bool] = field(default_factory=dict)
    counters: dict[str, Counter] = field(default_factory=dict)
    places: dict[Any, tuple[CountedPlace, Counter]] = field(default_factory=dict)
    lists: dict[int, tuple[list[Any], int, set[int]]] = field(default_factory=dict)
    tables: dict[int, tuple[dict[Any, Any], int, int]] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether something says how many items there are."""
        return self.plan.limit < FARTHEST or self.plan.bounded

    def span(self) -> int | None:
        """How many items it has, None where nothing says so."""
        return self.plan.length if self.known else None

    def note(self, question: Question) -> None:
        """A question was asked of the index."""
        self.asked.append(question)
        for listener in self.listeners:
            listener.append((self, question))
        self.plan.ask(question)

    def begin(self, item: int) -> None:
        """Item `item` is about to run; in a loop that is run in full it needs no tally of its own."""
        if not self.full:
            self.tallies[item] = self.recorder.tallies.begin()
        in_order, self.item = item == self.item + 1, item
        self.built = self.recorder.built
        self.asked.clear()
        for place, counter in self.places.values():
            self._put(place, counter, in_order)

    def _put(self, place: CountedPlace, counter: Counter, in_order: bool) -> None:
        value = place.get()
        if self.full or value is None or not in_order:
            if value is not None and not self.full:
                place.set(counter.at(self.item, self.plan, self.note))
            return
        if self.plan.value(counter.key, self.item) == int(value) - int(counter.base):
            place.set(counter.at(self.item, self.plan, self.note))
        else:
            counter.began, counter.item = int(value), self.item

    def end(self) -> None:
        """The item has ended as items do."""
        for place, counter in self.places.values():
            value = place.get()
            if value is not None and not self.full:
                counter.grew(value, self.plan)
        tally = self.tallies.get(self.item)
        if tally is None:
            return
        self.recorder.tallies.end(tally)
        self.plan.did[self.item] = self.kind(tally)
        if self._repeats(tally):
            self.plan.repeated.add(self.item)
        if self.item + 1 >= self.plan.length:
            self.plan.went_on(self.item, self.asked)
        self.full = self.full or self._in_full()

    def _repeats(self, tally: Tally) -> bool:
        """Whether the item did what it did before, and leaves nothing behind for a backward pass."""
        earlier = [run.tallies[self.item] for run in self.before if self.item in run.tallies]
        return leaves_nothing(tally) and any(map(tally.like, earlier))

    def abandon(self) -> None:
        """There is no item of that number; what it cost to find out counts once."""
        self.plan.cut(self.item)
        self.ended = True
        tally = self.tallies.pop(self.item, None)
        if tally:
            self.recorder.tallies.end(tally)
            self.recorder.tallies.settle(tally, 1.0)

    def next(self, by_number: bool) -> int | None:
        """The next item, None when enough were run."""
        following = self.item + 1
        if self.full and self._tires():
            self.full, self.tired = False, True
            return None
        if self.item == 0 and self.known and not self.full and goes_on_as_before(self):
            return None
        if self.full or len(self.tallies) < 2:
            return following if following < self.plan.length or not self.known else None
        item = self.plan.next()
        return following if item is not None and not by_number else item

    def _tires(self) -> bool:
        """Whether a loop that is run in full although it does nothing with tensors has cost too much for that."""
        if not (self.known or self.countable) or self.item + 1 >= self.plan.length:
            return False
        calls, now_s = self.recorder.tallies.open.calls, _cpu_s()
        if self.idle_since_s is None or calls != self.idle_calls or self.recorder.built > self.built:
            self.idle_since_s, self.idle_calls, self.idle_item = now_s, calls, self.item
        spent_s, items = now_s - self.idle_since_s, self.item - self.idle_item
        if spent_s < IDLE_S or items < IDLE_ITEMS:
            return False
        self.idle_since_s, self.idle_item = now_s, self.item
        left = self.plan.length - self.item if self.known else FARTHEST
        if left * spent_s < MUCH_S * items or not (self.makes_list or self._fills_lists()):
            return False
        text = f"{self.line}: {self.item + 1:,} items of data were made; the others are taken to be alike"
        self.recorder.assume(text, "default")
        return True

    def _fills_lists(self) -> bool:
        """Whether every item appends to some list, and none is appended to by some items alone."""
        items = [len(of) for _, _, of in self.lists.values() if len(of) > 1]
        return bool(items) and min(items) > self.item

    def kind(self, tally: Tally) -> int:
        """The first item that did what this one did."""
        return next(i for i, other in self.tallies.items() if other is tally or other.like(tally))

    def _in_full(self) -> bool:
        """Whether the loop is to be run in full; asked after each item, answered after two and while in order."""
        tallies = list(self.tallies.values())
        in_order = self.item == len(tallies) - 1
        if in_order and self.recorder.built > self.built and not tallies[-1].steps:  # it builds what others need
            return True
        if len(tallies) < 2 or not in_order:
            return False
        previous, last = tallies[-2:]
        if last.leaves - previous.leaves and previous.leaves - last.leaves:
            return True
        if not self.known:
            return last.calls == 0
        if self.trains and self.plan.length > FULL_CALLS and not (previous.steps or last.steps):
            return False  # what trains comes later than in the first two
        cost = self.plan.length * last.calls
        differ = len(tallies) > 2 and not last.like(previous)
        most = FULL_CALLS_OF_LISTS if self.makes_list else FULL_CALLS
        return cost <= most or (differ and cost <= FULL_CALLS_WHERE_ITEMS_DIFFER)

    def finish(self) -> None:
        """Settle what every item stands for; once."""
        if self.finished:
            return
        self.finished, tallies, last_item = True, self.recorder.tallies, next(reversed(self.tallies), -1)
        unfinished = last_item not in (-1, *self.plan.did)
        if unfinished:
            tallies.end(self.tallies[last_item])
            self.plan.did[last_item] = -1
        if self.left or (self.recorder.ends.exiting and not self.ended):
            self._broken(unfinished)
        elif not self.ended:
            self._interrupted()
        self._doubt()
        weights = self._weights(last_item)
        if unfinished and not (self.left or self.ended):
            pass_on(weights, last_item)
        self._sample()
        for item, tally in self.tallies.items():
            tallies.settle(tally, weights.get(item, 1.0 if item == last_item else 0.0))
        for place, counter in self.places.values():
            self._release(place, counter)
        if not self.full:
            self._differing(weights)
            self._pad()

    def _weights(self, last_item: int) -> dict[int, float]:
        if not self.full:
            return self.plan.weights()
        weights = dict.fromkeys(self.tallies, 1.0)
        if not (self.left or self.ended) and self.known and weights:
            weights[last_item] += max(0, self.plan.length - 1 - self.item)
        return weights

    def _sample(self) -> None:
        """Count samples of a loader's batches where the loop trains, and no loop inside it has counted them."""
        if any(tally.steps for tally in self.tallies.values()):
            for item, size in self.samples.items():
                if item in self.tallies and not self.tallies[item].samples:
                    self.tallies[item].samples = size

    def _broken(self, unfinished: bool) -> None:
        """The program left the loop: so many items it has."""
        if unfinished and not self.full:
            if self.item != len(self.tallies) - 1 and self.plan.others(self.item):
                self.recorder.guess(f"{self.line}: the loop was left for a reason that may depend on values")
            self.plan.cut(self.item + 1)

    def _doubt(self) -> None:
        """Say so where what is not known, or what items that were left out would change, may end the loop earlier."""
        skipped = not self.full and self.known and len(self.tallies) < self.plan.length
        decided = (skipped and not of_known_trainer(self.line)) or self.recorder.decisions > self.decisions
        if any(asks_value or decided for asks_value in self.doubts.values()):
            text = "it may be left early for a reason that depends on values; its steps are an upper bound"
            self.recorder.guess(f"{self.line}: {text}")
            self.recorder.assume(f"{self.line}: {text}", "default")

    def _interrupted(self) -> None:
        """The program was ended, or an error ended the loop: items left are like those seen, unless they differ."""
        of = f" of {self.plan.length:,}" if self.known else ""
        self.recorder.ends.interrupted.append(f"item {self.item + 1:,}{of} of the loop at {self.line}")
        if not self.known:
            self.plan.cut(self.item + 1)
            self.recorder.ends.unbounded[f"{self.line}: nothing says how often the loop runs"] = None
        elif self.full and (left := self.plan.length - 1 - self.item) > max(self.plan.length // 100, len(self.tallies)):
            self.recorder.ends.unbounded[f"{self.line}: its items differ, and {left:,} of them were not run"] = None

    def _release(self, place: CountedPlace, counter: Counter) -> None:
        value = place.get()
        if value is not None:
            place.set(counter.end(value, self.plan, exact=self.full or self.item >= self.plan.length - 1))

    def _differing(self, weights: dict[int, float]) -> None:
        """Say so where items that stand for many differ by more than a tenth in their work."""
        cost = self.recorder.flops
        work = [self.tallies[item].work(cost) for item, weight in weights.items() if weight > 1]
        if work and max(work) - min(work) > 0.1 * max(work) and self.plan.unsettled():
            self.recorder.guess(f"{self.line}: the items of the loop differ, {len(weights)} were run")

    @property
    def run(self) -> int:
        """How many items were run."""
        return self.item + 1 if self.tired else len(self.tallies) - self.adopted

    def _pad(self) -> None:
        skipped_items = self.plan.length - self.run
        if skipped_items <= 0 or not self.known:
            return
        for values, length, items in self.lists.values():
            if len(items) < min(2, self.run) or not values:
                continue
            added_per_item = (len(values) - length) / self.run
            made, missing = values[length:], min(MOST_PADDING, round(added_per_item * skipped_items))
            again = made if self.tired else made[-2:-1] or values[-1:]  # the last item may be smaller
            at = len(values) - (not self.tired and len(made) > 1)
            values[at:at] = (again * (missing // len(again) + 1))[:missing]
        for table, slope, start in self.tables.values():
            if (last := slope * self.item + start) in table:
                for item in range(min(MOST_PADDING, self.plan.length)):
                    table.setdefault(slope * item + start, table[last])
