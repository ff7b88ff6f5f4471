"""Which jobs are meant: by owner, state, name, labels and when they were submitted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, or_, select

from kilowait.history.schema import ARRAY_TASKS, JOB_LABELS, JOBS

NAME = "kilowait/name"
"""The label that keeps a job's name."""
LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Every field that is given must hold. A `name` that ends in * is the beginning of names; times are seconds since
    the epoch, `until_s` not among them. `array` are the tasks of that job array, `tasks` those of these numbers, of
    any array where none is given; `alone` are jobs that are tasks of none. `owners` are several, any of them."""

    job_ids: tuple[str, ...] | None = None
    owner: str | None = None
    owners: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    since_s: float | None = None
    until_s: float | None = None
    array: str | None = None
    tasks: tuple[range, ...] | None = None
    alone: bool = False

    @property
    def of_arrays(self) -> bool:
        """Whether the table of tasks is asked."""
        return self.array is not None or self.tasks is not None or self.alone

    def of(self, query: Select[Any]) -> Select[Any]:
        """A query of the jobs table for these jobs alone."""
        table = JOBS.c
        conditions: list[ColumnElement[bool]] = [_has_label(name, text) for name, text in self.labels.items()]
        conditions += [] if self.job_ids is None else [table.job_id.in_(self.job_ids)]
        conditions += [] if self.owner is None else [table.owner == self.owner]
        conditions += [table.owner.in_(self.owners)] if self.owners else []
        conditions += [table.state.in_(self.states)] if self.states else []
        conditions += [] if self.since_s is None else [table.submitted_s >= self.since_s]
        conditions += [] if self.until_s is None else [table.submitted_s < self.until_s]
        if self.array is not None or self.tasks is not None:
            tasks = select(ARRAY_TASKS.c.job_id)
            if self.array is not None:
                tasks = tasks.where(ARRAY_TASKS.c.array_id == self.array)
            if self.tasks is not None:
                tasks = tasks.where(or_(*map(_in_range, self.tasks)))
            conditions.append(table.job_id.in_(tasks))
        if self.alone:
            conditions.append(~select(ARRAY_TASKS.c.job_id).where(ARRAY_TASKS.c.job_id == table.job_id).exists())
        if self.name is not None:
            whole = not self.name.endswith("*")
            conditions.append(_has_label(NAME, self.name if whole else self.name[:-1], whole=whole))
        return query.where(*conditions)


EVERY_JOB = JobFilter()


def page_of(query: Select[Any], by: Column[str], *, after: str, limit: int, newest: bool = False) -> Select[Any]:
    """At most `limit` rows of a query by this column, from behind `after` on ("" for the first), or backwards."""
    behind = by < after if newest and after else by > ("" if newest else after)
    return query.where(behind).order_by(by.desc() if newest else by).limit(limit)


def _in_range(numbers: range) -> ColumnElement[bool]:
    task = ARRAY_TASKS.c.task
    return task.between(numbers.start, numbers.stop - 1) & ((task - numbers.start) % numbers.step == 0)


def _has_label(name: str, text: str, *, whole: bool = True) -> ColumnElement[bool]:
    """Whether a job has this label, or one of this name whose text begins so."""
    table = JOB_LABELS.c
    texts = table.text == text if whole else (table.text >= text) & (table.text <= text + LAST_CHARACTER)
    return JOBS.c.job_id.in_(select(table.job_id).where(table.name == name, texts))
