"""Timelines of each policy that can be checked in the head: (job, type, start, end) in the order decided."""

import math

import pytest

from kilowait.core.errors import InputError
from kilowait.policies import POLICIES, Place
from kilowait.policies.greedy import greedy
from kilowait.policies.simple import simple
from kilowait.policies.value import value
from kilowait.simulate.loop import simulate
from tests.support.timelines import job, timeline


def test_simple_takes_the_most_powerful_free_type():
    jobs = [job("x", A=(10, 1), B=(20, 1)), job("y", A=(10, 1), B=(20, 1)), job("z", 1, A=(5, 1), B=(5, 1))]
    assert timeline(simple(), {"A": 1, "B": 1}, *jobs) == [("x", "A", 0, 10), ("y", "B", 0, 20), ("z", "A", 10, 15)]


def test_simple_orders_types_by_the_inventory_not_by_speed():
    assert timeline(simple(), {"B": 1, "A": 1}, job("x", A=(1, 1), B=(9, 9))) == [("x", "B", 0, 9)]


def test_simple_lets_everything_wait_behind_the_head():
    jobs = [job("a", A=(10, 1)), job("b", 1, gpus=2, A=(10, 1)), job("c", 2, A=(1, 1), B=(1, 1))]
    expected = [("a", "A", 0, 10), ("b", "A", 10, 20), ("c", "B", 10, 11)]
    assert timeline(simple(), {"A": 2, "B": 1}, *jobs) == expected


def test_simple_respects_disallowed_types_and_gpu_counts_by_type():
    b_only = job("b-only", B=(4, 1))
    four_on_a = job("four-on-A", 1, gpus=1, gpus_by_type={"A": 4}, A=(2, 1), B=(8, 1))
    expected = [("b-only", "B", 0, 4), ("four-on-A", "B", 4, 12)]  # A has 3: never enough
    assert timeline(simple(), {"A": 3, "B": 1}, b_only, four_on_a) == expected
    assert timeline(simple(), {"A": 4, "B": 1}, b_only, four_on_a)[1] == ("four-on-A", "A", 1, 3)


def test_greedy_waits_for_its_own_type_and_blocks_the_queue():
    # cost = t + 2e: x 10+2 on A against 11+8 on B; y the same; z 30 on A against 3 on B
    jobs = [job(i, A=(10, 1), B=(11, 4)) for i in "xy"] + [job("z", 1, A=(30, 0), B=(1, 1))]
    expected = [("x", "A", 0, 10), ("y", "A", 10, 20), ("z", "B", 10, 11)]
    assert timeline(greedy(alpha=1, gamma=2), {"A": 1, "B": 1}, *jobs) == expected


def test_greedy_weighs_seconds_by_alpha_and_kwh_by_gamma():
    fast_or_frugal = job("j", A=(10, 5), B=(20, 1))
    inventory = {"A": 1, "B": 1}
    assert timeline(greedy(alpha=1, gamma=0), inventory, fast_or_frugal)[0][1] == "A"
    assert timeline(greedy(alpha=0, gamma=1), inventory, fast_or_frugal)[0][1] == "B"
    assert timeline(greedy(alpha=1, gamma=2.5), inventory, fast_or_frugal)[0][1] == "A"  # 22.5 both: earlier type
    assert timeline(greedy(alpha=1, gamma=2.75), inventory, fast_or_frugal)[0][1] == "B"  # 23.75 against 22.75


def test_greedy_leaves_out_a_type_that_is_too_small_in_total():
    wide = job("wide", gpus=2, A=(1, 1), B=(50, 1))
    assert timeline(greedy(), {"A": 1, "B": 2}, wide) == [("wide", "B", 0, 50)]


def test_value_places_the_best_pair_first_and_backfills_whatever_fits():
    # kappa 0: value is 1 / (GPUs x seconds)
    jobs = [
        job("long", A=(100, 1)),  # 1/100
        job("wide", gpus=2, A=(10, 1)),  # 1/20, 2 GPUs
        job("late", 1, A=(5, 1)),  # 1/5
    ]
    # at 0 wide takes both GPUs; at 10 late goes before long
    expected = [("wide", "A", 0, 10), ("late", "A", 10, 15), ("long", "A", 10, 110)]
    assert timeline(value(kappa=0), {"A": 2}, *jobs) == expected


def test_value_starts_a_small_job_in_front_of_a_wide_one_that_does_not_fit():
    jobs = [job("runs", A=(10, 1)), job("wide", 1, gpus=2, A=(1, 1)), job("small", 2, A=(100, 1))]
    expected = [("runs", "A", 0, 10), ("small", "A", 2, 102), ("wide", "A", 102, 103)]
    assert timeline(value(kappa=0), {"A": 2}, *jobs) == expected


