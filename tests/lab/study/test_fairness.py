"""Fairness of schedules worked out by hand."""

import pytest

from kilowait.lab.study.fairness import Fairness, fairness, jain_index
from kilowait.policies.simple import simple
from kilowait.simulate.loop import simulate
from tests.support.timelines import job


def of(inventory, *jobs):
    return fairness(simulate(jobs, inventory, simple()), jobs)


def test_the_index_by_hand():
    assert jain_index([3, 3, 3]) == pytest.approx(1)
    assert jain_index([1, 0, 0, 0]) == pytest.approx(0.25)
    assert jain_index([1, 3]) == pytest.approx(16 / 20)
    assert jain_index([]) == 1


def test_three_jobs_on_one_gpu():
    # a: 0..100, slowdown 1; b: 0..100..200, slowdown 2; c: waits 200 for its 1 s, slowdown 201, bounded 201 / 10
    found = of({"A": 1}, job("a", A=(100, 1)), job("b", A=(100, 1)), job("c", A=(1, 1)))
    assert found.jain == pytest.approx((1 + 2 + 201) ** 2 / (3 * (1 + 4 + 201**2)))
    assert found.users == 0
    # bounded slowdowns 1, 2, 20.1: the 99th percentile lies 0.98 of the way from the second to the third
    assert found.p99_bounded_slowdown == pytest.approx(2 + 0.98 * 18.1)


def test_a_job_shorter_than_the_bound_is_not_sped_up():
    assert of({"A": 1}, job("a", A=(1, 1))).p99_bounded_slowdown == 1


def test_users_count_by_their_mean():
    # u has slowdowns 1 and 2, mean 1.5; v has 3
    jobs = (job("a", A=(100, 1), user="u"), job("b", A=(100, 1), user="u"), job("c", A=(100, 1), user="v"))
    found = of({"A": 1}, *jobs)
    assert found.users == 2
    assert found.jain == pytest.approx(4.5**2 / (2 * (1.5**2 + 3**2)))


def test_one_job_of_nobody_makes_it_jobs_again():
    found = of({"A": 1}, job("a", A=(100, 1), user="u"), job("b", A=(100, 1)))
    assert found.users == 0
    assert found.jain == pytest.approx(9 / (2 * 5))


def test_a_slower_type_counts_as_slowdown_unless_the_fast_one_could_never_do():
    # b starts at once on B, where it takes three times as long as on A
    found = of({"A": 1, "B": 1}, job("a", A=(100, 1)), job("b", A=(100, 1), B=(300, 1)))
    assert found.jain == pytest.approx((1 + 3) ** 2 / (2 * (1 + 9)))
    assert of({"A": 1, "B": 2}, job("w", gpus=2, A=(100, 1), B=(300, 1))).p99_bounded_slowdown == 1


def test_refused_jobs_do_not_count_and_no_jobs_are_fair():
    assert of({"A": 1}, job("wide", gpus=5, A=(10, 1)), job("a", A=(20, 1))).jain == 1
    assert of({"A": 1}) == Fairness(jain=1, users=0, p99_bounded_slowdown=0)
