"""A history is for its owner's eyes alone: it holds programs, their variables and hashes of tokens."""

import logging
import os
import stat

import pytest

from kilowait.core import private_files
from kilowait.history.sqlite_files import make_database_private
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.live_world import request


def modes(folder):
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def wide():
    """What a user's files are without further words: readable by all."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_new_database_and_what_sqlite_keeps_beside_it_are_private(tmp_path):
    live = Controller(Store(f"sqlite:///{tmp_path}/kilowait.db"), simple(), order=("A",))
    live.node_joined("n", "A", 1, 0.0)
    live.submit(request(), 1.0)
    assert modes(tmp_path) == dict.fromkeys(("kilowait.db", "kilowait.db-wal", "kilowait.db-shm"), "0o600")
    live.store.close()


def test_one_that_all_could_read_is_made_private_with_what_is_beside_it(tmp_path):
    Store(f"sqlite:///{tmp_path}/kilowait.db").close()
    for name in ("kilowait.db", "kilowait.db-wal", "kilowait.db-shm"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    make_database_private(tmp_path / "kilowait.db")
    assert set(modes(tmp_path).values()) == {"0o600"}


def test_another_users_file_is_left_and_told_of(tmp_path, monkeypatch, caplog):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    file = tmp_path / "kilowait.db"
    file.touch()
    file.chmod(0o644)
    monkeypatch.setattr(private_files.os, "chmod", refused)
    with caplog.at_level(logging.WARNING):
        make_database_private(file)
    assert f"{file}: others may read it (mode 644)" in caplog.text
    assert "chmod 600" in caplog.text


def test_what_is_private_already_stays_as_it_is(tmp_path):
    file = tmp_path / "kilowait.db"
    file.touch()
    file.chmod(0o400)
    make_database_private(file)
    assert modes(tmp_path) == {"kilowait.db": "0o400"}
