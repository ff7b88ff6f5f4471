"""A database of each earlier release opens in this one, says what it said, and goes on, on SQLite and PostgreSQL."""

import json

import msgspec
import pytest
from sqlalchemy import select

from kilowait.core.errors import StaleAttempt
from kilowait.core.submission import Ending
from kilowait.history import bases, models, tokens
from kilowait.history.job_filter import JobFilter
from kilowait.history.lease import Claim
from kilowait.history.queries import history
from kilowait.history.schema import META
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.history_of_release import NAMES, put_release, said
from tests.support.live_world import request, seen

NOW_S = 1795990000.0  # its lease has run out
SECRET = "no-secret_of-the-tests-alone"


def taken_over(url):
    return Controller(
        Store(url), simple(), claim=Claim(cluster="new", holder="the scheduler on new-head", time_s=NOW_S)
    )


def plain(value):
    """As JSON gives it back."""
    return json.loads(msgspec.json.encode(value, order="sorted"))


def said_then(now, then):
    """`now` without what a later release says more of, which an old record leaves empty."""
    if isinstance(now, dict) and isinstance(then, dict):
        assert not any(value for name, value in now.items() if name not in then)
        return {name: said_then(value, then[name]) for name, value in now.items() if name in then}
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        return [said_then(*pair) for pair in zip(now, then, strict=True)]
    return now


@pytest.fixture(params=NAMES)
def release(request, database):
    put_release(request.param, database)
    return request.param


def test_there_is_a_database_of_each_schema_that_was_left_and_of_this_one():
    assert {"0.1.0", "schema-3"} <= set(NAMES)


def test_its_events_replay_to_the_state_that_it_saw_itself(release, database):
    live, before = taken_over(database), said(release)
    snapshot = live.cluster.snapshot()
    after = plain({name: getattr(snapshot, name) for name in before["snapshot"]})
    assert said_then(after, before["snapshot"]) == before["snapshot"]
    known = before["running"][0].keys()  # a later release says more of an attempt
    assert [{name: of[name] for name in known} for of in plain(live.all_running())] == before["running"]
    assert [[row["job_id"], row["owner"], row["state"]] for row in live.store.jobs()] == before["jobs"]


def test_attempts_measurements_logs_and_programs_are_there(release, database):
    store = taken_over(database).store
    (finished,) = store.attempts("job-00000003")
    assert (finished["gpu_type"], finished["exit_code"], finished["meter"]) == ("A100", 0, "pretended")
    assert (finished["runtime_s"], finished["energy_j"]) == (17.569889044999968, 7027.955617999987)
    assert [(row["exit_code"], row["reason"]) for row in store.attempts("job-00000012")] == [(3, "left with 3")] * 2
    assert b"time for all steps: 11.94 s" in store.log("job-00000003", 1).data
    assert "A transformer encoder" in store.program("job-00000003").files["main.py"]
    ended = history(store, owner="operator")
    assert [(row["job_id"], row["features"]) for row in ended] == [(f"job-0000000{n}", "dry-run") for n in (3, 5, 7)]


def test_jobs_are_found_by_the_labels_and_names_that_they_have_there(release, database):
    store = taken_over(database).store
    team = [row["job_id"] for row in store.jobs(JobFilter(labels={"team": "x"}))]
    assert sorted(team) == [f"job-000000{number}" for number in (12, 18, 20, 21, 24)]
    named = [(row["job_id"], row["state"]) for row in store.jobs(JobFilter(name="sweep-*", labels={"lr": "0.1"}))]
    assert named == ([] if release == "0.1.0" else [("job-00000025", "cancelled")])


def test_what_is_beside_the_history_is_there(release, database):
    store = taken_over(database).store
    assert tokens.identify(store, f"kw_ada0ada0ada0_{SECRET}").owner == "ada"
    assert tokens.identify(store, f"kw_bob0bob0bob0_{SECRET}") is None  # it was revoked
    assert (models.current(store), models.parts(store, "c0ffee000001")) == ("c0ffee000001", ("{}", b"tensors"))
    assert bases.newest_version(store) == "20603bfcbcdd+5d0a13a68a86"


def test_the_jobs_go_on_and_new_ones_are_taken(release, database):
    live = taken_over(database)
    new = live.submit(request("new", predictions=seen(A100=(10, 0.5))), NOW_S)
    (runs,) = [attempt for attempt in live.all_running() if attempt.job_id == "job-00000020"]
    live.attempt_finished(runs.job_id, 1, runs.token, Ending(exit_code=0), NOW_S)
    assert [attempt.job_id for attempt in live.decide(NOW_S)] == ["job-00000024"]
    with pytest.raises(StaleAttempt):
        live.attempt_started(runs.job_id, 1, runs.token, NOW_S)
    after = taken_over(database)
    assert after.cluster.snapshot() == live.cluster.snapshot()
    assert (after.store.job("job-00000020")["state"], after.store.job(new)["state"]) == ("finished", "waiting")


def test_it_says_which_release_upgraded_it(release, database):
    store = taken_over(database).store
    kept = {row.key: row.value for row in store.rows(select(META))}
    assert (kept["schema"], kept["written_by"]) == ("3", "0.1.0")
