"""Type and power limit together: the cheapest by hand, recorded, replayed; nothing where there are no curves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.cluster.advance import replay
from kilowait.cluster.events import JobPlaced
from kilowait.core.jobs import Job, PowerLimit, Prediction
from kilowait.policies import POLICIES
from kilowait.policies.limiting.limit_price import LimitPrice
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission

CURVE = (
    PowerLimit(limit_w=400, runtime_s=1000, energy_kwh=1.0),
    PowerLimit(limit_w=300, runtime_s=1050, energy_kwh=0.9),
    PowerLimit(limit_w=200, runtime_s=1500, energy_kwh=0.8),
)
WITH_CURVE = Prediction(runtime_s=1000, energy_kwh=1.0, runtime_low_s=900, runtime_high_s=1200, limits=CURVE)
WITHOUT = Prediction(runtime_s=1000, energy_kwh=1.0)
GREENER = Prediction(runtime_s=1100, energy_kwh=0.95)


def submission(job_id="a", submit_s=0.0, truth=None, seen=None, **of_job):
    truth = truth or {"A100": WITH_CURVE}
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, **of_job), truth=truth, seen=seen or truth)


def run(*submissions, inventory=None, policy="simple", price=1500.0, **parameters):
    limits = None if price is None else LimitPrice(s_per_kwh=price)
    return simulate(submissions, inventory or {"A100": 1}, POLICIES[policy](**parameters), limits=limits)


@pytest.mark.parametrize(
    ("price", "limit_w", "runtime_s", "energy_kwh"),
    # 1000 + 400 against 1050 + 360 and 1500 + 320; at 1500 s a kWh 2500 against 2400 and 2700; far above, the last
    [(400, 400, 1000, 1.0), (1500, 300, 1050, 0.9), (5000, 200, 1500, 0.8), (0, 400, 1000, 1.0)],
)
def test_a_lone_job_gets_the_cheapest_limit_at_the_price(price, limit_w, runtime_s, energy_kwh):
    (placement,) = run(submission(), price=price).placements
    assert (placement.limit_w, placement.runtime_s, placement.energy_kwh) == (limit_w, runtime_s, energy_kwh)


def test_jobs_that_wait_make_a_limit_dearer():
    # with one more job waiting for the only board (1 + 0.3) 50 s = 65 s are dearer than 0.1 kWh at 600 s = 60 s
    jobs = [submission("a"), submission("b")]
    first, second = run(*jobs, price=600).placements
    assert (first.limit_w, second.limit_w) == (400, 300)


def test_the_policy_sees_the_type_at_its_cheapest_limit():
    both = {"A100": WITH_CURVE, "A6000": GREENER}
    greenest = {"inventory": {"A100": 1, "A6000": 1}, "policy": "greedy", "alpha": 0.0, "gamma": 1.0}
    assert run(submission(truth=both), **greenest, price=None).placements[0].gpu_type == "A6000"
    assert run(submission(truth=both), **greenest).placements[0].gpu_type == "A100"  # 0.9 kWh at 300 W


def test_what_was_chosen_is_in_the_log_and_replays():
    found = run(submission("a"), submission("b"), inventory={"A100": 2}, price=1500)
    assert [event.limit_w for event in found.events if isinstance(event, JobPlaced)] == [300, 300]
    running = replay([event for event in found.events if event.time_s == 0])
    assert {job.predicted_end_s for job in running.active.values()} == {1050}


def test_without_curves_or_without_a_price_nothing_changes():
    jobs = [submission(str(k), submit_s=10.0 * k, truth={"A100": WITHOUT}) for k in range(5)]
    assert run(*jobs).placements == run(*jobs, price=None).placements
    assert run(*jobs, price=None).placements[0].limit_w is None


def test_a_share_of_a_board_is_never_limited():
    (placement,) = run(submission(gpu_milli=500)).placements
    assert placement.limit_w is None
    assert placement.runtime_s == 1000


def test_a_truth_that_is_not_as_seen_goes_by_its_own_curve():
    truth = {"A100": WITHOUT}
    (placement,) = run(submission(truth=truth, seen={"A100": WITH_CURVE})).placements
    assert (placement.limit_w, placement.runtime_s) == (300, 1000)


@given(limit_w=st.floats(50, 500))
def test_between_limits_seconds_never_fall_as_the_limit_does(limit_w):
    here, lower = WITH_CURVE.under(limit_w), WITH_CURVE.under(limit_w * 0.9)
    assert WITH_CURVE.runtime_s <= here.runtime_s <= lower.runtime_s
    assert here.runtime_low_s <= here.runtime_s <= here.runtime_high_s
    assert here.energy_kwh * 3.6e6 / here.runtime_s <= 3600 + 1e-6


def test_under_a_known_limit_it_is_that_one():
    assert WITH_CURVE.under(300).runtime_s == 1050
    assert WITH_CURVE.under(250).runtime_s == pytest.approx(1275)
    assert WITH_CURVE.under(None) is WITH_CURVE
