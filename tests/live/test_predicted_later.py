"""A prediction that follows a job into the durable history: which one held, and that a restart changes nothing."""

import pytest

from kilowait.cluster.advance import replay
from kilowait.core.errors import IllegalEvent, InputError
from kilowait.core.jobs import Prediction
from kilowait.core.submission import Ending
from kilowait.history.queries import history, predictions_of, submissions
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.sjf import sjf
from tests.live.test_live import again, finish
from tests.support.live_world import request, seen

GUESS = seen(A=(3600, 1.0), B=(7200, 2.0))
TRUE = seen(A=(10, 0.5), B=(5, 0.1))


@pytest.fixture
def live(tmp_path):
    controller = Controller(Store(f"sqlite:///{tmp_path}/kilowait.db"), sjf(), order=("A", "B"))
    controller.node_joined("n1", "A", 1, 0.0)
    controller.node_joined("n2", "B", 1, 0.0)
    return controller


def guessed(live, *, gpus=1, now_s=1.0):
    return live.submit(request(predictions=GUESS, gpus=gpus), now_s)


def the_one(live, job_id):
    return predictions_of(live.store, [job_id])[job_id]


def replayed(live):
    return replay((event for _, event in live.store.events()), ("A", "B")).snapshot()


def test_a_job_that_waits_is_placed_by_the_prediction_and_so_it_is_after_a_restart(live):
    job_id = guessed(live)
    live.predicted(job_id, TRUE, None, 2.0)
    restarted = again(live)
    assert restarted.cluster.snapshot() == live.cluster.snapshot() == replayed(live)
    (attempt,) = restarted.decide(3.0)
    assert attempt.gpu_type == "B"  # by the guess it would be A
    said = the_one(restarted, job_id)
    assert (said.submitted.predictions, said.original.predictions) == (TRUE, GUESS)
    assert (said.used.time_s, said.used.problem) == (2.0, None)
    assert submissions(restarted.store, [job_id])[job_id].predictions == TRUE
    finish(restarted, attempt, Ending(exit_code=0), 4.0)
    (row,) = history(restarted.store)
    assert row["predicted_runtime_s"] == 5


@pytest.mark.parametrize("over", [False, True])
def test_one_that_comes_after_the_start_or_the_end_is_kept_and_not_used(live, over):
    job_id = guessed(live)
    (attempt,) = live.decide(2.0)
    if over:
        finish(live, attempt, Ending(exit_code=0), 3.0)
    before = live.cluster.snapshot()
    live.predicted(job_id, TRUE, None, 4.0)
    assert (before.active, before.over, before.free) == (
        live.cluster.snapshot().active,
        live.cluster.snapshot().over,
        live.cluster.snapshot().free,
    )
    said = the_one(again(live), job_id)
    assert (said.submitted.predictions, said.used) == (GUESS, None)
    assert [event.predictions for event in said.later] == [TRUE]
    assert attempt.gpu_type == "A"
    assert again(live).cluster.snapshot() == live.cluster.snapshot() == replayed(live)


def test_one_that_comes_between_two_attempts_is_not_used_either(live):
    job_id = guessed(live)
    (first,) = live.decide(2.0)
    finish(live, first, Ending(reason="lost", lost=True), 3.0)
    live.predicted(job_id, TRUE, None, 4.0)
    (second,) = live.decide(5.0)
    assert second.gpu_type == "A"
    assert the_one(live, job_id).used is None


def test_a_problem_is_said_and_the_guess_stays(live):
    job_id = guessed(live)
    live.predicted(job_id, {}, "main.py: not \x1bUTF-8", 2.0)
    said = the_one(live, job_id)
    assert (said.submitted.predictions, said.used) == (GUESS, None)
    assert [event.problem for event in said.later] == ["main.py: not \\x1bUTF-8"]
    live.predicted(job_id, TRUE, None, 3.0)  # a later one may still come
    assert the_one(live, job_id).submitted.predictions == TRUE


def test_saying_it_again_writes_nothing(live):
    job_id = guessed(live)
    live.predicted(job_id, TRUE, None, 2.0)
    events = len(list(live.store.events()))
    live.predicted(job_id, TRUE, None, 3.0)
    assert len(list(live.store.events())) == events


def test_what_is_wrong_with_one_is_said_and_nothing_is_kept(live):
    job_id = guessed(live)
    events = len(list(live.store.events()))
    for predictions, error in (
        (seen(A=(1, 1)), IllegalEvent),
        ({**TRUE, "A": Prediction(runtime_s=1, energy_kwh=1, other={"x": float("inf")})}, InputError),
    ):
        with pytest.raises(error):
            live.predicted(job_id, predictions, None, 2.0)
    with pytest.raises(IllegalEvent, match="never submitted"):
        live.predicted("job-00000099", TRUE, None, 2.0)
    assert len(list(live.store.events())) == events
    assert again(live).cluster.snapshot() == live.cluster.snapshot()