def test_value_takes_the_frugal_type_when_kappa_is_high():
    both = job("j", A=(4, 3), B=(8, 1))  # 1/4 - 3k against 1/8 - k: equal at k = 1/16
    inventory = {"A": 1, "B": 1}
    assert timeline(value(kappa=0.05), inventory, both)[0][1] == "A"
    assert timeline(value(kappa=0.07), inventory, both)[0][1] == "B"
    assert timeline(value(kappa=0.0625), inventory, both)[0][1] == "A"  # a tie goes to the earlier type


def test_value_places_pairs_of_negative_value_too():
    # kappa 1: dear 1/2 - 8 on A and 1/10 - 8 on B, frugal 1/2 - 3
    jobs = [job("dear", A=(2, 8), B=(10, 8)), job("frugal", A=(2, 3))]
    expected = [("frugal", "A", 0, 2), ("dear", "B", 0, 10)]
    assert timeline(value(kappa=1), {"A": 1, "B": 1}, *jobs) == expected


def test_value_counts_gpus_of_the_type_in_the_value():
    # 1/(4*5) on A against 1/(1*10) on B
    j = job("j", gpus=1, gpus_by_type={"A": 4}, A=(5, 1), B=(10, 1))
    assert timeline(value(kappa=0), {"A": 4, "B": 1}, j) == [("j", "B", 0, 10)]


def test_value_ties_go_to_the_earlier_submitted_then_to_the_smaller_id_as_text():
    same = {"A": (10, 1)}
    jobs = [job("early", 1, **same), job("9", 2, **same), job("10", 2, **same), job("first", 0, A=(5, 1))]
    order = [job_id for job_id, *_ in timeline(value(kappa=0.01), {"A": 1}, *jobs)]
    assert order == ["first", "early", "10", "9"]


@pytest.mark.parametrize("policy", [simple(), greedy(), value(kappa=0.001)], ids=lambda p: p.__name__)
def test_completions_and_arrivals_of_an_instant_are_one_decision(policy):
    # at 10 the GPU comes back and two jobs arrive; the decision sees all three events
    jobs = [job("x", A=(10, 1)), job("b", 10, A=(7, 1)), job("a", 10, A=(7, 1))]
    expected = [("x", "A", 0, 10), ("a", "A", 10, 17), ("b", "A", 17, 24)]
    assert timeline(policy, {"A": 1}, *jobs) == expected


def test_an_arrival_at_the_instant_of_a_completion_competes_for_the_gpu_at_once():
    jobs = [job("x", A=(10, 1)), job("long", 1, A=(50, 1)), job("short", 10, A=(2, 1))]
    expected = [("x", "A", 0, 10), ("short", "A", 10, 12), ("long", "A", 12, 62)]
    assert timeline(value(kappa=0), {"A": 1}, *jobs) == expected


def test_the_policy_decides_by_what_it_sees_and_time_passes_by_the_truth():
    liar = job("liar", A=(100, 1), seen={"A": (1, 1)})
    honest = job("honest", A=(10, 1))
    expected = [("liar", "A", 0, 100), ("honest", "A", 100, 110)]
    assert timeline(value(kappa=0), {"A": 1}, honest, liar) == expected


def test_a_round_may_place_several_jobs_and_changes_nothing_itself():
    rounds = []

    def spy(cluster):
        before = cluster.snapshot()
        rounds.append(inner(cluster))
        assert cluster.snapshot() == before
        return rounds[-1]

    inner = value(kappa=0)
    simulate([job("a", A=(1, 1)), job("b", A=(2, 1))], {"A": 2}, spy)
    assert rounds[0] == [Place(job_id="a", gpu_type="A"), Place(job_id="b", gpu_type="A")]


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    ("name", "parameter", "others"),
    [
        ("greedy", "alpha", {}),
        ("greedy", "gamma", {}),
        ("value", "kappa", {}),
        ("value_aging", "kappa", {}),
        ("value_aging", "limit_s", {"kappa": 0}),
        ("patient", "wait_s_per_kwh", {}),
        ("patient", "congestion", {}),
        ("patient", "error_sd", {}),
    ],
)
def test_a_bad_weight_is_refused_by_name(name, parameter, others, bad):
    with pytest.raises(InputError, match=f"{parameter} must be finite and >= 0, got {bad}"):
        POLICIES[name](**{parameter: bad}, **others)


def test_the_registry_names_each_policy_as_it_names_itself():
    names = ["simple", "greedy", "value", "sjf", "easy", "conservative", "value_aging", "fair", "patient"]
    names += ["anticipatory", "milp", "value_cvar", "gavel", "srpt"]
    assert list(POLICIES) == names
    needed = {name: {"kappa": 0} for name in ("value", "value_aging", "value_cvar")}
    assert [factory(**needed.get(name, {})).__name__ for name, factory in POLICIES.items()] == names
