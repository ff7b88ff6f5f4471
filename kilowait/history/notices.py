"""Who wants to hear of what, and what is still to be told: tables beside the history's.

A notice that is due is a row before anybody tries to tell it, one for each subscriber, subject and event, so a restart
tells nothing twice that it did not try to, and forgets nothing.
"""

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text, func, insert, select, update
from sqlalchemy import delete as delete_from

from kilowait.core.errors import InputError
from kilowait.core.units import DAY_S
from kilowait.history.schema import EVENTS, JOBS, NUMBER
from kilowait.history.statements import chunks
from kilowait.history.store import Store

MOST = 20
"""Subscriptions of one owner."""
KEPT_S = 7 * DAY_S
"""How long a notice is kept that was told, or given up."""

SUBSCRIPTIONS = Table(
    "notice_subscriptions",
    MetaData(),
    Column("subscription_id", String(16), primary_key=True),
    Column("owner", Text, nullable=False, index=True),
    Column("kind", String(8), nullable=False),
    Column("target", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_s", Float(53), nullable=False),
)
NOTICES = Table(
    "notices_due",
    MetaData(),
    Column("subscription_id", String(16), primary_key=True),
    Column("subject", String(60), primary_key=True),
    Column("event", String(10), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("made_s", Float(53), nullable=False),
    Column("next_s", Float(53), index=True),
    Column("tries", Integer, nullable=False),
    Column("told_s", Float(53)),
    Column("problem", Text),
)
SEEN = Table(
    "notices_seen",
    MetaData(),
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("seq", NUMBER, nullable=False),
)
Row = dict[str, Any]


def make_tables(store: Store) -> None:
    """Make them where they are not there."""
    for table in (SUBSCRIPTIONS, NOTICES, SEEN):
        store.ensure(table)


def subscribe(store: Store, owner: str, kind: str, target: str, events: Sequence[str], name: str, now_s: float) -> str:
    """Its id; raises InputError where the owner has too many."""
    make_tables(store)
    subscription_id = secrets.token_hex(6)
    row = {"owner": owner, "kind": kind, "target": target, "events": ",".join(events), "name": name}
    with store.alone("written") as connection:
        count = select(func.count()).select_from(SUBSCRIPTIONS).where(SUBSCRIPTIONS.c.owner == owner)
        if connection.execute(count).scalar_one() >= MOST:
            raise InputError(
                f"subscriptions: {MOST} are there, the limit of one owner; remove one (kilowait notify list)"
            )
        if connection.execute(select(SUBSCRIPTIONS.c.owner).limit(1)).first() is None:  # nobody has listened up to now
            last = select(func.coalesce(func.max(EVENTS.c.seq), 0)).scalar_subquery()
            connection.execute(delete_from(SEEN))
            connection.execute(insert(SEEN).values(one=1, seq=last))
        connection.execute(insert(SUBSCRIPTIONS).values(subscription_id=subscription_id, **row, created_s=now_s))
    return subscription_id


def unsubscribe(store: Store, subscription_id: str) -> None:
    """Remove it, and what was still to be told by it."""
    make_tables(store)
    with store.alone("written") as connection:
        for table in (NOTICES, SUBSCRIPTIONS):
            connection.execute(delete_from(table).where(table.c.subscription_id == subscription_id))


def jobs_told_of(store: Store, job_ids: Sequence[str]) -> dict[str, Row]:
    """By id, what is told of jobs: nothing of their programs."""
    columns = JOBS.c.job_id, JOBS.c.owner, JOBS.c.labels, JOBS.c.asked, JOBS.c.state, JOBS.c.reason
    found = dict[str, Row]()
    for chunk in chunks(job_ids):
        rows = store.rows(select(*columns).where(JOBS.c.job_id.in_(chunk)))
        found |= {row.job_id: dict(row._mapping) for row in rows}
    return found


def subscriptions(store: Store, owner: str | None = None) -> list[Row]:
    """Those of an owner, None for all."""
    make_tables(store)
    query = select(SUBSCRIPTIONS).order_by(SUBSCRIPTIONS.c.created_s, SUBSCRIPTIONS.c.subscription_id)
    rows = store.rows(query if owner is None else query.where(SUBSCRIPTIONS.c.owner == owner))
    return [dict(row._mapping) for row in rows]


def outcomes(store: Store, owner: str | None) -> dict[str, Row]:
    """By subscription, how many notices were `told`, `given_up` and are still `due`, and the last `problem`."""
    make_tables(store)
    table, found = NOTICES.c, dict[str, Row]()
    query = select(table.subscription_id, table.told_s, table.next_s, table.problem).order_by(table.made_s)
    for row in store.rows(query if owner is None else query.where(table.owner == owner)):
        one = found.setdefault(row.subscription_id, {"told": 0, "given_up": 0, "due": 0, "problem": None})
        one["told" if row.told_s is not None else "due" if row.next_s is not None else "given_up"] += 1
        one["problem"] = None if row.told_s is not None else row.problem or one["problem"]
    return found


def seen(store: Store) -> int:
    """The number of the last event that was looked at: what had happened before anybody subscribed is not told."""
    rows = store.rows(select(SEEN.c.seq))
    return int(rows[0].seq) if rows else 0


def note(store: Store, rows: Sequence[Row], seq: int | None = None) -> None:
    """Keep what is to be told, each once, and that events up to `seq` were looked at, in one transaction.

    Whoever was removed since the rows were made is told nothing.
    """
    with store.alone("written") as connection:
        there = set(connection.execute(select(SUBSCRIPTIONS.c.subscription_id)).scalars())
        for row in [row for row in rows if row["subscription_id"] in there]:
            key = [NOTICES.c[name] == row[name] for name in ("subscription_id", "subject", "event")]
            if connection.execute(select(NOTICES.c.tries).where(*key)).first() is None:
                connection.execute(insert(NOTICES).values(**row, next_s=row["made_s"], tries=0))
        if seq is not None:
            connection.execute(update(SEEN).values(seq=seq))


def due(store: Store, now_s: float, each: int, limit: int) -> list[Row]:
    """What is to be told now, with its subscription, the first due first: of one owner `each` at the most."""
    place = func.row_number().over(partition_by=NOTICES.c.owner, order_by=NOTICES.c.next_s).label("place")
    waiting = select(NOTICES, place).where(NOTICES.c.next_s <= now_s).subquery()
    joined = waiting.join(SUBSCRIPTIONS, SUBSCRIPTIONS.c.subscription_id == waiting.c.subscription_id)
    query = select(waiting, SUBSCRIPTIONS.c.kind, SUBSCRIPTIONS.c.target).select_from(joined)
    query = query.where(waiting.c.place <= each).order_by(waiting.c.next_s).limit(limit)
    return [dict(row._mapping) for row in store.rows(query)]


def tried(store: Store, row: Row, *, told_s: float | None, next_s: float | None, problem: str | None) -> None:
    """What became of a try: it was told, is due again, or (neither) is given up."""
    key = [NOTICES.c[name] == row[name] for name in ("subscription_id", "subject", "event")]
    values = {"told_s": told_s, "next_s": next_s, "problem": problem, "tries": row["tries"] + 1}
    store.change(update(NOTICES).where(*key).values(**values))


def forget(store: Store, now_s: float) -> None:
    """Drop what was told, or given up, long ago."""
    make_tables(store)
    store.change(delete_from(NOTICES).where(NOTICES.c.next_s.is_(None), NOTICES.c.made_s < now_s - KEPT_S))
