"""What a loop did when it ran before, so that it need not be seen again: epoch after epoch is like the last one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import torch

from kilowait.predict.dryrun.loops.index import Question
from kilowait.predict.dryrun.loops.loop_plan import LoopPlan
from kilowait.predict.dryrun.tally import Tally


@dataclass(frozen=True)
class EarlierRun:
    """What the items that were run did, and the forms of the questions that ended the loop.

    `alike` is one that all items after the first are like, None where they differ or there is but one; then
    `told_nothing` are the forms of the questions that these items answered in more than one way. `grown` says by how
    much each counter grew in every item, of those that grew evenly.
    """

    tallies: Mapping[int, Tally]
    ended_by: frozenset[Question]
    alike: Tally | None
    told_nothing: frozenset[Question]
    grown: Mapping[Any, int]

    @classmethod
    def of(cls, loop: Any) -> EarlierRun:
        """A loop that has ended."""
        later = [item for item in loop.tallies if item]
        first = loop.tallies[later[0]] if len(later) > 1 else None
        same = first is not None and all(loop.tallies[item].like(first) for item in later)
        told_nothing = [q for q in loop.plan.questions if len({loop.plan.answer(q, item) for item in later}) > 1]
        ended_by = frozenset(map(_form, loop.plan.bounds))
        growths = {counter: set(grown.values()) for counter, grown in loop.plan.grown.items()}
        grown = {counter: next(iter(found)) for counter, found in growths.items() if len(found) == 1}
        return cls(loop.tallies, ended_by, first if same else None, frozenset(map(_form, told_nothing)), grown)


def goes_on_as(before: Sequence[EarlierRun], first: Tally, plan: LoopPlan, names: Set[str]) -> bool:
    """Whether the first item did what all did in an earlier run, was asked what ended that, and nothing new.

    Counters that are local `names` are not looked at before the next item begins: they grow as they grew then.
    """
    candidates = [run for run in before if run.grown.keys() >= names and run.alike and first.like(run.alike)]
    if not candidates or not leaves_nothing(first):
        return False
    for name in names:
        plan.grew(name, 0, candidates[-1].grown[name])
    bounds, open_questions = frozenset(map(_form, plan.bounds)), {_form(q) for q in plan.questions if plan.turns(q)}
    told_nothing = frozenset().union(*(run.told_nothing for run in candidates))
    return open_questions <= told_nothing | bounds and any(run.ended_by <= bounds for run in candidates)


def leaves_nothing(tally: Tally) -> bool:
    """Whether an item leaves nothing behind that a backward pass would go through."""
    return tally.backward or not torch.is_grad_enabled()


def _form(question: Question) -> Question:
    """A question without where its counter stands, which differs from run to run."""
    return replace(question, start=0, counter=None) if question.counter is not None else question
