"""The loops of a program while it runs dry: few items are run, under weights that stand for all of them.

`rewrite` puts calls of a `Loops` into the program. A loop whose items are cheap, or each use parameters of their own
(the layers of a network), is run in full. Of any other a `LoopPlan` says which items; lists that grow with every item
are filled up when it ends, so that what comes after finds them as long as they would be.

Not covered: state other than lists and counters that grows with every item (a tensor that is concatenated to): the
items then differ, and such a loop is run in full while it is affordable.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from kilowait.predict.dryrun.distributed.ranks import asserted
from kilowait.predict.dryrun.loops.counters import CountedPlace, Counter, at_end, counts
from kilowait.predict.dryrun.loops.earlier_run import EarlierRun
from kilowait.predict.dryrun.loops.index import Index
from kilowait.predict.dryrun.loops.lazy.remembering import Enumerated, Zipped
from kilowait.predict.dryrun.loops.lazy.streamed import Streamed
from kilowait.predict.dryrun.loops.leaving import CONDITION, Tests, next_of
from kilowait.predict.dryrun.loops.loop_ends import note_endless
from kilowait.predict.dryrun.loops.loop_length import FARTHEST
from kilowait.predict.dryrun.loops.loop_plan import LoopPlan
from kilowait.predict.dryrun.loops.loop_views import View, holds_state, view
from kilowait.predict.dryrun.loops.running_loop import MOST_PADDING, Loop
from kilowait.predict.dryrun.loops.unknown import not_zero, number_called
from kilowait.predict.dryrun.recorder import Recorder

TIMES_BEFORE = 4
"""So many runs of a loop are remembered: it may run by turns for training and for validation."""

DULL, NEVER = 30, -1_000_000_000
"""A loop inside another that has done nothing with tensors so often is watched no longer."""


class Loops:
    """What the rewritten program calls."""

    asserted = staticmethod(asserted)
    number = staticmethod(number_called)
    enumerate, zip, streamed = Enumerated, Zipped, Streamed

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.running: list[Loop] = []
        self._listeners: list[Any] = []
        self._tests = Tests(recorder, self._listeners)
        self._skipped: int = 0
        self._varied = False
        self._dull: dict[int, int] = {}
        self._ended: dict[tuple[int, str], tuple[Counter, Loop]] = {}
        self._before: dict[int, deque[EarlierRun]] = {}
        recorder.ends.closers.append(self.close)

    def close(self) -> None:
        """The program has ended: settle the loops that are open."""
        while self.running:
            self._leave(self.running[-1])

    def items(self, site: int, line: str, iterable: Any, makes_list: bool, trains: bool) -> Iterator[Any]:
        """The items of a for loop or of a comprehension that are run."""
        if self.recorder.muted or (self.running and self._dull.get(site, 0) >= DULL):
            calls = self.recorder.tallies.open.calls
            yield from iterable
            if self.recorder.tallies.open.calls != calls:
                self._dull[site] = NEVER
            self._skipped = 0
            return
        loop_view = view(iterable)
        loop = self._loop(site, line, loop_view.length)
        loop.makes_list, loop.trains, loop.countable = makes_list, trains, isinstance(loop_view.rest, io.IOBase)
        for question in loop_view.questions:
            loop.plan.ask(question)
        yield from self._run(loop, loop_view)

    def _loop(self, site: int, line: str, length: int | None) -> Loop:
        return Loop(
            site=site,
            line=line,
            depth=len(self.running),
            recorder=self.recorder,
            plan=LoopPlan(FARTHEST if length is None else length),
            decisions=self.recorder.decisions,
            listeners=self._listeners,
            before=tuple(self._before.get(site, ())),
        )

    def _run(self, loop: Loop, loop_view: View) -> Iterator[Any]:
        self.running.append(loop)
        try:
            while (item := loop.next(loop_view.by_number(loop))) is not None:
                skipped = loop_view.skip(item - loop.item - 1, self.recorder)
                if skipped is not None:
                    loop.plan.cut(loop.item + 1 + skipped)
                    continue
                loop.begin(item)
                try:
                    value = loop_view.item(item, loop)
                except (StopIteration, IndexError):
                    loop.abandon()
                    break
                loop.full = loop.full or (loop.item == 0 and holds_state(value))
                yield value
                loop.end()
            else:
                self._drain(loop, loop_view)
            loop.ended = True
        finally:
            self._leave(loop)

    def _drain(self, loop: Loop, loop_view: View) -> None:
        """Count what is left of a generator, without looking at it."""
        if loop.known:
            loop_view.finish()
            return
        remaining = loop_view.drain(self.recorder) if loop_view.rest is not None else None
        if remaining is None:
            self._unending(loop)
        else:
            loop.plan.cut(loop.item + 1 + remaining)

    def _leave(self, loop: Loop) -> None:
        if loop.finished:
            return
        for inner in self.running[self.running.index(loop) + 1 :][::-1]:
            inner.left = inner.left or loop.left
            self._leave(inner)
        self.running.remove(loop)
        loop.finish()
        if loop.ended and not (loop.full or loop.left or loop.tired or loop.adopted or loop.plan.unsettled()):
            self._before.setdefault(loop.site, deque(maxlen=TIMES_BEFORE)).append(EarlierRun.of(loop))
        is_dull = loop.full and not loop.asked and not any(tally.calls for tally in loop.tallies.values())
        self._dull[loop.site] = self._dull.get(loop.site, 0) + 1 if is_dull else NEVER
        self._varied = loop.tired
        self._skipped = 0 if loop.full else max(0, loop.plan.length - loop.run)
        for name, counter in loop.counters.items():
            self._ended[loop.site, name] = counter, loop

    def trips(self, site: int, line: str, condition: Callable[[], Any], may_change: bool) -> Iterator[None]:
        """The items of a while loop that are run; its length is where what was asked of counters flips."""
        if self.recorder.muted:
            while condition():
                yield None
            return
        loop = self._loop(site, line, None)
        self.running.append(loop)
        try:
            while self._goes_on(loop, condition, may_change):
                item = loop.next(loop.plan.counts)
                if item is None:
                    break
                loop.begin(item)
                yield None
                loop.end()
            self._unending(loop)
            loop.ended = True
        finally:
            self._leave(loop)

    def _goes_on(self, loop: Loop, condition: Callable[[], Any], may_change: bool) -> bool:
        if loop.known and not loop.full:
            return True
        number = self._tests.begin()
        go = bool(condition())
        test = self._tests.end(number)
        if loop.item < 0:
            if len(self.recorder.ends.clocks) > test.clocks:
                self._tests.leaves(loop, test, False, CONDITION, may_change=may_change)
                return True
            if not go:
                loop.plan.cut(0)
            return go
        if not self._tests.leaves(loop, test, not go, CONDITION, may_change=may_change):
            return True
        loop.plan.cut(loop.item + 1)
        return False

    def _unending(self, loop: Loop) -> None:
        """Nothing says how many items there are: those that were run are all that is known."""
        if loop.known:
            return
        loop.plan.cut(loop.item + 1)
        note_endless(loop)

    def next(self, site: int, iterator: Any) -> Any:
        """`next(iterator)`, the end of which is that of the loop `site`."""
        return next_of(self._at(site), iterator)

    def asking(self) -> int:
        """A test that may leave a loop begins."""
        return self._tests.begin()

    def leaving(self, number: int, value: Any, site: int, where: int, stays: bool, may_change: bool) -> bool:
        """The answer of such a test; `stays` is the one that goes on with the loop `site`, and `where` its number."""
        answer = bool(value)
        test = self._tests.end(number)
        loop = self._at(site)
        if loop is None or loop.item < 0:
            return answer
        leaves = self._tests.leaves(loop, test, answer != stays, where, may_change=may_change)
        return stays != leaves

    def left(self, site: int) -> None:
        """The loop `site` and all inside it are being left on purpose."""
        loop = self._at(site)
        for inner in self.running[self.running.index(loop) :] if loop else ():
            inner.left = True

    def _at(self, site: int) -> Loop | None:
        return next((loop for loop in reversed(self.running) if loop.site == site), None)

    def counter(self, site: int, name: str, value: Any) -> Any:
        """The value of a counter at the start of an item, also where items were left out."""
        loop = self._at(site)
        if loop is None or not counts(value):
            if loop is not None:
                loop.counters.pop(name, None)
            return value
        counter = loop.counters.get(name)
        if counter is None:
            if loop.item or loop.full:
                return value
            counter = loop.counters[name] = Counter(name, value, int(value), 0)
        elif loop.full:
            return counter.end(value, loop.plan, exact=True)
        else:
            counter.grew(value, loop.plan)
            in_order = loop.item == counter.item + 1
            if in_order and loop.plan.value(name, loop.item) != int(value) - int(counter.base):
                counter.began, counter.item = int(value), loop.item
                return value
        return counter.at(loop.item, loop.plan, loop.note)

    def after(self, site: int, name: str, value: Any) -> Any:
        """The value of a counter when its loop has ended."""
        counter, loop = self._ended.pop((site, name), (None, None))
        return at_end(counter, value, loop) if counter and loop and counts(value) else value

    def stepping(self, owner: Any, name: Any, entry: bool) -> None:
        """An attribute or an entry of a dictionary is about to be added to."""
        place = CountedPlace(owner, name, entry)
        value = place.get()
        if value is None or self.recorder.muted:
            return
        for loop in self.running:
            if loop.full or place.key in loop.places or loop.item < 0:
                continue
            counter = Counter(place.key, value, int(value), loop.item)
            loop.places[place.key] = place, counter
            for item in loop.plan.did:
                loop.plan.grew(place.key, item, 0)
            value = counter.at(loop.item, loop.plan, loop.note)
            place.set(value)

    def divisor(self, value: Any) -> Any:
        """What the program divides by, where a zero may be there only because values are not known."""
        return not_zero(value) if self.recorder.unknown_answers else value

    def append(self, to: Any, value: Any) -> None:
        """`to.append(value)`, noted for the loops that may leave items out."""
        self._grows(to)
        to.append(value)

    def extend(self, to: Any, values: Any) -> None:
        """`to.extend(values)`, noted in the same way."""
        self._grows(to)
        to.extend(values)

    def longer(self, to: Any, values: Any) -> Any:
        """`to += values`, noted in the same way."""
        self._grows(to)
        to += values
        return to

    def _grows(self, to: Any) -> None:
        if type(to) is list:
            for loop in self.running:
                loop.lists.setdefault(id(to), (to, len(to), set()))[2].add(loop.item)

    def store(self, value: Any, to: Any, key: Any) -> None:
        """`to[key] = value`; a dictionary with the index as its key gets the items that are left out, too."""
        to[key] = value
        if type(to) is dict and type(key) is Index and key.divisor == 1:
            for loop in self.running:
                if key.note == loop.note:
                    loop.tables[id(to)] = (to, key.slope, key.start)

    def listed(self, made: list[Any]) -> list[Any]:
        """What a comprehension has made, as long as it would be."""
        if self._skipped and made:
            again = made if self._varied else made[-1:]
            missing = min(MOST_PADDING, self._skipped)
            made.extend((again * (missing // len(again) + 1))[:missing])
        self._skipped = 0
        return made
