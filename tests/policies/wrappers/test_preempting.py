"""More urgent jobs take the boards of less urgent ones that go on from checkpoints: by hand, on two boards."""

import pytest

from kilowait.core.errors import InputError
from kilowait.policies import POLICIES
from kilowait.policies.wrappers.preempting import preempting
from kilowait.simulate.loop import simulate
from tests.support.timelines import job


def placed(*jobs, quantum_s=0.0, policy="simple"):
    run = simulate(jobs, {"A": 2}, preempting(POLICIES[policy](), quantum_s))
    return [(p.job_id, p.attempt, p.start_s, p.end_s) for p in run.placements]


LOW = {"priority": -1, "checkpoint_s": 1.0}


def test_the_least_urgent_and_of_these_the_last_gives_way_and_goes_on_later():
    jobs = job("first", A=(50, 1), checkpoint_s=1.0), job("last", 1, A=(50, 1), checkpoint_s=1.0)
    urgent = job("urgent", 10, A=(20, 1), priority=1)
    assert placed(*jobs, urgent) == [
        ("first", 1, 0, 50),
        ("last", 1, 1, 10),
        ("urgent", 1, 10, 30),
        ("last", 2, 30, 72),  # a second to go on, 41 s of work
    ]
    lower = job("first", A=(50, 1), **LOW)
    assert placed(lower, jobs[1], urgent)[1:3] == [("last", 1, 1, 51), ("urgent", 1, 10, 30)]


def test_nobody_gives_way_who_has_no_checkpoint_or_the_same_priority_or_too_few_boards():
    urgent = job("urgent", 10, gpus=2, A=(20, 1), priority=1)
    yields, stays = job("a", A=(50, 1), checkpoint_s=1.0), job("b", A=(60, 1))
    assert placed(yields, stays, urgent)[2] == ("urgent", 1, 60, 80)
    alike = job("alike", 10, A=(20, 1))
    assert placed(yields, stays, alike)[2] == ("alike", 1, 50, 70)


def test_nobody_gives_way_before_its_quantum():
    urgent = job("urgent", 10, A=(20, 1), priority=1)
    low = job("a", gpus=2, A=(50, 1), checkpoint_s=1.0)
    assert placed(low, urgent, quantum_s=15.0)[1] == ("urgent", 1, 15, 35)
    with pytest.raises(InputError, match="the quantum must be >= 0"):
        preempting(POLICIES["simple"](), -1.0)


def test_boards_that_are_left_over_are_given_to_others_at_once():
    low = job("low", gpus=2, A=(50, 1), **LOW)
    found = placed(low, job("small", 5, A=(8, 1), priority=-2), job("urgent", 10, A=(20, 1), priority=1), policy="sjf")
    assert found[1] == ("urgent", 1, 10, 30)
    assert found[2] == ("small", 1, pytest.approx(10), pytest.approx(18))
