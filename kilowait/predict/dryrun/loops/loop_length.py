"""Where a loop ends that a question ends: the first item whose answer is another than in the items before."""

from __future__ import annotations

import numpy as np

from kilowait.predict.dryrun.loops.index import IntArray, Question

FARTHEST = 1 << 40
"""No loop has more items than this."""


def first_other(answers: IntArray, answer: int) -> int:
    """Items up to the first whose answer is another, FARTHEST where there is none."""
    others = np.flatnonzero(answers != answer)
    return int(others[0]) + 1 if len(others) else FARTHEST


def searched(question: Question, answer: int, step: float, most: int) -> int:
    """The same by halves, for a question whose answer changes once: no remainder is in it."""
    low, high = 0, most

    def holds(item: int) -> bool:
        return int(question.answers(np.array([int(item * step)], dtype=np.int64))[0]) == answer

    if question.relation == "==" or holds(high):
        return _meets(question, step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high + 1


def _meets(question: Question, step: float) -> int:
    """Items up to the one where a counter is equal to a value far away."""
    slope = question.slope * step
    if question.relation != "==" or question.divisor != 1 or not slope:
        return FARTHEST
    item, rest = divmod(int(question.value) - question.shift - question.start, slope)
    meets = not rest or isinstance(step, float)
    return int(item) + 1 if meets and 0 <= item < FARTHEST else FARTHEST
