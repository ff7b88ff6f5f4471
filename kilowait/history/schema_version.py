"""Of which schema a database is, and the way from an earlier one to this release's.

Who upgrades: the one who is about to schedule, as it takes the history over, and nobody else. It holds the write lock
and has seen that no other living cluster has the lease; the upgrade is part of that transaction, so it happens whole or
not at all, and any earlier writer is fenced off by it. Everybody else (a replica, a token command, a refit) opens an
earlier database, too, but is refused what it asks until the upgrade has happened, and then goes on by itself. A newer
database is refused by all: what it means is not known here.
"""

from sqlalchemy import Connection, insert, inspect, select, update

from kilowait import __version__
from kilowait.core.errors import StoreError
from kilowait.history.migrations import run_steps
from kilowait.history.schema import META, SCHEMA, TABLES

WRITTEN_BY = "written_by"
"""The key of the release that made the tables or last upgraded them; schema 1 has none."""


def prepare(name: str, connection: Connection) -> bool:
    """Make the tables where there are none; returns whether they are of an earlier schema.

    Raises StoreError where they are of a newer one, or of none.
    """
    if not inspect(connection).has_table(META.name):
        TABLES.create_all(connection)
        rows = {"schema": SCHEMA, "writer": "0", WRITTEN_BY: __version__}
        connection.execute(insert(META), [{"key": key, "value": value} for key, value in rows.items()])
    return is_earlier(name, connection)


def is_earlier(name: str, connection: Connection) -> bool:
    """Whether the database is of an earlier schema than this release's; raises StoreError as `prepare`."""
    values = {row.key: row.value for row in connection.execute(select(META))}
    return number(name, values.get("schema"), values.get(WRITTEN_BY)) < int(SCHEMA)


def number(name: str, schema: str | None, written_by: str | None) -> int:
    """The number of a schema that this release knows; raises StoreError for any other."""
    if schema is not None and schema.isdecimal() and 1 <= int(schema) <= int(SCHEMA):
        return int(schema)
    release = f" (kilowait {written_by})" if written_by else ""
    raise StoreError(
        f"{name}: its schema is version {schema!r}, this release reads {SCHEMA!r}; "
        f"use the release that wrote it{release} or a later one, or another database"
    )


def check_upgraded(name: str, connection: Connection) -> None:
    """Raises StoreError where the database is still of an earlier schema."""
    if is_earlier(name, connection):
        raise StoreError(
            f"{name}: its schema is of an earlier release, and this one works with version {SCHEMA!r}; "
            "start the service of this release: it upgrades the database as it begins"
        )


def upgrade(name: str, connection: Connection) -> None:
    """Every step to this release's schema, in the transaction that is open; its caller may schedule by the history."""
    schema = connection.execute(select(META.c.value).where(META.c.key == "schema")).scalar_one()
    run_steps(connection, number(name, schema, None), int(SCHEMA))
    _set(connection, "schema", SCHEMA)
    _set(connection, WRITTEN_BY, __version__)


def _set(connection: Connection, key: str, value: str) -> None:
    if not connection.execute(update(META).where(META.c.key == key).values(value=value)).rowcount:
        connection.execute(insert(META).values(key=key, value=value))
