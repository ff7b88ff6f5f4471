"""EASY and conservative backfill: timelines that can be checked in the head, (job, type, start, end) as decided."""

from kilowait.policies.conservative import conservative
from kilowait.policies.easy import easy
from tests.support.timelines import job, timeline


def test_easy_lets_a_job_pass_that_ends_by_the_shadow_time():
    # the head needs all 4 GPUs at 10. From 2 on, 9 s would end at 11 and 8 s end at 10
    jobs = [
        job("running", gpus=2, A=(10, 1)),
        job("head", 1, gpus=4, A=(5, 1)),
        job("nine", 2, gpus=2, A=(9, 1)),
        job("ten-minus-two", 2, gpus=2, A=(8, 1)),
    ]
    assert timeline(easy(), {"A": 4}, *jobs) == [
        ("running", "A", 0, 10),
        ("ten-minus-two", "A", 2, 10),
        ("head", "A", 10, 15),
        ("nine", "A", 15, 24),
    ]


def test_easy_lends_the_extra_gpus_for_any_time_and_only_once():
    # at 10 all 5 are free and the head takes 4: one is extra. Two are free before
    jobs = [
        job("running", gpus=3, A=(10, 1)),
        job("head", 1, gpus=4, A=(5, 1)),
        job("long", 2, A=(100, 1)),  # on the extra GPU
        job("other-long", 3, A=(100, 1)),  # a GPU is free, but not extra any more
        job("short", 4, A=(6, 1)),  # ends at 10
    ]
    assert timeline(easy(), {"A": 5}, *jobs) == [
        ("running", "A", 0, 10),
        ("long", "A", 2, 102),
        ("short", "A", 4, 10),
        ("head", "A", 10, 15),
        ("other-long", "A", 15, 115),
    ]


def test_easys_head_waits_for_the_type_where_it_ends_first_and_others_pass_on_the_other():
    # at 1 the head would end at 4 + 2 = 6 on A and at 1 + 9 = 10 on B
    jobs = [job("running", A=(4, 1)), job("head", 1, A=(2, 1), B=(9, 1)), job("late", 2, A=(1, 1), B=(50, 1))]
    assert timeline(easy(), {"A": 1, "B": 1}, *jobs) == [
        ("running", "A", 0, 4),
        ("late", "B", 2, 52),
        ("head", "A", 4, 6),
    ]


def test_easys_head_takes_the_slower_type_when_it_ends_there_first_and_the_first_type_of_two_alike():
    # at 1: on A 8 + 2 = 10; on B 1 + 8 = 9. The second: on A 8 + 1 = 9, on B 9 + 9 = 18
    jobs = [job("running", A=(8, 1)), job("head", 1, A=(2, 1), B=(8, 1)), job("next", 1, A=(1, 1), B=(9, 1))]
    assert timeline(easy(), {"A": 1, "B": 1}, *jobs)[1:] == [("head", "B", 1, 9), ("next", "A", 8, 9)]
    # at 1: on A 8 + 2 and on B 1 + 9 are both 10
    assert timeline(easy(), {"A": 1, "B": 1}, jobs[0], job("tie", 1, A=(2, 1), B=(9, 1)))[1] == ("tie", "A", 8, 10)


def test_easy_backfills_on_the_fastest_type_that_does_no_harm():
    # the head waits for both A until 10; small is faster on A but would hold it until 11
    jobs = [job("running", A=(10, 1)), job("head", 1, gpus=2, A=(5, 1)), job("small", 2, A=(9, 1), B=(20, 1))]
    assert timeline(easy(), {"A": 2, "B": 1}, *jobs)[1] == ("small", "B", 2, 22)
    jobs[2] = job("small", 2, A=(8, 1), B=(20, 1))
    assert timeline(easy(), {"A": 2, "B": 1}, *jobs)[1] == ("small", "A", 2, 10)


