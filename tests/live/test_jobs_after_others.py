"""Jobs that run after others, live: aside until those are over, given up where these ended badly, or refused."""

import pytest

from kilowait.core.errors import InputError
from kilowait.core.submission import Ending, checked
from kilowait.core.tasks.array_request import ArrayRequest, TaskAsked
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.live_world import request, seen

WELL, BADLY = Ending(exit_code=0), Ending(exit_code=1, reason="it left with 1")


@pytest.fixture
def live(tmp_path):
    controller = Controller(Store(f"{tmp_path}/kilowait.db"), simple(), order=("A",))
    controller.node_joined("n1", "A", 4, 0.0)
    yield controller
    controller.store.close()


def submit(live, key, *after, **fields):
    return live.submit(request(key, predictions=seen(A=(10, 1)), after=after, **fields), 1.0)


def end(live, job_id, ending=WELL, now_s=9.0):
    token = live.running(job_id).token
    live.attempt_finished(job_id, live.running(job_id).attempt, token, ending, now_s)


def started(live, now_s=2.0):
    return [attempt.job_id for attempt in live.decide(now_s)]


def state(live, job_id):
    return live.store.job(job_id)["state"], live.store.job(job_id)["reason"]


def test_a_diamond_runs_in_its_order(live):
    first = submit(live, "a")
    left, right = submit(live, "b", first), submit(live, "c", first)
    last = submit(live, "d", left, right)
    assert started(live) == [first]
    end(live, first)
    assert started(live, 10.0) == [left, right]
    end(live, right, now_s=11.0)
    assert started(live, 12.0) == []
    end(live, left, now_s=13.0)
    assert live.cluster.waiting[last].waits_since_s == 13.0
    assert started(live, 14.0) == [last]


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_what_waits_in_vain_is_given_up_all_down_the_chain_and_says_why(live, how):
    first = submit(live, "a")
    second = submit(live, "b", first)
    third, whatever = submit(live, "c", second), submit(live, "d", second, after_any=True)
    started(live)
    if how == "fails":
        end(live, first, BADLY)
    else:
        live.cancel(first, 3.0)
        end(live, first, BADLY)
    ended = "failed" if how == "fails" else "was cancelled"
    assert state(live, second) == ("failed", f"job {first}, after which it was to run, {ended}")
    assert state(live, third) == ("failed", f"job {second}, after which it was to run, failed")
    assert started(live, 10.0) == [whatever]


def test_a_chain_of_any_length_is_given_up_whole(live):
    chain = [submit(live, "0")]
    for n in range(1, 1500):
        chain.append(submit(live, f"{n}", chain[-1]))
    live.cancel(chain[0], 3.0)
    assert state(live, chain[-1]) == ("failed", f"job {chain[-2]}, after which it was to run, failed")
    assert list(live.cluster.lines) == []
    assert live.cluster.over >= set(chain)


def test_what_runs_after_two_of_a_chain_is_given_up_once(live):
    first = submit(live, "a")
    second = submit(live, "b", first)
    third = submit(live, "c", first, second)
    live.cancel(first, 3.0)
    said = f"job {first}, after which it was to run, was cancelled"
    assert state(live, second) == state(live, third) == ("failed", said)


def test_an_attempt_that_is_tried_again_is_no_end(live):
    first = submit(live, "a")
    second = submit(live, "b", first)
    started(live)
    end(live, first, Ending(reason="its node was lost", lost=True))
    assert started(live, 10.0) == [first]
    end(live, first, now_s=11.0)
    assert started(live, 12.0) == [second]


def test_a_restart_and_a_cancellation_know_who_stands_aside(live):
    first = submit(live, "a")
    second, third = submit(live, "b", first), submit(live, "c", first)
    again = Controller(live.store, simple(), order=("A",))
    assert {one.job.job_id for one in again.cluster.lines} == {second, third}
    again.cancel(second, 3.0)
    assert state(again, second) == ("cancelled", None)
    assert started(again, 4.0) == [first]
    end(again, first)
    assert started(again, 10.0) == [third]


def test_all_of_a_chain_are_cancelled_where_all_are_meant(live):
    first = submit(live, "a")
    second = submit(live, "b", first)
    assert live.cancel_all([first, second], 2.0) == {first: None, second: None}
    assert (state(live, first), state(live, second)) == (("cancelled", None), ("cancelled", None))


def test_a_job_runs_after_all_tasks_of_an_array_and_an_array_after_a_job(live):
    alike = {"arguments": (), "environment": {}, "predictions": seen(A=(10, 1)), "content_hash": "h"}
    first = submit(live, "a")
    asked = ArrayRequest(
        request=request("array", predictions=seen(A=(10, 1)), after=(first,)),
        tasks=tuple(TaskAsked(task=n, **alike) for n in range(3)),
        at_once=2,
    )
    array_id, tasks = live.submit_array(asked, 1.0)
    last = submit(live, "z", array_id)
    assert started(live) == [first]
    end(live, first)
    assert started(live, 10.0) == list(tasks[:2])
    end(live, tasks[0], now_s=11.0)
    end(live, tasks[1], now_s=12.0)
    assert started(live, 13.0) == [tasks[2]]
    end(live, tasks[2], now_s=14.0)
    assert started(live, 15.0) == [last]
    assert live.submit_array(asked, 16.0) == (array_id, tasks)


def test_parents_that_are_over_unknown_or_anothers(live):
    done, failed, others = submit(live, "a"), submit(live, "b"), submit(live, "c", user="bob")
    assert started(live) == [done, failed, others]
    end(live, done)
    end(live, failed, BADLY)
    for after in ("job-99999999", others, "array-00000001", "x"):
        with pytest.raises(InputError, match="no job of yours"):
            submit(live, f"k{after}", after)
    with pytest.raises(InputError, match="it is failed"):
        submit(live, "e", failed)
    assert started(live, 10.0) == []
    go = [submit(live, "f", done), submit(live, "g", failed, after_any=True)]
    assert started(live, 11.0) == go


def test_what_a_job_runs_after_is_a_part_of_what_is_asked_for():
    assert checked(request("k")) != checked(request("k", after=("job-1",))) != checked(request("k", after=("job-2",)))
