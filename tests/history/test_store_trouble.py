"""A history that cannot be opened, read or written says so, and loses nothing."""

import sqlite3

import pytest
import sqlalchemy

from kilowait.cluster.events import GpusJoined
from kilowait.core.errors import InputError, StoreError
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.live_world import request

pytestmark = pytest.mark.usefixtures("closed")

JOINED = GpusJoined(time_s=0.125, node="n1", gpu_type="A", gpus=4)


def controller(url):
    return Controller(Store(url), simple(), order=("A", "B"))


def test_another_schema_is_refused_by_name(database):
    store = Store(database)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(StoreError, match=r"its schema is version '99', this release reads '3'; use the release"):
        Store(database)


def test_an_event_that_cannot_be_read_is_named(database):
    store = Store(database)
    store.take_over()
    with store.writing(0) as writing:
        writing.append(JOINED)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET payload = '{}'")
    with pytest.raises(StoreError, match=r"event 1 \(GpusJoined\) cannot be read"):
        list(store.events())


def test_a_locked_database_is_a_clear_error_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("kilowait.history.store.LOCK_WAIT_S", 0.05)
    live = controller(f"{tmp_path}/kilowait.db")
    live.node_joined("n1", "A", 1, 0.0)
    job_id = live.submit(request("before"), 1.0)
    other = sqlite3.connect(tmp_path / "kilowait.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for word in (lambda: live.submit(request("during"), 2.0), lambda: live.decide(2.0)):
        with pytest.raises(StoreError, match=r"kilowait.db: not written: database is locked; nothing of it is kept"):
            word()
    other.execute("ROLLBACK")
    other.close()
    assert [attempt.job_id for attempt in live.decide(3.0)] == [job_id]
    assert live.submit(request("during"), 4.0) > job_id


def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path):
    live = controller(f"{tmp_path}/kilowait.db")
    live.node_joined("n1", "A", 1, 0.0)
    accepted = []

    def limit_pages(connection, *_):
        connection.execute("PRAGMA max_page_count=40")

    sqlalchemy.event.listen(live.store._engine, "checkout", limit_pages)
    full = r"database or disk is full; nothing of it is kept; make space"
    with pytest.raises(StoreError, match=full):
        accepted.extend(live.submit(request(f"k{n}"), 1.0) for n in range(10_000))
    assert len(accepted) > 3
    sqlalchemy.event.remove(live.store._engine, "checkout", limit_pages)
    live.store._engine.dispose()
    assert [row["job_id"] for row in live.store.jobs(limit=10_000)] == accepted
    assert [attempt.job_id for attempt in live.decide(2.0)] == accepted[:1]
    again = controller(f"{tmp_path}/kilowait.db")
    assert [w.job.job_id for w in again.cluster.queue()] == accepted[1:]


@pytest.mark.parametrize(
    ("url", "error", "reason"),
    [
        ("/no/such/folder/k.db", StoreError, "unable to open database file; see whether its folder is there"),
        ("mysql://x/y", InputError, "only sqlite and postgresql"),
        ("a://b://c", InputError, "a://b://c"),
        ("postgresql://kilowait:secret@127.0.0.1:1/x", StoreError, r"kilowait:\*\*\*@127.0.0.1"),
    ],
)
def test_a_database_that_cannot_be_opened_is_named_without_its_password(url, error, reason):
    with pytest.raises(error, match=reason):
        Store(url)


def test_commits_of_sqlite_are_synchronous_and_readers_do_not_wait(tmp_path):
    store = Store(f"{tmp_path}/kilowait.db")
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