def test_easy_takes_an_overrun_job_to_need_twice_as_long_and_twice_that():
    # predicted until 3, runs until 10. At 5 it is expected until 6, and 2 s more would delay the head; at 6 until 12
    jobs = [
        job("overrun", A=(10, 1), seen={"A": (3, 1)}),
        job("head", 4, gpus=2, A=(1, 1)),
        job("second", 5, A=(2, 1)),
    ]
    assert timeline(easy(), {"A": 2}, *jobs) == [
        ("overrun", "A", 0, 10),
        ("second", "A", 6, 8),  # though nothing ended and nobody came
        ("head", "A", 10, 11),
    ]


def test_easys_head_starts_at_once_when_a_job_ends_early():
    jobs = [job("early", A=(3, 1), seen={"A": (10, 1)}), job("head", 1, gpus=2, A=(1, 1))]
    assert timeline(easy(), {"A": 2}, *jobs) == [("early", "A", 0, 3), ("head", "A", 3, 4)]


# 3 of 4 GPUs run until 4. first takes 3 then, until 8; second takes all 4.
SECOND_HAS_A_RESERVATION = [
    job("running", gpus=3, A=(4, 1)),
    job("first", 1, gpus=3, A=(4, 1)),
    job("second", 1, gpus=4, A=(2, 1)),
    job("ten", 2, A=(10, 1)),
    job("five", 3, A=(5, 1)),
]


def test_easy_delays_the_second_in_the_queue():
    # ten is on the one extra GPU until 12, so second starts at 12 and not at 8
    assert timeline(easy(), {"A": 4}, *SECOND_HAS_A_RESERVATION) == [
        ("running", "A", 0, 4),
        ("ten", "A", 2, 12),
        ("first", "A", 4, 8),
        ("second", "A", 12, 14),
        ("five", "A", 14, 19),
    ]


def test_conservative_delays_nobody_in_the_queue():
    # second has 8 to 10, so ten must wait for 10; five fits before, from 3 to 8
    assert timeline(conservative(), {"A": 4}, *SECOND_HAS_A_RESERVATION) == [
        ("running", "A", 0, 4),
        ("five", "A", 3, 8),
        ("first", "A", 4, 8),
        ("second", "A", 8, 10),
        ("ten", "A", 10, 20),
    ]


def test_conservative_reserves_the_type_where_a_job_ends_first():
    jobs = [
        job("running", A=(6, 1)),
        job("y", 1, A=(2, 1), B=(9, 1)),  # A: 6 to 8; B would end at 10
        job("z", 2, A=(2, 1), B=(7, 1)),  # A would end at 10; B: 2 to 9
        job("w", 3, A=(1, 1), B=(1, 1)),  # A: 8 to 9; B would end at 10
    ]
    assert timeline(conservative(), {"A": 1, "B": 1}, *jobs) == [
        ("running", "A", 0, 6),
        ("z", "B", 2, 9),
        ("y", "A", 6, 8),
        ("w", "A", 8, 9),
    ]


def test_under_conservative_all_move_forward_when_a_job_ends_early():
    # reserved from 10 and 15 on
    jobs = [
        job("early", gpus=2, A=(4, 1), seen={"A": (10, 1)}),
        job("next", 1, gpus=2, A=(5, 1)),
        job("last", 2, gpus=2, A=(1, 1)),
    ]
    assert timeline(conservative(), {"A": 2}, *jobs)[1:] == [("next", "A", 4, 9), ("last", "A", 9, 10)]


def test_under_conservative_reservations_move_back_when_the_estimate_of_an_overrun_job_is_renewed():
    # at 5 it is expected until 6: wide has 6 to 8, and small would be in its way; at 6 until 12, and small ends before
    jobs = [
        job("overrun", A=(10, 1), seen={"A": (3, 1)}),
        job("wide", 4, gpus=2, A=(2, 1)),
        job("small", 5, A=(2, 1)),
    ]
    assert timeline(conservative(), {"A": 2}, *jobs) == [
        ("overrun", "A", 0, 10),
        ("small", "A", 6, 8),
        ("wide", "A", 10, 12),
    ]
