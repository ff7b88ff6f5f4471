"""What the service does with the model in force, without Ray: whom it corrects, what it keeps, when it learns."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from kilowait.core.errors import ModelError, StoreError
from kilowait.core.jobs import Provenance
from kilowait.history import bases, models
from kilowait.live.learning.refit import RefitOutcome, refit
from serve.desk import learner
from serve.desk.corrections import Corrections
from serve.desk.learner import LEAST_NEW, Learner
from tests.support.learning_world import BASE, History, corrected
from tests.support.live_world import seen


@pytest.fixture
def history(tmp_path):
    history = History(f"sqlite:///{tmp_path}/kilowait.db")
    yield history
    history.store.close()


def asking(store):
    async def ask(question, *arguments):
        return question(store, *arguments)

    return ask


def base(version=BASE, source="new"):
    vector = np.array([5.0, 1.0], dtype=np.float32)
    by_type = seen(A=(10, 1), B=(20, 0.5))
    return bases.Base(content_hash=source, base_version=version, milli=1000, by_type=by_type, vector=vector)


def applied(history, of):
    async def both():
        corrections = Corrections(asking(history.store))
        await corrections.look()
        return await corrections.apply(of, "ada")

    return asyncio.run(both())


def test_what_is_in_force_corrects_predictions_of_its_own_base_and_no_others(history):
    assert applied(history, base()) == base().by_type
    history.kind(30, 4.0)
    found = refit(history.store, now_s=1e6)
    assert found.outcome is RefitOutcome.PROMOTED
    by_type = applied(history, base())
    assert by_type["A"].runtime_s > 20
    assert by_type["A"].probe_version.endswith(f"+{found.version}")
    assert applied(history, base("base-2")) == base().by_type


def test_what_was_learnt_from_a_try_out_leaves_a_type_alone_once_it_was_measured_for_real(history):
    history.kind(30, 4.0, gpu_type="B", how=Provenance.PRETENDED)
    assert refit(history.store, now_s=1e6, pretended=True).outcome is RefitOutcome.PROMOTED
    tried = applied(history, base())
    assert tried["A"] == base().by_type["A"]
    assert tried["B"].runtime_s > 40
    history.ran("real", 1.0, "B")
    assert applied(history, base()) == base().by_type


def test_a_model_that_cannot_be_read_leaves_the_one_before_in_its_place(history):
    history.kind(30, 4.0)
    first = refit(history.store, now_s=1e6).version
    corrections = Corrections(asking(history.store))
    asyncio.run(corrections.look())
    description, tensors = models.parts(history.store, first)
    damaged = models.Made(
        version="damaged",
        base_version=BASE,
        made_s=2e6,
        jobs=1,
        newest_job="job-00000001",
        newest_s=1.0,
        pretended=False,
        scores={},
        description=description,
        tensors=tensors[:-1],
    )
    models.add(history.store, damaged)
    models.promote(history.store, "damaged", who="ada", reason="try", now_s=3e6)
    with pytest.raises(ModelError, match="correction damaged: its parts do not belong together"):
        asyncio.run(corrections.look())
    assert corrections.version == first
    assert asyncio.run(corrections.apply(base(), "ada"))["A"].runtime_s > 20


def test_base_predictions_wait_while_the_history_cannot_be_written(history):
    store, refuses = history.store, True

    async def ask(question, *arguments):
        if refuses:
            raise StoreError("no space")
        return question(store, *arguments)

    corrections = Corrections(ask)
    corrections.keep(base(source="kept"))
    asyncio.run(corrections.flush())
    assert bases.found(store, BASE, ["kept"]) == {}
    refuses = False
    asyncio.run(corrections.flush())
    assert bases.found(store, BASE, ["kept"]).keys() == {("kept", 1000)}


def due(history, every, **more):
    asked = Learner(SimpleNamespace(ask=asking(history.store)), every, **more)
    return asyncio.run(asked._due()), asked.drift


def test_a_refit_is_due_every_so_many_measured_jobs(history):
    history.kind(30, 4.0)
    history.kind(5, 4.0, first=50, how=Provenance.PRETENDED)
    assert due(history, 30)[0]
    assert not due(history, 31)[0]
    assert not due(history, 0)[0]
    assert due(history, 5, pretended=True)[0]
    refit(history.store, now_s=1e6)
    assert not due(history, 30)[0]  # a service that starts again knows what was learnt


def test_drift_makes_a_refit_due_early(history):
    history.kind(30, 4.0)
    version = refit(history.store, now_s=1e6).version
    history.kind(LEAST_NEW, 4.0, first=100, predictions=corrected(version, 40.0, 30.0, 50.0))
    found, drift = due(history, 1000)
    assert (found, drift.beyond) == (False, "")
    history.kind(LEAST_NEW + 11, 16.0, first=200, predictions=corrected(version, 40.0, 30.0, 50.0))
    found, drift = due(history, 1000)
    assert found
    assert "median |log error|" in drift.beyond


def test_a_round_that_cannot_be_done_is_a_reason_not_a_crash(tmp_path):
    said = learner._round(f"sqlite:///{tmp_path}/kilowait.db", None, 1.0, False)
    assert "no base prediction was kept yet" in said
