"""A database of an earlier schema is upgraded whole or not at all, by who may schedule by it and by nobody else."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from kilowait.core.errors import Occupied, StoreError, Superseded
from kilowait.history import tokens
from kilowait.history.job_filter import JobFilter
from kilowait.history.lease import Claim
from kilowait.history.migrations import to_2
from kilowait.history.schema import TABLES
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.history_of_release import contents, engine_of, put_release
from tests.support.live_world import request, seen

LEASE_S = 1795984200.0
"""When the cluster of the old release last said that it lives."""
LATER_S = LEASE_S + 1000.0
REFUSED = r"its schema is of an earlier release, and this one works with version '3'; start the service of this release"


@pytest.fixture
def old(database):
    put_release("0.1.0", database)
    return database


def claim(cluster="new", time_s=LATER_S):
    return Claim(cluster=cluster, holder="the scheduler on new-head, process 8", time_s=time_s)


def schema(url):
    engine = engine_of(url)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT value FROM meta WHERE key = 'schema'").scalar()
    engine.dispose()
    return found


def test_an_upgraded_database_has_the_tables_of_a_new_one(old):
    Store(old).take_over(claim())
    engine = engine_of(old)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": of_the_history})
        assert compare_metadata(context, TABLES) == []
    engine.dispose()


def of_the_history(_object, name, kind, *_):
    return kind != "table" or name in TABLES.tables


def test_a_new_database_needs_no_step(database):
    store = Store(database)
    assert (schema(database), store.take_over(claim())) == ("3", 0)
    assert not list(Path(database.removeprefix("sqlite:///")).parent.glob("*.before-*"))


def test_of_what_was_there_only_indexes_and_the_version_change(old):
    before = contents(old)
    Store(old).take_over(claim())
    after = contents(old)
    assert {name for name in before if before[name] != after[name]} == {"jobs", "meta"}
    assert (after["jobs"][0], after["jobs"][2]) == (before["jobs"][0], before["jobs"][2])
    assert after["events"] == before["events"]
    assert after.keys() - before.keys() == {"job_labels"}


def test_who_does_not_schedule_opens_it_upgrades_nothing_and_is_refused_until_it_is_done(old):
    before, reader = contents(old), Store(old)
    asked = (
        lambda: reader.jobs(),
        lambda: list(reader.events()),
        lambda: tokens.create(reader, "eve", tokens.Role.READ, LATER_S),
        lambda: tokens.listed(reader),
        lambda: reader.take_over(),
    )
    for ask in asked:
        with pytest.raises(StoreError, match=REFUSED):
            ask()
    assert contents(old) == before
    Store(old).take_over(claim())
    waiting = reader.jobs(JobFilter(states=("waiting",)))  # it need not be opened anew
    assert [row["job_id"] for row in waiting] == ["job-00000024"]
    assert tokens.create(reader, "eve", tokens.Role.READ, LATER_S)


def test_nobody_upgrades_while_another_cluster_lives(old):
    before = contents(old)
    for attempt in (lambda s: s.take_over(claim(time_s=LEASE_S + 89)), lambda s: s.upgrade(LEASE_S + 89)):
        with pytest.raises(Occupied, match=r"held by the scheduler on old-head, process 7 .* heard of 89 s ago"):
            attempt(Store(old))
    assert contents(old) == before


def test_the_same_cluster_upgrades_at_once(old):
    Store(old).take_over(claim("retired-cluster", LEASE_S + 1))
    assert schema(old) == "3"


def test_an_upgrade_before_there_is_a_cluster_takes_no_lease_and_fences_who_wrote_before(old, monkeypatch):
    early = Store(old)
    with monkeypatch.context() as as_it_was:  # a writer of the earlier release
        as_it_was.setattr("kilowait.history.schema_version.SCHEMA", "1")
        early.take_over()
    Store(old).upgrade(LATER_S)
    Store(old).upgrade(LATER_S)  # there is nothing to do
    with pytest.raises(Superseded), early.writing(0):
        pass
    Controller(Store(old), simple(), claim=claim(time_s=LATER_S))


def test_a_step_that_fails_in_the_middle_leaves_the_database_as_it_was(old, monkeypatch):
    before, step = contents(old), to_2.upgrade

    def fail_in_the_middle(operations):
        step(operations)
        operations.drop_table("jobs")
        operations.execute("INSERT INTO nowhere VALUES (1)")

    store = Store(old)
    with monkeypatch.context() as broken:
        broken.setattr(to_2, "upgrade", fail_in_the_middle)
        with pytest.raises(StoreError, match=r"(?s)not taken over: .*nowhere.*; nothing of it is kept"):
            store.take_over(claim())
    assert contents(old) == before
    store.take_over(claim())  # the same store can be used once the cause is gone
    assert schema(old) == "3"


KILLED = """
import os, signal, sys
from kilowait.history.lease import Claim
from kilowait.history.migrations import to_2
from kilowait.history.store import Store
step = to_2.upgrade
def die(operations):
    step(operations)
    os.kill(os.getpid(), signal.SIGKILL)
