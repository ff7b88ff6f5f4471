"""How a database of an earlier release becomes one of this: a module a step, `to_2` from schema 1 to schema 2, and on.

Alembic's operations make the changes: they know what a database cannot alter, and rebuild the table there. Its version
table, its script folder and env.py are left aside. The version has to stand in `meta`, where the first release reads
it and refuses what is newer, and two truths are one too many; and the steps have to run in the very transaction that
takes the history over, so that the lease rules hold for them, too.

A step that was released is never changed. It names tables and columns as text, for they are those of its time, not
those of `kilowait.history.schema`. What it does must hold for SQLite and PostgreSQL, in a transaction of others, and
leave events as they are: a log of any release replays. The tables beside the history (tokens, models, predictions) are
made when they are first asked for, so a step that changes one must ask whether it is there.
"""

from importlib import import_module

from sqlalchemy import Connection


def run_steps(connection: Connection, found: int, wanted: int) -> None:
    """Every step from schema `found` to schema `wanted`, in the transaction that is open."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    operations = Operations(MigrationContext.configure(connection))
    for number in range(found + 1, wanted + 1):
        import_module(f"{__name__}.to_{number}").upgrade(operations)
