"""Places that an operator names, as every process of the service understands them."""

import os
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.history.secrecy.key_file import read_key

from .isolation_options import SQLITE


def looked_up(database: str) -> str:
    """The URL, from the environment where it is asked for there."""
    if not database.startswith("$"):
        return database
    if not (url := os.environ.get(database[1:])):
        raise InputError(
            f"database {database}: the environment variable {database[1:]} is not set; set it to a URL on the head node"
        )
    return url


def key_path(path: str) -> str:
    """A path that means the same in every process, of a key that can be read; raises InputError for another."""
    if not path:
        return ""
    read_key(path)
    return str(Path(path).absolute())


def url_or_folder(place: str) -> str:
    """A URL, or a folder that means the same in every process."""
    return place if "://" in place else str(Path(place).absolute())


def absolute(url: str) -> str:
    """An SQLite path that means the same in every process."""
    if "://" in url and not url.startswith(SQLITE):
        return url
    return f"{SQLITE}{Path(url.removeprefix(SQLITE)).absolute()}"
