"""A PostgreSQL server of a test's own, in a temporary folder; the binaries must be on this machine."""

import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from benchmarks.own_postgres import OwnPostgres, found_program
from kilowait.core.errors import InputError


def binary(name):
    """The path of one of PostgreSQL's programs; skips the test where there is none."""
    found = found_program(name)
    if found is None:
        pytest.skip(f"no {name} on this machine; install PostgreSQL (apt-get install postgresql) to run this test")
    return found


@contextmanager
def postgres():
    """The URL of an empty database; the server is stopped in the end. Skips where there can be none.

    Its folder is none of pytest's: those are their owner's alone, and any pytest that starts sees to it again.
    """
    with tempfile.TemporaryDirectory(prefix="kilowait-postgres-") as name:
        folder = Path(name, "database")
        folder.mkdir()
        try:
            server = OwnPostgres(folder)
        except InputError as missing:
            pytest.skip(f"{missing} to run this test")
        with closing(server):
            yield server.url
