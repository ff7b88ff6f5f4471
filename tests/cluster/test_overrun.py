"""When a job that runs longer than it was predicted to is expected to end, and when that is decided about anew."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.cluster.overrun import estimated_end_s
from kilowait.cluster.standing import Active
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.ends import Ends
from kilowait.core.jobs import Job, Prediction
from kilowait.policies.easy import easy
from kilowait.policies.value import value
from kilowait.simulate.ahead import run_ahead
from kilowait.simulate.loop import simulate
from tests.support.timelines import job

E_TO_1645 = math.exp(1.6448536269514722)
"""The 95% quantile of a log-normal with median 1 and deviation 1."""


def running(runtime_s=100.0, high_s=None, placed_s=1000.0, job_id="j"):
    low_s = None if high_s is None else runtime_s / 2
    seen = {"A": Prediction(runtime_s=runtime_s, energy_kwh=1, runtime_low_s=low_s, runtime_high_s=high_s)}
    what = Job(job_id=job_id, submit_s=0)
    return Active(job=what, predictions=seen, whole=seen, attempt=1, gpu_type="A", gpus=1, placed_s=placed_s)


@pytest.mark.parametrize(
    ("elapsed_s", "end_s"),
    [(0, 100), (99, 100), (100, 200), (150, 200), (200, 400), (399, 400), (400, 800), (86_400, 102_400)],
)
def test_without_an_interval_the_estimate_doubles_each_time_it_has_passed(elapsed_s, end_s):
    assert estimated_end_s(running(), 1000 + elapsed_s) == 1000 + end_s


@pytest.mark.parametrize(
    ("elapsed_s", "end_s"),
    [
        (99, 100),
        (100, 100 * math.exp(0.67449)),  # quantiles 75%, 87.5% and 93.75% of the standard normal
        (200, 100 * math.exp(1.15035)),
        (320, 100 * math.exp(1.53412)),
        (500, 100 * E_TO_1645),  # the upper end
        (600, 200 * E_TO_1645),  # and from there on twice that
        (1200, 400 * E_TO_1645),
    ],
)
def test_with_an_interval_it_is_the_median_of_what_is_left_and_doubles_beyond_the_upper_end(elapsed_s, end_s):
    """A deviation of 1: the upper end is e^1.645 times the median."""
    found_s = estimated_end_s(running(high_s=100 * E_TO_1645), 1000 + elapsed_s)
    assert found_s == pytest.approx(1000 + end_s, rel=1e-5)


@pytest.mark.parametrize("sd", [0.3, 1.0, 2.3])
def test_half_of_those_that_outlived_an_estimate_outlive_the_next(sd):
    rng = random.Random(3)
    drawn = [100 * math.exp(rng.gauss(0, sd)) for _ in range(200_000)]
    active, end_s = running(high_s=100 * E_TO_1645**sd), 1100.0
    for _ in range(3):
        alive = [t for t in drawn if 1000 + t > end_s]
        end_s = estimated_end_s(active, end_s)
        assert sum(1000 + t > end_s for t in alive) / len(alive) == pytest.approx(0.5, abs=0.015)


@given(
    st.floats(1e-6, 1e6),
    st.floats(0, 1e9),
    st.floats(0, 1e12),
    st.one_of(st.none(), st.floats(1, 1e4)),
)
def test_no_job_is_ever_expected_to_end_now(runtime_s, placed_s, elapsed_s, width):
    high_s = None if width is None else runtime_s * width
    active, now_s = running(runtime_s, high_s, placed_s), placed_s + elapsed_s
    end_s = estimated_end_s(active, now_s)
    assert now_s < end_s < math.inf
    assert estimated_end_s(active, math.nextafter(end_s, 0)) == end_s or now_s >= math.nextafter(end_s, 0)


def test_an_interval_without_a_width_changes_nothing():
    assert estimated_end_s(running(high_s=100.0), 1150) == estimated_end_s(running(), 1150) == 1200


def test_the_view_is_kept_sorted_while_estimates_are_renewed():
    ends = Ends.of([running(100, job_id="a"), running(30, job_id="b"), running(500, job_id="c")], ["A"], (), 1000)
    assert ends.jobs_by_type["A"] == [(1030, "b"), (1100, "a"), (1500, "c")]
    assert ends.next_s() == 1030
    ends.renew(1130)  # b: 60, 120, 240; a: 200
    assert ends.jobs_by_type["A"] == [(1200, "a"), (1240, "b"), (1500, "c")]
    assert ends.by_type["A"] == [(1200, 1000), (1240, 1000), (1500, 1000)]
    ends.remove(running(100, job_id="a"))
    assert (ends.next_s(), ends.jobs_by_type["A"]) == (1240, [(1240, "b"), (1500, "c")])
    for active in (running(30, job_id="b"), running(500, job_id="c")):
        ends.remove(active)
    assert (ends.next_s(), ends.by_type) == (math.inf, {"A": []})


HUNG = job("hung", A=(1000, 1), seen={"A": (10, 1)})


def decision_times(policy, *jobs, inventory=None):
    times = []

    def spy(cluster):
        times.append(cluster.now_s)
        return policy(cluster)

    simulate(jobs, inventory or {"A": 2}, spy)
    return times


def test_a_planner_decides_whenever_an_estimate_passes_while_somebody_waits():
    wide, small = job("wide", 3, gpus=2, A=(5, 1)), job("small", 4, A=(500, 1))
    times = decision_times(easy(), HUNG, wide, small)
    # small would delay wide until it is expected to end by then: at 640, when hung is expected until 1280
    assert times == [0, 3, 4, 10, 20, 40, 80, 160, 320, 640, 1000, 1140, 1145]


def test_with_exact_predictions_and_for_a_policy_that_plans_nothing_only_events_are_decided_about():
    exact = job("long", A=(1000, 1)), job("wide", 3, gpus=2, A=(5, 1)), job("small", 4, A=(5000, 1))
    assert decision_times(easy(), *exact) == [0, 3, 4, 1000, 1005, 6005]
    wide = job("wide", 3, gpus=2, A=(5, 1))
    assert decision_times(value(kappa=0), HUNG, wide) == [0, 3, 1000, 1005]


def test_what_is_foreseen_follows_the_same_estimates():
    """`hung` is supposed to take 1000 s: `second`, of 2 s, may pass `head` once hung is expected until 20 s."""
    clusters = []

    def spy(cluster):
        clusters.append(cluster.copy())
        return easy()(cluster)

    second = job("second", 9, A=(2, 1))
    run = simulate([HUNG, job("head", 4, gpus=2, A=(1, 1)), second], {"A": 2}, spy)
    assert [(p.job_id, p.start_s) for p in run.placements] == [("hung", 0), ("second", 10), ("head", 1000)]
    at_9 = next(cluster for cluster in clusters if cluster.now_s == 9)
    planned = run_ahead(at_9, easy(), 9, lambda job_id, predicted_s, run_s: 1000 if job_id == "hung" else predicted_s)
    assert {job_id: one.start_s for job_id, one in planned.items()} == {"second": 10, "head": 1000}


def test_a_cluster_says_when_to_decide_again_only_where_a_planner_looked_and_somebody_waits():
    seen = []

    def spy(cluster):
        seen.append((cluster.now_s, cluster.next_renewal_s()))
        _ = cluster.predicted_ends()
        seen.append((cluster.now_s, cluster.next_renewal_s()))
        return easy()(cluster)

    simulate([job("long", A=(100, 1)), job("wide", 3, A=(5, 1))], {"A": 1}, spy)
    assert seen[:4] == [(0, math.inf), (0, math.inf), (3, 100), (3, 100)]
    assert Cluster().next_renewal_s() == math.inf
