"""Shortest first, aging and fair share: timelines that can be checked in the head."""

import math

import pytest

from kilowait.core.errors import InputError
from kilowait.policies.fair import fair
from kilowait.policies.sjf import sjf
from kilowait.policies.value import value
from kilowait.policies.value_aging import value_aging
from tests.support.timelines import job, timeline


def starts(policy, inventory, *jobs):
    return {job_id: start_s for job_id, _, start_s, _ in timeline(policy, inventory, *jobs)}


class TestShortestFirst:
    def test_the_shortest_job_goes_first(self):
        jobs = [job("long", A=(10, 1)), job("short", A=(2, 1)), job("mid", A=(5, 1))]
        expected = [("short", "A", 0, 2), ("mid", "A", 2, 7), ("long", "A", 7, 17)]
        assert timeline(sjf(), {"A": 1}, *jobs) == expected

    def test_a_job_takes_its_fastest_free_type(self):
        jobs = [job("x", A=(4, 1), B=(2, 1)), job("y", A=(4, 1), B=(2, 1)), job("z", 1, A=(3, 1), B=(3, 1))]
        # y starts on A at once although B would be free at 2
        assert timeline(sjf(), {"A": 1, "B": 1}, *jobs) == [("x", "B", 0, 2), ("y", "A", 0, 4), ("z", "B", 2, 5)]

    def test_a_job_ranks_by_its_fastest_type_even_while_that_is_busy(self):
        # p counts as 1 s, for B, and takes A for 9; q counts as 5
        jobs = [job("busy", B=(10, 1)), job("q", 1, A=(5, 1)), job("p", 1, A=(9, 1), B=(1, 1))]
        expected = [("busy", "B", 0, 10), ("p", "A", 1, 10), ("q", "A", 10, 15)]
        assert timeline(sjf(), {"A": 1, "B": 1}, *jobs) == expected

    def test_a_longer_job_starts_when_the_shorter_does_not_fit(self):
        jobs = [job("running", A=(10, 1)), job("wide", 1, gpus=2, A=(1, 1)), job("small", 2, A=(100, 1))]
        expected = [("running", "A", 0, 10), ("small", "A", 2, 102), ("wide", "A", 102, 103)]
        assert timeline(sjf(), {"A": 2}, *jobs) == expected

    def test_ties_go_to_the_earlier_in_the_queue_then_to_the_earlier_type(self):
        same = {"A": (3, 1), "B": (3, 1)}
        jobs = [job("b", **same), job("a", **same), job("c", **same)]
        assert timeline(sjf(), {"B": 1, "A": 1}, *jobs) == [("a", "B", 0, 3), ("b", "A", 0, 3), ("c", "B", 3, 6)]


# 2 GPUs; a job of one GPU and 4 s comes every 2 s, so that one GPU is always taken; wide wants both
STREAM = [job(f"s{k:02}", 2 * k, A=(4, 1)) for k in range(20)]
WIDE = job("wide", 1, gpus=2, A=(4, 1))


class TestValueWithAging:
    def test_a_wide_job_starves_under_value_and_not_with_aging(self):
        assert starts(value(kappa=0), {"A": 2}, *STREAM, WIDE)["wide"] == 38 + 4  # after the last of the stream
        aged = starts(value_aging(kappa=0, limit_s=5), {"A": 2}, *STREAM, WIDE)
        # overdue at 6, when s02 (since 4) runs until 8; s03 comes at 6 and waits although a GPU is free
        assert (aged["s02"], aged["wide"], aged["s03"]) == (4, 8, 12)

    def test_before_the_limit_it_is_value(self):
        jobs = [*STREAM, WIDE]
        calm = value_aging(kappa=0, limit_s=1000)
        assert timeline(calm, {"A": 2}, *jobs) == timeline(value(kappa=0), {"A": 2}, *jobs)

    def test_only_the_most_valuable_type_is_held(self):
        # wide is worth 1/8 on A and 1/40 on B: A is held from 6 on, B is not
        jobs = [
            job("a", A=(9, 1)),
            job("b", B=(9, 1)),
            job("wide", 1, gpus=2, A=(4, 1), B=(20, 1)),
            job("late", 6, A=(1, 1), B=(30, 1)),
        ]
        assert timeline(value_aging(kappa=0, limit_s=5), {"A": 2, "B": 2}, *jobs)[2:] == [
            ("late", "B", 6, 36),
            ("wide", "A", 9, 13),
        ]

    def test_an_overdue_job_starts_on_another_type_that_fits_first(self):
        # held on A until 90, but B has two free at 9
        jobs = [job("a", A=(90, 1)), job("b", B=(9, 1)), job("wide", 1, gpus=2, A=(4, 1), B=(20, 1))]
        assert timeline(value_aging(kappa=0, limit_s=5), {"A": 2, "B": 2}, *jobs)[2] == ("wide", "B", 9, 29)

    def test_overdue_jobs_go_in_queue_order_not_by_value(self):
        jobs = [job("running", A=(10, 1)), job("slow", 1, A=(50, 1)), job("fast", 2, A=(1, 1))]
        assert starts(value_aging(kappa=0, limit_s=5), {"A": 1}, *jobs) == {"running": 0, "slow": 10, "fast": 60}
        assert starts(value_aging(kappa=0, limit_s=9), {"A": 1}, *jobs)["slow"] == 10  # just overdue
        assert starts(value_aging(kappa=0, limit_s=9.5), {"A": 1}, *jobs) == {"running": 0, "fast": 10, "slow": 11}

    def test_the_bound_is_reached(self):
        # limit 0, one job ahead, both 10 s: wide comes just after two others started, and waits 2 x 10 at most
        jobs = [job("running", A=(10, 1)), job("ahead", 0.001, gpus=2, A=(10, 1)), job("wide", 0.002, gpus=2, A=(1, 1))]
        waited_s = starts(value_aging(kappa=0, limit_s=0), {"A": 2}, *jobs)["wide"] - 0.002
        assert waited_s == pytest.approx(0 + (1 + 1) * 10, abs=0.01)


