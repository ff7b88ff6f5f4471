"""Who did what by the service's API: a table that is only ever added to, beside the history's."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text, insert, select

from kilowait.history.schema import NUMBER
from kilowait.history.store import Store

AUDIT = Table(
    "audit",
    MetaData(),
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    Column("time_s", Float(53), nullable=False, index=True),
    Column("owner", Text, nullable=False),
    Column("token_id", String(12), nullable=False),
    Column("role", String(8), nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("status", Integer, nullable=False),
)
COLUMNS = tuple(column.name for column in AUDIT.c)
Row = dict[str, Any]


def add(store: Store, rows: Sequence[Row]) -> None:
    """Keep what was done: durable when this returns."""
    store.ensure(AUDIT)
    store.change(insert(AUDIT).values(list(rows)))


def done(
    store: Store,
    *,
    owner: str | None = None,
    since_s: float | None = None,
    until_s: float | None = None,
    after: int = 0,
    limit: int = 1000,
) -> list[Row]:
    """What was done, the first first, from behind number `after` on."""
    store.ensure(AUDIT)
    query = select(AUDIT).where(AUDIT.c.seq > after).order_by(AUDIT.c.seq).limit(limit)
    query = query if owner is None else query.where(AUDIT.c.owner == owner)
    query = query if since_s is None else query.where(AUDIT.c.time_s >= since_s)
    query = query if until_s is None else query.where(AUDIT.c.time_s < until_s)
    return [dict(row._mapping) for row in store.rows(query)]
