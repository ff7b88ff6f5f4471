"""Relative kappa: scale cancels, decisions worked out by hand, equal jobs keep their order, and a log replays."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.cluster.advance import replay
from kilowait.cluster.views.scale import Scale
from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.policies.value import value
from kilowait.policies.value_aging import value_aging
from kilowait.simulate.loop import simulate
from tests.support.examples import examples
from tests.support.random_worlds import worlds
from tests.support.timelines import job, timeline

ODD = math.pi / 4
"""A weight at which no two different pairs of small whole numbers have exactly the same value."""


def grown(*pairs):
    """The scale after jobs of one GPU on one type, each (seconds, kWh)."""
    scale = Scale()
    for runtime_s, energy_kwh in pairs:
        scale.add({"A": Prediction(runtime_s=runtime_s, energy_kwh=energy_kwh)}, {"A": 1})
    return scale


class TestScale:
    def test_it_is_the_geometric_mean_over_pairs_in_gpu_seconds_and_kwh(self):
        seen = {"A": Prediction(runtime_s=1, energy_kwh=9), "B": Prediction(runtime_s=8, energy_kwh=1)}
        scale = Scale()
        scale.add(seen, {"A": 2, "B": 1})  # 2 and 8 GPU-seconds, 9 and 1 kWh
        assert (scale.gpu_s, scale.energy_kwh) == (pytest.approx(4), pytest.approx(3))

    def test_it_stands_until_it_is_off_by_more_than_a_tenth(self):
        assert grown((100, 1)).gpu_s == pytest.approx(100)
        assert grown((100, 1), (110, 1)).gpu_s == pytest.approx(100)  # the mean is 104.9
        assert grown((100, 1), (144, 1)).gpu_s == pytest.approx(120)
        assert grown((100, 1), (64, 1)).gpu_s == pytest.approx(80)
        assert grown((100, 1), (144, 1), (120, 1)).gpu_s == pytest.approx(120)

    def test_one_giant_job_among_many_moves_it_little(self):
        assert grown(*[(100, 1)] * 99, (1e8, 1)).gpu_s == pytest.approx(100 * 1e6**0.01)  # 115

    def test_pairs_without_energy_count_for_time_alone(self):
        assert grown((4, 0)).energy_kwh == 0
        later = grown((4, 0), (9, 5))
        assert (later.gpu_s, later.energy_kwh) == (pytest.approx(6), pytest.approx(5))

    def test_the_longest_jobs_that_a_float_can_say_do_not_overflow(self):
        seen = {"A": Prediction(runtime_s=1e308, energy_kwh=1e308)}
        scale = Scale()
        scale.add(seen, {"A": 64})
        assert math.isfinite(scale.gpu_s * 1e-300)


class TestDecisions:
    def test_a_job_alone_switches_type_where_its_two_values_meet(self):
        # s = sqrt(2 * 8) = 4, E = sqrt(9 * 1) = 3: 4/2 - 9k/3 on A, 4/8 - k/3 on B, equal at k = 9/16
        both, inventory = job("j", A=(2, 9), B=(8, 1)), {"A": 1, "B": 1}
        assert timeline(value(kappa_relative=0.55), inventory, both)[0][1] == "A"
        assert timeline(value(kappa_relative=0.57), inventory, both)[0][1] == "B"

    @pytest.mark.parametrize(("kappa_relative", "gpu_type"), [(1.1, "A"), (1.15, "B")])
    def test_jobs_submitted_before_set_the_scale(self, kappa_relative, gpu_type):
        # s = cbrt(32 * 2 * 8) = 8, E = cbrt(3 * 9 * 1) = 3: 8/2 - 3k on A, 8/8 - k/3 on B, equal at k = 9/8
        jobs = [job("old", C=(32, 3)), job("j", 1, A=(2, 9), B=(8, 1))]
        run = timeline(value(kappa_relative=kappa_relative), {"A": 1, "B": 1, "C": 1}, *jobs)
        assert run[1][:2] == ("j", gpu_type)

    @pytest.mark.parametrize("policy", [value(kappa_relative=1), value_aging(kappa_relative=1, limit_s=1e9)])
    def test_equal_jobs_keep_their_order_while_the_scale_moves(self, policy):
        same = {"A": (10, 5)}
        jobs = [job("runs", A=(100, 1)), job("z", 1, **same), job("m", 2, **same), job("a", 3, **same)]
        giants = [job(f"giant-{k}", 2.5, A=(1e5, 1e3)) for k in range(3)]
        order = [job_id for job_id, *_ in timeline(policy, {"A": 1}, *jobs, *giants)]
        assert order[:4] == ["runs", "z", "m", "a"]

    def test_without_energies_the_shortest_goes_first(self):
        jobs = [job("runs", A=(9, 0)), job("long", 1, A=(8, 0)), job("short", 2, A=(3, 0))]
        order = [job_id for job_id, *_ in timeline(value(kappa_relative=5), {"A": 1}, *jobs)]
        assert order == ["runs", "short", "long"]

    def test_one_policy_serves_clusters_of_different_scales(self):
        policy, both = value(kappa_relative=0.57), job("j", A=(2, 9), B=(8, 1))
        assert timeline(policy, {"A": 1}, job("other", A=(1e4, 1e3)))
        assert timeline(policy, {"A": 1, "B": 1}, both)[0][1] == "B"


def scaled(submissions, times, energies):
    """The same jobs with every time and every energy multiplied."""

    def table(numbers):
        return {
            t: Prediction(runtime_s=p.runtime_s * times, energy_kwh=p.energy_kwh * energies) for t, p in numbers.items()
        }

    return [
        replace(
            s, job=replace(s.job, submit_s=s.job.submit_s * times), truth=table(s.truth), seen=table(s.seen)
        )
        for s in submissions
    ]  # fmt: skip


factors = st.builds(lambda whole, power: whole * 2.0**power, st.integers(1, 999), st.integers(-30, 30))
"""Factors by which small whole numbers multiply without rounding, so that ties stay ties."""


@settings(max_examples=examples(300))
@given(worlds(), factors, factors)
def test_multiplying_all_times_and_all_energies_changes_no_placement(world, times, energies):
    inventory, submissions = world
    before = simulate(submissions, inventory, value(kappa_relative=ODD)).placements
    after = simulate(scaled(submissions, times, energies), inventory, value(kappa_relative=ODD)).placements
    assert [(p.job_id, p.gpu_type, p.start_s) for p in after] == [
        (p.job_id, p.gpu_type, p.start_s * times) for p in before
    ]


@settings(max_examples=examples(150))
@given(worlds())
def test_a_replayed_log_leads_a_fresh_policy_to_the_same_decisions(world):
    inventory, submissions = world
    policy, rounds = value(kappa_relative=ODD), []

    def spy(cluster):
        state = cluster.snapshot()
        rounds.append((state, policy(cluster)))
        return rounds[-1][1]

    events = simulate(submissions, inventory, spy).events
    clusters = [replay(events[:length]) for length in range(len(events) + 1)]
    for state, decisions in rounds:
        if state.total == inventory:
            again = next(c for c in clusters if c.snapshot() == state)
            assert value(kappa_relative=ODD)(again) == decisions


@pytest.mark.parametrize("factory", [value, value_aging])
@pytest.mark.parametrize(
    ("kappas", "message"),
    [
        ({}, r"kappa \(per kWh\) or kappa_relative, got neither"),
        ({"kappa": 0.5, "kappa_relative": 2.0}, "kappa or kappa_relative, not both: got 0.5 and 2.0"),
        ({"kappa_relative": -1.0}, r"kappa_relative must be finite and >= 0, got -1\.0"),
        ({"kappa_relative": math.nan}, "kappa_relative must be finite and >= 0, got nan"),
    ],
)
def test_exactly_one_kappa_in_range_is_taken(factory, kappas, message):
    with pytest.raises(InputError, match=message):
        factory(**kappas)
