"""Where a history is: `sqlite:///path`, `postgresql://...`, or the path of an SQLite file."""

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from kilowait.core.errors import InputError

DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}


def parse_url(text: str) -> URL:
    """The URL with the driver that is used; raises InputError for what is neither a URL nor a path."""
    try:
        url = make_url(text if "://" in text else f"sqlite:///{Path(text)}")
    except (ArgumentError, ValueError) as error:
        raise InputError(f"{text!r} is no database; give sqlite:///PATH, postgresql://... or a path") from error
    if url.get_backend_name() not in DRIVERS:
        raise InputError(f"{text!r}: only sqlite and postgresql are known")
    return url.set(drivername=DRIVERS[url.get_backend_name()])


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite database, None for a server or a database in memory."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))
