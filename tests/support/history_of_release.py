"""A history as an earlier release wrote it, put into the database of a test. See tests/history/releases/README.md."""

import json
import shutil
from pathlib import Path

import sqlalchemy
from sqlalchemy import inspect

RELEASES = Path(__file__).parents[1] / "history" / "releases"
NAMES = sorted(file.stem for file in RELEASES.glob("*.db"))


def engine_of(url):
    """A connection of the test's own, beside the store's."""
    return sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


def put_release(name, url):
    """Make the empty database at `url` what release `name` left there."""
    if url.startswith("sqlite"):
        shutil.copy(RELEASES / f"{name}.db", url.removeprefix("sqlite:///"))
        return
    engine = engine_of(url)
    connection = engine.raw_connection()
    try:
        connection.cursor().execute((RELEASES / f"{name}.sql").read_text())
        connection.commit()
    finally:
        connection.invalidate()  # the dump sets its search path
        engine.dispose()


def said(name):
    """What that release said of its own history: snapshot, running attempts and jobs."""
    return json.loads((RELEASES / f"{name}.json").read_text())


def contents(url):
    """Every table's columns, indexes and rows, by name: equal when nothing at all has changed."""
    engine = engine_of(url)
    try:
        looked, found = inspect(engine), {}
        with engine.connect() as connection:
            for table in sorted(looked.get_table_names()):
                columns = [(column["name"], str(column["type"])) for column in looked.get_columns(table)]
                indexes = sorted((index["name"], *index["column_names"]) for index in looked.get_indexes(table))
                rows = sorted(map(repr, connection.exec_driver_sql(f'SELECT * FROM "{table}"')))
                found[table] = columns, indexes, rows
        return found
    finally:
        engine.dispose()
