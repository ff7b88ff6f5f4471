"""Job arrays in the history: how they were asked for, and how many of their tasks are in which state."""

from typing import Any

from sqlalchemy import func, select

from kilowait.history.job_filter import EVERY_JOB, JobFilter, page_of
from kilowait.history.schema import ARRAY_TASKS, ARRAYS, JOBS
from kilowait.history.store import Store


def make_tables(store: Store) -> None:
    """Make the tables of arrays where they are not there: a history may be older."""
    store.ensure(ARRAYS)
    store.ensure(ARRAY_TASKS)


def array_of_key(store: Store, owner: str, key: str) -> tuple[str, str] | None:
    """(id, hash of the request) of the array that an owner asked for by this key, None where there is none."""
    make_tables(store)
    query = select(ARRAYS.c.array_id, ARRAYS.c.request_hash)
    rows = store.rows(query.where(ARRAYS.c.owner == owner, ARRAYS.c.client_key == key))
    return (rows[0].array_id, rows[0].request_hash) if rows else None


def task_ids(store: Store, array_id: str) -> dict[int, str]:
    """The jobs of an array by the numbers of its tasks, in order."""
    make_tables(store)
    query = select(ARRAY_TASKS.c.task, ARRAY_TASKS.c.job_id).where(ARRAY_TASKS.c.array_id == array_id)
    return {row.task: row.job_id for row in store.rows(query.order_by(ARRAY_TASKS.c.task))}


def array_rows(
    store: Store, chosen: JobFilter = EVERY_JOB, *, after: str = "", limit: int = 100, newest: bool = False
) -> list[dict[str, Any]]:
    """Rows of arrays by id from behind `after` on, those with tasks that are chosen, and `states`: how many of these
    tasks are in each."""
    make_tables(store)
    array_id = ARRAY_TASKS.c.array_id
    joined = ARRAY_TASKS.join(JOBS, JOBS.c.job_id == ARRAY_TASKS.c.job_id)
    found = chosen.of(select(array_id).select_from(joined)).group_by(array_id)
    found = page_of(found, array_id, after=after, limit=limit, newest=newest)
    ids = [row.array_id for row in store.rows(found)]
    counts = select(array_id, JOBS.c.state, func.count().label("tasks")).select_from(joined)
    counts = chosen.of(counts.where(array_id.in_(ids))).group_by(array_id, JOBS.c.state)
    states: dict[str, dict[str, int]] = {}
    for row in store.rows(counts):
        states.setdefault(row.array_id, {})[row.state] = row.tasks
    columns = [column for column in ARRAYS.c if column.name != "files"]
    rows = {row.array_id: row for row in store.rows(select(*columns).where(ARRAYS.c.array_id.in_(ids)))}
    return [{**rows[one]._mapping, "states": states.get(one, {})} for one in ids]
