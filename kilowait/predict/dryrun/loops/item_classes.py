"""Classes of a loop's items: numbers that tell them apart, and what is usual in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kilowait.predict.dryrun.loops.index import IntArray, Question


def usual(grown: Mapping[int, int]) -> int | None:
    """By how much a counter grew in most items, those after the first where there are some."""
    found = [by for item, by in grown.items() if item] or list(grown.values())
    return max(set(found), key=found.count) if found else None


def holds(members: IntArray, item: int) -> bool:
    """Whether an item is one of a class, whose items are in order."""
    place = int(np.searchsorted(members, item))
    return place < len(members) and int(members[place]) == item


def refined(codes: IntArray, answers: IntArray) -> IntArray:
    """Classes told apart by one more answer, numbered anew before the numbers grow too large."""
    codes = codes * (int(answers.max(initial=0)) + 1) + answers
    return np.unique(codes, return_inverse=True)[1] if codes.max(initial=0) > 1 << 40 else codes


def asked_in_step(question: Question, known: Iterable[Question], grown: Mapping[Any, Mapping[int, int]]) -> bool:
    """Whether the same was asked of a counter that has grown alike, as those of an optimizer do for each parameter."""
    counter = question.counter
    return counter is not None and any(
        other.counter not in (None, counter)
        and grown.get(other.counter) == grown.get(counter)
        and replace(other, counter=counter) == question
        for other in known
    )


def sums(grown: Mapping[int, int], codes: IntArray, length: int) -> IntArray:
    """By how much a counter has grown when each item begins: in an item as much as in others of its class (`codes`)."""
    by_item = np.full(length, usual(grown), dtype=np.int64)
    by_code: dict[int, list[int]] = {}
    for item, by in grown.items():
        if item < length:
            by_code.setdefault(int(codes[item]), []).append(by)
    for code, found in by_code.items():
        by_item[codes == code] = round(sum(found) / len(found))
    table = np.zeros(length, dtype=np.int64)
    np.cumsum(by_item[:-1], out=table[1:])
    return table


def pass_on(weights: dict[int, float], cut_short: int) -> None:
    """What an item stands for that was cut short, those that were finished stand for instead, if there are any."""
    finished = [item for item in weights if item != cut_short]
    others = [item for item in finished if item] or finished
    for item in others:
        weights[item] += weights.get(cut_short, 0.0) / len(others)
    if others:
        weights[cut_short] = 0.0
