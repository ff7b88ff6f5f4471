"""Where a program leaves a loop early: which of its tests may be believed in a dry run.

A test that a counter answers ends the loop where it does. One that rests on the value of a tensor says nothing: it is
answered so that the loop goes on, and the steps are an upper bound. One that asks the clock gives the time limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kilowait.predict.dryrun.loops.index import Question
from kilowait.predict.dryrun.loops.loader import items_left
from kilowait.predict.dryrun.loops.running_loop import Loop
from kilowait.predict.dryrun.recorder import Recorder

CONDITION = "condition"
"""Where a while loop itself asks whether it goes on."""


@dataclass(eq=False)
class Test:
    """What was asked since a test began."""

    decisions: int
    clocks: int
    noted: list[tuple[Loop, Question]] = field(default_factory=list)


class Tests:
    """The tests that are being answered, the innermost last."""

    def __init__(self, recorder: Recorder, listeners: list[Any]) -> None:
        self.recorder = recorder
        self.open: list[Test] = []
        self.listeners = listeners

    def begin(self) -> int:
        """A test begins; the number is for `end`."""
        self.open.append(Test(self.recorder.decisions, len(self.recorder.ends.clocks)))
        self.listeners.append(self.open[-1].noted)
        return len(self.open) - 1

    def end(self, number: int) -> Test:
        """The test, and whatever an error left open above it, is over."""
        test = self.open[number]
        del self.open[number:]
        del self.listeners[number:]
        return test

    def leaves(self, loop: Loop, test: Test, leaving: bool, where: Any, *, may_change: bool) -> bool:
        """Whether the loop is to be left, where a test says so or not (`leaving`); `where` names the test.

        `may_change` says that what it asks for may change while the loop runs, and that it leaves for no error.
        """
        questions = [question for noted_by, question in test.noted if noted_by is loop]
        if len(self.recorder.ends.clocks) > test.clocks:
            self._timed(loop, self.recorder.ends.clocks[-1])
            return False
        asks_value = self.recorder.decisions > test.decisions
        if may_change and (asks_value or not test.noted):
            loop.doubts[where] = asks_value
        if not leaving:
            self._stays(loop, questions, where)
            return False
        if not asks_value and (_flipped(loop, questions) or self._plain(loop, where)):
            loop.doubts.pop(where, None)
            return True
        for question in questions:
            loop.plan.refute(question, loop.item)
        loop.doubts[where] = True
        return False

    def _plain(self, loop: Loop, where: Any) -> bool:
        """Whether a test that asks no counter may be believed: no value can have changed what it asks for."""
        if where not in loop.stayed or self.recorder.decisions == loop.decisions:
            return True
        return _flipped(loop, [question for question in loop.asked if not question.modulus])

    def _stays(self, loop: Loop, questions: list[Question], where: Any) -> None:
        loop.stayed.add(where)
        for question in questions:
            loop.plan.refute(question, loop.item)
        if len(set(questions)) == 1:
            question, inside = questions[0], where != CONDITION
            loop.plan.bound(question, loop.plan.answer(question, loop.item), inside=inside)

    def _timed(self, loop: Loop, limit_s: float) -> None:
        loop.limited = True
        known = self.recorder.ends.limit_s
        self.recorder.ends.limit_s = min(known, limit_s) if known else limit_s
        self.recorder.assume(f"{loop.line}: the program ends by itself after {limit_s:,.0f} s", "given")


def next_of(loop: Loop | None, iterator: Any) -> Any:
    """The next item of an iterator whose end is that of a loop; raises StopIteration there."""
    value = next(iterator)
    if loop is not None and not loop.known and (left := items_left(iterator)) is not None:
        loop.plan.cut(loop.item + 1 + left)
    return value


def _flipped(loop: Loop, questions: list[Question]) -> bool:
    """Whether any of these has another answer than in the item before."""
    return any(
        loop.item < 1 or loop.plan.answer(question, loop.item) != loop.plan.answer(question, loop.item - 1)
        for question in questions
    )
