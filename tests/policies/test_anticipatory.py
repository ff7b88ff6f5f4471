"""Anticipatory: futures that are drawn, when they change a decision, and what never happens."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import GpusJoined, JobSubmitted, NodeLost
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.recent import MOST
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import DAY_S
from kilowait.policies.anticipatory import anticipatory
from kilowait.policies.patient import patient
from kilowait.policies.planning.futures import ArrivalModel
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from tests.support.examples import examples

HOUR_S = 3600.0


def job(job_id, submit_s, gpus=1, milli=1000, one_node=False, **on):
    """Seconds and kWh by type."""
    truth = {t: Prediction(runtime_s=s, energy_kwh=e) for t, (s, e) in on.items()}
    asked = Job(job_id=job_id, submit_s=submit_s, gpus=gpus, gpu_milli=milli, one_node=one_node)
    return Submission(job=asked, truth=truth, seen=truth)


def types(submissions, policy, inventory):
    return {p.job_id: p.gpu_type for p in simulate(submissions, inventory, policy).placements}


def model(clustering=0.5, cluster_s=HOUR_S, ahead_s=6 * HOUR_S, most=1000):
    return ArrivalModel(clustering=clustering, cluster_s=cluster_s, ahead_s=ahead_s, most=most)


def test_a_type_is_kept_free_for_the_jobs_that_are_likely_to_come():
    """Small jobs come every hour and run on A alone. A job of 10 hours is a little greener on A, where ten would wait.

    On A it would make them wait 10 + 9 + ... + 1 hours less the idle 10 minutes of each: more than 0.1 kWh are worth.
    """
    small = [job(f"small-{k:03d}", k * HOUR_S, A=(3000, 1.0)) for k in range(60)]
    large = job("large", 60.9 * HOUR_S, A=(10 * HOUR_S, 1.0), B=(10 * HOUR_S, 1.1))
    parameters = {"wait_s_per_kwh": 1000, "congestion": 0}
    chosen = {
        policy.__name__: types([*small, large], policy(**parameters), {"A": 1, "B": 1})["large"]
        for policy in (patient, anticipatory)
    }
    assert chosen == {"patient": "A", "anticipatory": "B"}


def test_a_job_is_held_for_a_greener_type_where_that_is_worth_the_wait():
    """`second` would wait 90 s for the green A, or burn 10 kWh more on the free B at once; hardly anything comes."""
    jobs = [job("first", 0, A=(100, 1), B=(100, 9)), job("second", 10, A=(50, 1), B=(50, 11))]
    starts = {}
    for price in (100, 1):
        run = simulate(jobs, {"A": 1, "B": 1}, anticipatory(wait_s_per_kwh=price, congestion=0))
        starts[price] = {p.job_id: (p.gpu_type, p.start_s) for p in run.placements}
    assert starts[100] == {"first": ("A", 0), "second": ("A", 100)}
    assert starts[1] == {"first": ("A", 0), "second": ("B", 10)}


def test_without_clustering_arrivals_are_poisson_at_the_rate_of_late():
    """48 jobs in two days are 6 in the next 6 hours."""
    known_s = np.linspace(0, 2 * DAY_S, 48)
    drawn = model(clustering=0.0).draw(known_s, 2 * DAY_S, 4000, np.random.default_rng(1))
    assert drawn.counts.mean() == pytest.approx(6, abs=4 * math.sqrt(6 / 4000))
    assert drawn.counts.var() == pytest.approx(6, rel=0.15)


def test_with_clustering_a_burst_brings_more_and_dies_out():
    """By hand, per scenario: those of late still bring 0.5 each, in all generations 0.5 / (1 - 0.5) = 1 each."""
    patient_eye = model(ahead_s=1000 * HOUR_S, most=10_000)
    burst_s = np.array([0.0, *[100 * DAY_S] * 20])
    rate = 21 / (100 * DAY_S)
    drawn = patient_eye.draw(burst_s, 100 * DAY_S, 2000, np.random.default_rng(2))
    late = patient_eye.draw(burst_s, 100 * DAY_S + 30 * HOUR_S, 2000, np.random.default_rng(2))
    quiet = rate * 1000 * HOUR_S
    assert drawn.counts.mean() == pytest.approx(20 + quiet, rel=0.05)
    assert late.counts.mean() == pytest.approx(quiet, rel=0.1)


@given(
    ages_s=st.lists(st.floats(0, 1e6), min_size=1, max_size=20),
    clustering=st.floats(0, 0.9),
    most=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_futures_lie_ahead_in_order_and_are_like_known_jobs(ages_s, clustering, most, seed):
    known_s = np.sort(1e6 - np.array(ages_s))
    drawn = model(clustering=clustering, most=most).draw(known_s, 1e6, 8, np.random.default_rng(seed))
    assert drawn.counts.shape == (8,)
    for count, arrive_s, like in zip(drawn.counts, drawn.arrive_s, drawn.like, strict=True):
        assert 0 <= count <= most
        times = arrive_s[:count].tolist()
        assert all(1e6 <= t <= 1e6 + 6 * HOUR_S for t in times)
        assert all(a <= b for a, b in pairwise(times))
        assert ((like >= 0) & (like < len(known_s))).all()


def test_many_arrivals_a_second_are_not_drawn_for_hours():
    drawn = model(most=40).draw(np.linspace(0, DAY_S, 10_000_000 // 100), DAY_S, 32, np.random.default_rng(3))
    assert drawn.arrive_s.shape[1] <= 40


option = st.tuples(st.floats(1, 1e4), st.floats(0, 10))


@st.composite
def worlds(draw):
    """Jobs of one, two or three types with ties, gangs and shares; every job may run somewhere."""
    jobs = []
    for k in range(draw(st.integers(1, 12))):
        names = draw(st.sets(st.sampled_from("ABC"), min_size=1))
        milli = draw(st.sampled_from([1000, 1000, 300]))
        gpus = 1 if milli < 1000 else draw(st.integers(1, 2))
        on = {name: draw(option) for name in sorted(names)}
        jobs.append(job(f"j{k}", draw(st.sampled_from([0, 0, 5, 600])) * k, gpus=gpus, milli=milli, **on))
    return jobs


@settings(max_examples=examples(60))
@given(worlds(), st.sampled_from([0, 100, 1e6]))
def test_every_job_runs_once_and_the_same_state_gives_the_same_decisions(jobs, price):
    inventory = {"A": 2, "B": 2, "C": 3}
    policy = {"wait_s_per_kwh": price, "scenarios": 8, "effort": 100, "horizon": 4}
    first, again = (simulate(jobs, inventory, anticipatory(**policy)) for _ in range(2))
    assert first.placements == again.placements
    assert sorted(p.job_id for p in first.placements) == sorted(s.job.job_id for s in jobs)


def test_a_cluster_remembers_the_last_jobs_whenever_it_is_asked_first():
    def submitted(k):
        one = job(f"j{k:04d}", float(k), A=(10, 1))
        return JobSubmitted(time_s=float(k), job=one.job, predictions=one.seen)

    events = [GpusJoined(time_s=0.0, node="n", gpu_type="A", gpus=1), *(submitted(k) for k in range(MOST + 9))]
    late = Cluster()
    for event in events:
        advance(late, event)
    known = [w.job.job_id for w in replay(events).recent.jobs]
    assert known == [w.job.job_id for w in late.recent.jobs] == [f"j{k:04d}" for k in range(9, MOST + 9)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"clustering": 1.0}, "clustering must be >= 0 and < 1, got 1.0"),
        ({"ahead_s": 0.0}, "ahead_s must be finite and > 0"),
        ({"cluster_s": math.nan}, "cluster_s must be finite and > 0"),
        ({"scenarios": 0}, "scenarios must be >= 1, got 0"),
        ({"wait_s_per_kwh": -1.0}, "wait_s_per_kwh must be finite and >= 0"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(InputError, match=message):
        anticipatory(**parameters)


def test_what_is_supposed_of_a_copy_is_not_remembered_by_the_cluster():
    cluster = replay([GpusJoined(time_s=0.0, node="n", gpu_type="A", gpus=1)])
    one = job("supposed", 0.0, A=(10, 1))
    advance(cluster.copy(), JobSubmitted(time_s=0.0, job=one.job, predictions=one.seen))
    assert not cluster.recent.jobs


def test_a_decision_is_made_when_no_recent_job_would_fit_any_more():
    """The 257 last jobs asked for eight GPUs of a node that has left; `small` was submitted before them."""
    cluster = replay([GpusJoined(time_s=0.0, node="a", gpu_type="A", gpus=1)])
    advance(cluster, GpusJoined(time_s=0.0, node="b", gpu_type="B", gpus=8))
    small = job("small", 0.0, A=(10, 1))
    advance(cluster, JobSubmitted(time_s=0.0, job=small.job, predictions=small.seen))
    for k in range(MOST + 1):
        large = job(f"large-{k}", 0.0, gpus=8, B=(10, 1))
        advance(cluster, JobSubmitted(time_s=0.0, job=large.job, predictions=large.seen))
    advance(cluster, NodeLost(time_s=0.0, node="b"))
    assert [(d.job_id, d.gpu_type) for d in anticipatory()(cluster)] == [("small", "A")]


def test_a_free_type_is_not_kept_behind_many_smaller_jobs_of_another():
    jobs = [job(f"a-{k:03d}", 0.0, A=(100, 1)) for k in range(70)] + [job("only-b", 2.0, B=(10_000, 1))]
    run = simulate(jobs, {"A": 1, "B": 1}, anticipatory(scenarios=8, effort=100))
    assert next(p.start_s for p in run.placements if p.job_id == "only-b") == 2.0
