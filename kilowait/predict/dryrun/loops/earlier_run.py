"""What a loop did when it ran before, so that it need not be seen again: epoch after epoch is like the last one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import torch

from kilowait.predict.dryrun.loops.index import IntArray, Question
from kilowait.predict.dryrun.loops.item_classes import holds
from kilowait.predict.dryrun.loops.loop_plan import LoopPlan
from kilowait.predict.dryrun.tally import Tally


@dataclass(frozen=True)
class EarlierRun:
    """What the items that were run did, and the forms of the questions that ended the loop.

    `alike` is one that the items after the first are like, None where there are no two of them; but for `odd` ones,
    which questions of their number are `telling` apart (a last batch that is smaller). `known` are the forms of the
    questions that the others answered in more than one way. `grown` says by counter and item how much it grew; the
    last item's is known only when the loop is over.
    """

    length: int
    tallies: Mapping[int, Tally]
    ended_by: frozenset[Question]
    alike: Tally | None
    odd: frozenset[int]
    telling: frozenset[Question]
    known: frozenset[Question]
    grown: Mapping[Any, Mapping[int, int]]

    @classmethod
    def of(cls, loop: Any) -> EarlierRun:
        """A loop that has ended."""
        plan, later = loop.plan, [item for item in loop.tallies if item]
        alike = loop.tallies[later[0]] if later else None
        like = [item for item in later if loop.tallies[item].like(alike)]
        odd = frozenset(later) - set(like)
        answers = {q: {plan.answer(q, item) for item in like} for q in plan.questions}
        known = [q for q, found in answers.items() if len(found) > 1]
        telling = [q for q in answers if q.counter is None and odd]
        told = {item for item in odd if any(plan.answer(q, item) not in answers[q] for q in telling)}
        return cls(
            length=plan.length,
            tallies=loop.tallies,
            ended_by=frozenset(map(_form, plan.bounds)),
            alike=alike if len(like) > 1 and told == odd else None,
            odd=odd,
            telling=frozenset(telling),
            known=frozenset(map(_form, known)),
            grown=plan.grown,
        )

    def growth(self, counter: Any) -> int | None:
        """By how much a counter grew in every item but the odd ones, None where it grew unevenly or did not."""
        found = {by for item, by in self.grown.get(counter, {}).items() if item not in self.odd}
        return found.pop() if len(found) == 1 else None

    def by_class(self, classes: Iterable[IntArray]) -> dict[int, tuple[int, Tally]] | None:
        """An item of each class and what it did, None where a class has items that did one thing and the other."""
        found = {}
        for members in classes:
            seen = [item for item in self.tallies if item and holds(members, item)]
            if len({item in self.odd for item in seen}) > 1 or self.alike is None:
                return None
            found[int(members[0])] = (seen[0], self.tallies[seen[0]]) if seen else (0, self.alike)
        return found


def goes_on_as_before(loop: Any) -> bool:
    """Whether its first item tells what the others will do; where some of them are odd, all are taken from then."""
    run = _earlier(loop.before, loop.tallies[0], loop.plan, loop.counters.keys())
    if run is None or not run.odd:
        return run is not None
    found = run.by_class(loop.plan.classes())
    for item, (as_item, tally) in (found or {}).items():
        if item:
            for name in loop.counters:
                loop.plan.grew(name, item, run.grown[name].get(as_item, run.growth(name)))
            loop.tallies[item] = tally.again(loop.tallies[0].parent)
            loop.plan.did[item] = loop.kind(tally)
            loop.plan.repeated.add(item)
            loop.adopted += 1
    return found is not None


def _earlier(before: Sequence[EarlierRun], first: Tally, plan: LoopPlan, names: Set[str]) -> EarlierRun | None:
    """The earlier run that this one is like: its first item did what all did then, was asked that, and nothing new.

    Counters that are local `names` are not looked at before the next item begins: they grow as they grew then.
    """
    like = [run for run in before if run.alike and first.like(run.alike)]
    candidates = [run for run in like if all(run.growth(name) is not None for name in names)]
    if not candidates or not leaves_nothing(first):
        return None
    for name in names:
        plan.grew(name, 0, candidates[-1].growth(name) or 0)
    bounds, open_questions = frozenset(map(_form, plan.bounds)), {_form(q) for q in plan.questions if plan.turns(q)}
    known, last = frozenset().union(*(run.known for run in candidates)), candidates[-1]
    if not (open_questions <= known | last.telling | bounds and any(run.ended_by <= bounds for run in candidates)):
        return None
    return last if not last.odd or last.length == plan.length else None


def leaves_nothing(tally: Tally) -> bool:
    """Whether an item leaves nothing behind that a backward pass would go through."""
    return tally.backward or not torch.is_grad_enabled()


def _form(question: Question) -> Question:
    """A question without where its counter stands, which differs from run to run."""
    return replace(question, start=0, counter=None) if question.counter is not None else question
