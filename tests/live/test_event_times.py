"""A clock that is set back neither turns times round nor stops them."""

import pytest

from kilowait.core.submission import Ending
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.live_world import request

DAY_S = 86_400.0


@pytest.fixture
def live(tmp_path):
    """A node that joined while the clock was a day ahead; it is right from here on."""
    live = Controller(Store(f"sqlite:///{tmp_path}/kilowait.db"), simple(), order=("A",))
    live.node_joined("n", "A", 1, DAY_S)
    yield live
    live.store.close()


def times(live):
    return [event.time_s for _, event in live.store.events()]


def lived(live, begin_s):
    """A job that waits a second, begins after two more and runs 100 s by the clock; the times that are kept."""
    job_id = live.submit(request(), begin_s)
    (attempt,) = live.decide(begin_s + 1)
    live.attempt_started(job_id, attempt.attempt, attempt.token, begin_s + 3)
    live.attempt_finished(job_id, attempt.attempt, attempt.token, Ending(exit_code=0), begin_s + 103)
    job, (kept,) = live.store.job(job_id), live.store.attempts(job_id)
    return [job["submitted_s"], kept["placed_s"], kept["started_s"], kept["ended_s"]]


def test_what_happens_behind_a_clock_that_was_set_back_stays_in_order_and_apart(live):
    kept = lived(live, 10.0)
    assert kept == pytest.approx([DAY_S, DAY_S + 0.5, DAY_S + 1.5, DAY_S + 51.5], abs=1e-3)
    assert kept == sorted(set(kept))
    assert kept[0] > DAY_S


def test_times_are_the_clocks_again_once_it_has_passed_them(live):
    lived(live, 10.0)
    assert lived(live, DAY_S + 60) == [DAY_S + 60, DAY_S + 61, DAY_S + 63, DAY_S + 163]


def test_it_passes_them_after_twice_the_step(live):
    now_s = 0.0
    while live.cluster.now_s > now_s:
        live.decide(now_s := now_s + 60)
    assert now_s == pytest.approx(2 * DAY_S, rel=0.01)


def test_events_of_one_moment_have_its_time_where_the_clock_is_right(live):
    live.submit_all([request(), request()], DAY_S + 5)
    assert times(live) == [DAY_S, DAY_S + 5, DAY_S + 5]
