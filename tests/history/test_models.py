"""The register of models on SQLite and PostgreSQL: what is in force follows from the log of changes."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.history import bases, models
from kilowait.history.models import Change, Made, State, in_force
from kilowait.history.store import Store
from tests.support.live_world import seen


@pytest.fixture
def store(database):
    """A history that knows of no models yet, as one of an earlier release."""
    return Store(database)


def made(version, *, made_s=1.0, pretended=False):
    return Made(
        version=version,
        base_version="base-1",
        made_s=made_s,
        jobs=30,
        newest_job="job-00000030",
        newest_s=100.0,
        pretended=pretended,
        scores={"table": [], "said": "☃"},
        description=f'{{"of":"{version}"}}',
        tensors=b"\0\xff" + version.encode(),
    )


def put(store, version, now_s=5.0):
    return models.promote(store, version, who="ada", reason="better", now_s=now_s)


def off(store, now_s=6.0):
    return models.rollback(store, who="ada", reason="worse", now_s=now_s)


def test_a_model_is_read_back_as_it_was_and_starts_as_a_candidate(store):
    models.add(store, made("a"))
    models.add(store, made("a"))
    (found,) = models.listed(store)
    assert (found.version, found.state, found.scores, found.kept) == (
        "a",
        "candidate",
        {"table": [], "said": "☃"},
        True,
    )
    assert models.parts(store, "a") == ('{"of":"a"}', b"\0\xffa")
    assert models.current(store) is None


def test_promotions_and_rollbacks_and_their_reasons(store):
    for version in "ab":
        models.add(store, made(version))
    put(store, "a")
    put(store, "b")
    assert {model.version: model.state for model in models.listed(store)} == {"a": State.RETIRED, "b": State.CURRENT}
    off(store)
    assert models.current(store) == "a"
    off(store)
    assert models.current(store) is None
    assert {model.state for model in models.listed(store)} == {State.RETIRED}
    log = models.changes(store)
    assert [(change.seq, change.action, change.version) for change in log] == [
        (1, "promote", "a"),
        (2, "promote", "b"),
        (3, "rollback", "b"),
        (4, "rollback", "a"),
    ]
    assert (log[0].who, log[0].reason, log[0].time_s) == ("ada", "better", 5.0)
    with pytest.raises(InputError, match="no model is in force"):
        off(store)


def test_what_cannot_be_promoted_is_named(store):
    models.add(store, made("a"))
    with pytest.raises(InputError, match="model 'ghost' is unknown; list them with: kilowait model list"):
        put(store, "ghost")
    put(store, "a")
    with pytest.raises(InputError, match="in force already"):
        put(store, "a")
    with pytest.raises(InputError, match="reason: must be printable"):
        models.rollback(store, who="ada", reason=" ", now_s=1.0)
    models.add(store, made("t", pretended=True))
    with pytest.raises(InputError, match="learnt from pretended measurements, a in force from real ones"):
        put(store, "t")
    off(store)
    put(store, "t")
    put(store, "a")  # a real one may always follow
    assert models.current(store) == "a"


def test_of_two_changes_at_the_same_moment_one_is_refused(store, monkeypatch):
    for version in "ab":
        models.add(store, made(version))
    read, other = models.changes, Store(store._engine.url.render_as_string(hide_password=False))

    def read_then_lose(asked):
        log = read(asked)
        if asked is store and not read(store):
            put(other, "b")
        return log

    monkeypatch.setattr(models, "changes", read_then_lose)
    with pytest.raises(InputError, match="somebody else changed what is in force at the same moment"):
        put(store, "a")
    other.close()
    assert models.current(store) == "b"


def test_old_candidates_keep_only_what_was_said_of_them(store, monkeypatch):
    monkeypatch.setattr(models, "KEPT", 2)
    models.add(store, made("first", made_s=0.0))
    put(store, "first")
    for n in range(4):
        models.add(store, made(f"c{n}", made_s=1.0 + n))
    assert {model.version: model.kept for model in models.listed(store)} == {
        "c3": True,
        "c2": True,
        "c1": False,
        "c0": False,
        "first": True,
    }
    with pytest.raises(InputError, match="model c0: only what was said of it is kept; refit"):
        put(store, "c0")


actions = st.lists(st.one_of(st.sampled_from("abc").map(lambda v: ("promote", v)), st.just(("rollback", ""))))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(actions, st.sampled_from("abc"))
def test_a_rollback_undoes_the_promotion_before_it(before, version):
    log, depth = [], 0
    for action, name in before:
        if action == "rollback" and not depth:
            continue
        depth += 1 if action == "promote" else -1
        log.append(Change(seq=len(log) + 1, time_s=0.0, action=action, version=name, who="", reason=""))
    there = in_force(log)
    more = [Change(seq=0, time_s=0.0, action=a, version=version, who="", reason="") for a in ("promote", "rollback")]
    assert in_force([*log, more[0]]) == [*there, version]
    assert in_force([*log, *more]) == there
    assert len(there) == depth


KILLED = """
import os, signal, sys
from sqlalchemy import event
from kilowait.history import models
from kilowait.history.store import Store
store = Store(sys.argv[1])
models.listed(store)
after = {"before": "before_cursor_execute", "inside": "after_cursor_execute", "behind": "commit"}[sys.argv[2]]
def die(*arguments):
    if after == "commit" or arguments[2].startswith("INSERT INTO model_changes"):
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(store._engine, after, die)
models.promote(store, "b", who="ada", reason="better", now_s=5.0)
"""


@pytest.mark.parametrize("moment", ["before", "inside", "behind"])
def test_a_process_killed_in_the_middle_of_a_promotion_loses_nothing(tmp_path, moment):
    url = f"sqlite:///{tmp_path}/kilowait.db"
    store = Store(url)
    for version in "ab":
        models.add(store, made(version))
    put(store, "a")
    store.close()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", KILLED, url, moment], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    store = Store(url)
    assert models.current(store) == "a"  # SQLAlchemy says commit before the database commits
    assert len(models.changes(store)) == 1
    put(store, "b")
    assert models.current(store) == "b"
    assert models.parts(store, "a")[1] == b"\0\xffa"
    store.close()


def test_of_base_predictions_the_newest_are_kept_and_types_they_lack_stay(store):
    base = {"content_hash": "h", "base_version": "base-1", "vector": np.array([1 / 3, -2e4], dtype=np.float32)}
    first = bases.Base(**base, milli=1000, by_type=seen(A=(1 / 3, 2 / 7), B=(1, 2)))
    bases.keep(store, [first], 1.0)
    bases.keep(store, [first], 1.5)
    again = bases.Base(**base, milli=1000, by_type=seen(A=(9, 9), C=(5, 5)))  # a type has joined, another has gone
    bases.keep(store, [again, bases.Base(**base, milli=500, by_type={})], 2.0)
    found = bases.found(store, "base-1", ["h", "ghost"])
    assert found.keys() == {("h", 1000), ("h", 500)}
    assert found["h", 1000].by_type == {**first.by_type, **again.by_type}
    assert (found["h", 1000].vector == first.vector).all()
    assert bases.found(store, "base-2", ["h"]) == {}
    assert bases.newest_version(store) == "base-1"