class TestFairShare:
    def test_the_user_who_holds_less_goes_first(self):
        # at 0 nobody holds anything: a, then v holds less
        jobs = [job(i, user="u", A=(10, 1)) for i in "abc"] + [job("d", user="v", A=(10, 1))]
        assert starts(fair(), {"A": 2}, *jobs) == {"a": 0, "d": 0, "b": 10, "c": 10}

    def test_running_jobs_count(self):
        jobs = [job("x", user="u", A=(10, 1)), job("y", A=(5, 1)), job("a", 1, user="u", A=(7, 1))]
        assert starts(fair(), {"A": 2}, *jobs, job("b", 2, user="v", A=(8, 1))) == {"x": 0, "y": 0, "b": 5, "a": 10}

    def test_weights_divide_the_share(self):
        jobs = [job(i, user="u", A=(10, 1)) for i in "abcd"] + [job(i, user="v", A=(10, 1)) for i in "efg"]
        first_round = [j for j, s in starts(fair(), {"A": 4}, *jobs).items() if s == 0]
        assert first_round == ["a", "e", "b", "f"]
        # of weight 3: 1/12 after a, against 1/4 after e; 2/12 after b
        first_round = [j for j, s in starts(fair(weights={"u": 3}), {"A": 4}, *jobs).items() if s == 0]
        assert first_round == ["a", "e", "b", "c"]

    def test_a_share_is_of_the_scarcest_type_held(self):
        # u holds 2 of 4 B, v the only A: u has less, though it is more GPUs
        jobs = [
            job("u1", user="u", gpus=2, B=(10, 1)),
            job("v1", user="v", A=(10, 1)),
            job("a", 1, user="v", gpus=2, B=(9, 1)),
            job("b", 1, user="u", gpus=2, B=(9, 1)),
        ]
        assert starts(fair(), {"A": 1, "B": 4}, *jobs) == {"u1": 0, "v1": 0, "b": 1, "a": 10}

    def test_priority_comes_before_shares(self):
        jobs = [job("calm", user="v", A=(5, 1)), job("first", user="u", priority=1, A=(5, 1))]
        jobs.append(job("second", user="u", priority=1, A=(5, 1)))
        assert starts(fair(weights={"v": 100}), {"A": 1}, *jobs) == {"first": 0, "second": 5, "calm": 10}

    def test_jobs_without_a_user_are_one_users(self):
        jobs = [job("a", A=(10, 1)), job("b", A=(10, 1)), job("c", user="u", A=(10, 1))]
        assert starts(fair(), {"A": 2}, *jobs) == {"a": 0, "c": 0, "b": 10}

    def test_a_job_that_does_not_fit_keeps_nobody_back(self):
        jobs = [job("x", user="u", A=(10, 1)), job("wide", 1, user="v", gpus=2, A=(1, 1)), job("y", 2, A=(5, 1))]
        assert starts(fair(), {"A": 2}, *jobs) == {"x": 0, "y": 2, "wide": 10}

    @pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf])
    def test_a_bad_weight_is_refused_by_user(self, bad):
        with pytest.raises(InputError, match=f"weights: user ada: must be finite and > 0, got {bad}"):
            fair(weights={"ada": bad})
