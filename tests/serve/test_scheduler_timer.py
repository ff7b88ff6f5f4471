"""How long the scheduler's loop sleeps when nothing happens: until nodes are looked at, or a decision is due."""

import time

import pytest

from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.easy import easy
from serve.scheduler.decision_loop import LEAST_IDLE_S, DecisionLoop
from tests.support.live_world import request, seen


@pytest.fixture
def scheduler(tmp_path):
    """One that is not started: its loop's parts alone, with one A, on which a job of 20 s has run for 10 s."""
    now_s = time.time()
    controller = Controller(Store(f"sqlite:///{tmp_path}/kilowait.db"), easy(), order=("A",))
    controller.node_joined("n1", "A", 1, now_s - 10)
    controller.submit(request(predictions=seen(A=(20, 1))), now_s - 10)
    controller.decide(now_s - 10)
    return DecisionLoop(controller, 600.0, lambda attempt: None)


def test_it_wakes_when_an_estimate_passes_while_a_job_waits(scheduler):
    assert scheduler.idle_s() == 600.0  # nobody waits
    scheduler._controller.submit(request(predictions=seen(A=(5, 1)), gpu_milli=1000), time.time())
    _ = scheduler._controller.cluster.predicted_ends()  # as a planner does that finds room for somebody
    assert scheduler.idle_s() == pytest.approx(10.0, abs=5.0)
    scheduler._controller.cluster.now_s += 30.0  # 40 s after the start its estimate is 80 s
    assert scheduler.idle_s() == pytest.approx(70.0, abs=5.0)


def test_it_never_spins_where_the_clock_has_gone_ahead(scheduler, monkeypatch):
    scheduler._controller.submit(request(predictions=seen(A=(5, 1))), time.time())
    _ = scheduler._controller.cluster.predicted_ends()
    later_s = time.time() + 1000
    monkeypatch.setattr(time, "time", lambda: later_s)
    assert scheduler.idle_s() == LEAST_IDLE_S


def test_a_copy_that_was_told_nothing_since_wakes_nobody_while_nobody_waits(scheduler, monkeypatch):
    controller = scheduler._controller
    job_id = controller.submit(request(predictions=seen(A=(5, 1))), time.time())
    controller.deciding.begin(controller.at(time.time()))()
    _ = controller.deciding._copy.predicted_ends()  # as a planner does
    controller.cancel(job_id, time.time())
    later_s = time.time() + 1000
    monkeypatch.setattr(time, "time", lambda: later_s)
    assert scheduler.idle_s() == 600.0
