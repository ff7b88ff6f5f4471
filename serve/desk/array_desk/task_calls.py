"""What each task of an array is called with, and which of these calls tell whether the arguments change the work."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from kilowait.core.errors import InputError
from kilowait.core.submission import check_environment
from kilowait.core.submission_limits import MAX_BODY_BYTES
from kilowait.core.tasks.sweep import NUMBER, called_with, filled
from kilowait.core.tasks.task_numbers import task_numbers

from ...wire.array_schemas import ArrayBody

T = TypeVar("T")
Call = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]
"""Arguments and environment."""
MOST, REMEDY = 2 * MAX_BODY_BYTES, "shorten them, or submit it in parts"
"""Characters of the calls of all tasks, before and after they are filled in."""
VALUES_SEEN = 4
"""Values of one column that are looked at, spread over all."""


class TaskCall(NamedTuple):
    """A task, what differs in it from the others, and how it is called."""

    task: int
    values: Mapping[str, str]
    call: Call


def calls_of(asked: ArrayBody) -> tuple[list[TaskCall], int | None]:
    """The tasks in order, and how many may run at once.

    Raises InputError for variables that no job may have once they are filled in, and for more than a request may hold.
    """
    rows: list[dict[str, str]] = asked.rows or []
    numbers, at_once = task_numbers(asked.tasks) if asked.tasks is not None else (tuple(range(len(rows))), None)
    calls, size = [], len(numbers) * _size((*asked.arguments, *asked.environment.values()))
    for position, task in enumerate(numbers):
        if size > MOST:
            raise InputError(f"arguments and environment of {len(numbers):,} tasks are too long; {REMEDY}")
        values = rows[position] if rows else {}
        arguments = called_with(asked.arguments, values, task)
        environment = tuple((name, filled(text, values, task)) for name, text in asked.environment.items())
        check_environment(dict(environment))
        size += _size((*arguments, *(text for _, text in environment)))
        calls.append(TaskCall(task, {**values, NUMBER: str(task)}, (arguments, environment)))
    return calls, asked.at_once if at_once is None else at_once


def probes(calls: Sequence[TaskCall], most: int) -> list[Call]:
    """Calls, each once, at most so many: all if that is all, else such that of each column several values are seen."""
    distinct = {one.call: one for one in reversed(calls)}  # the first of each
    ordered = list(dict.fromkeys(one.call for one in calls))
    if len(ordered) <= most:
        return ordered
    chosen = [ordered[0], ordered[-1]]
    for name in calls[0].values:
        first_with = {one.values[name]: one.call for one in reversed([distinct[call] for call in ordered])}
        values = list(dict.fromkeys(distinct[call].values[name] for call in ordered))
        chosen += [first_with[value] for value in spread(values, VALUES_SEEN)]
    return list(dict.fromkeys(chosen))[:most]


def spread(values: Sequence[T], most: int) -> list[T]:
    """At most so many of these, evenly, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(n * (len(values) - 1) / (most - 1))] for n in range(most)]


def _size(texts: Iterable[str]) -> int:
    return sum(map(len, texts))