to_2.upgrade = die
Store(sys.argv[1]).take_over(Claim(cluster="new", holder="h", time_s=float(sys.argv[2])))
"""


def test_a_process_killed_in_the_middle_of_a_step_leaves_the_database_as_it_was(old):
    before = contents(old)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", KILLED, old, str(LATER_S)]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    assert contents(old) == before
    Store(old).take_over(claim())
    assert schema(old) == "3"


def test_of_many_clusters_that_begin_at_one_moment_one_upgrades(old):
    stores, at_once = [Store(old) for _ in range(6)], Barrier(6)

    def take(number):
        at_once.wait()
        try:
            stores[number].take_over(claim(f"cluster-{number}"))
        except Occupied:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, range(6))) == 1
    assert schema(old) == "3"


def test_readers_that_ask_while_it_is_upgraded_get_all_or_are_refused(old):
    """A replica that opens the database at that moment."""
    at_once = Barrier(7)

    def read(_):
        store = Store(old)
        at_once.wait()
        try:
            return len(store.jobs())
        except StoreError as error:
            return "refused" if "schema is of an earlier release" in str(error) else error

    def upgrade():
        store = Store(old)
        at_once.wait()
        store.take_over(claim())

    with ThreadPoolExecutor(7) as pool:
        upgrading, answers = pool.submit(upgrade), list(pool.map(read, range(6)))
        upgrading.result()
    assert set(answers) <= {8, "refused"}


@pytest.mark.parametrize("version", ["4", "99", "0", "one"])
def test_a_newer_schema_is_refused_with_both_versions_and_the_release_to_take(database, version):
    store = Store(database)
    engine = engine_of(database)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE meta SET value = '{version}' WHERE key = 'schema'")
        connection.exec_driver_sql("UPDATE meta SET value = '7.5.0' WHERE key = 'written_by'")
    engine.dispose()
    refused = rf"version '{version}', this release reads '3'; use the release that wrote it \(kilowait 7\.5\.0\)"
    for ask in (lambda: Store(database), lambda: store.take_over(claim()), lambda: store.upgrade(LATER_S)):
        with pytest.raises(StoreError, match=refused):  # the one that was open before, too
            ask()


def test_sqlite_keeps_a_copy_of_what_it_was(tmp_path, closed):
    url = f"sqlite:///{tmp_path}/kilowait.db"
    put_release("0.1.0", url)
    before = contents(url)
    Store(url).take_over(claim())
    kept = tmp_path / "kilowait.db.before-3"
    assert (contents(f"sqlite:///{kept}"), schema(f"sqlite:///{kept}")) == (before, "1")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.glob(".*")] == []


def test_where_the_copy_cannot_be_written_nothing_is_upgraded(tmp_path, closed):
    url = f"sqlite:///{tmp_path}/kilowait.db"
    put_release("0.1.0", url)
    before = contents(url)
    (tmp_path / "kilowait.db.before-3").write_text("a note of somebody's")
    store = Store(url)
    with pytest.raises(StoreError, match=r"not upgraded: .*kilowait.db.before-3: .*no SQLite database; take it away"):
        store.take_over(claim())
    assert contents(url) == before


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT * FROM jobs WHERE job_id > '' AND owner = 'ada' ORDER BY job_id LIMIT 100", "ix_jobs_owner_job"),
        ("SELECT * FROM jobs WHERE job_id > '' AND state = 'x' ORDER BY job_id LIMIT 100", "ix_jobs_state_job"),
        ("SELECT job_id FROM jobs WHERE cancel_s IS NOT NULL AND ended_s IS NULL", "ix_jobs_cancelling"),
    ],
)
def test_pages_of_jobs_are_read_from_an_index_and_not_sorted(tmp_path, closed, query, index):
    url = f"sqlite:///{tmp_path}/kilowait.db"
    put_release("0.1.0", url)
    Store(url).take_over(claim())
    engine = engine_of(url)
    with engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
    engine.dispose()
    assert len(plan) == 1
    assert index in plan[0]


def test_a_job_is_taken_by_a_history_that_was_upgraded_before_the_cluster_began(old):
    Store(old).upgrade(LATER_S)
    live = Controller(Store(old), simple(), claim=claim())
    assert live.store.job(live.submit(request("k", predictions=seen(A100=(10, 1))), LATER_S))["state"] == "waiting"
