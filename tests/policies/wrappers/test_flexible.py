"""Jobs kept for cheaper hours: timelines worked out by hand, and what holds in every world."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.cluster.advance import advance
from kilowait.cluster.events import GpusJoined, JobSubmitted, NodeLost, SignalReported
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.core.over_time.price_list import PriceList
from kilowait.core.over_time.signals import Signal
from kilowait.policies import POLICIES, Place
from kilowait.policies.wrappers.flexible import flexible
from kilowait.simulate.ahead import run_ahead
from kilowait.simulate.foreseen_signals import reports
from kilowait.simulate.loop import simulate
from tests.support.hourly_signals import hourly
from tests.support.random_worlds import worlds
from tests.support.timelines import job

H = 3600.0


FALLS = hourly(500.0, 400.0, 400.0, 100.0, 500.0, *[500.0] * 19)


def started(jobs, inventory, slack_s=24 * H, signal=FALLS, policy="sjf", **more):
    made = flexible(POLICIES[policy](), slack_s, **more)
    run = simulate(jobs, inventory, made, reports=reports([signal]))
    return {p.job_id: (p.gpu_type, p.start_s / H) for p in run.placements}, run


def flexible_job(job_id, submit_s=0.0, slack_s=None, **more):
    made = job(job_id, submit_s, **more)
    return replace(made, job=replace(made.job, slack_s=slack_s))


def test_a_job_is_kept_for_the_cheapest_hours_within_its_slack():
    one_hour = {"A": (H, 1.0)}
    assert started([job("a", **one_hour)], {"A": 1})[0] == {"a": ("A", 3)}
    assert started([job("a", **one_hour)], {"A": 1}, slack_s=2 * H)[0] == {"a": ("A", 1)}
    assert started([job("a", **one_hour)], {"A": 1}, slack_s=0.0)[0] == {"a": ("A", 0)}
    assert started([flexible_job("a", slack_s=0.0, **one_hour)], {"A": 1})[0] == {"a": ("A", 0)}
    assert started([flexible_job("a", slack_s=5 * H, **one_hour)], {"A": 1}, slack_s=0.0)[0] == {"a": ("A", 3)}
    assert started([job("a", A=(4 * H, 1.0))], {"A": 1})[0] == {"a": ("A", 0)}  # no four hours are cheaper by much


def test_no_more_jobs_are_kept_for_an_hour_than_can_run_in_it():
    jobs = [job(name, A=(H, 1.0)) for name in "abc"]
    assert started(jobs, {"A": 2})[0] == {"a": ("A", 3), "b": ("A", 3), "c": ("A", 1)}


def test_a_kept_job_blocks_none_that_cannot_wait_and_is_not_delayed_by_one_that_can():
    kept, urgent = job("a", A=(H, 1.0)), flexible_job("b", H, slack_s=0.0, A=(4 * H, 9.0))
    assert started([kept, urgent], {"A": 1})[0] == {"a": ("A", 5), "b": ("A", 1)}
    long = flexible_job("b", H, slack_s=9 * H, A=(4 * H, 0.0))
    assert started([kept, long], {"A": 1})[0] == {"a": ("A", 3), "b": ("A", 4)}


@pytest.mark.parametrize(("slack_s", "deadline_s"), [(H, None), (24 * H, 11 * H)], ids=["slack", "deadline"])
def test_a_job_that_cannot_wait_until_behind_a_kept_one_starts_in_time(slack_s, deadline_s):
    """The board is free until the kept job starts at hour 8; when that is done, at 10, it is too late."""
    long = flexible_job("b", 0.5 * H, slack_s=slack_s, A=(8 * H, 1.0))
    long = replace(long, job=replace(long.job, deadline_s=deadline_s))
    cheap_late = hourly(*[500.0] * 8, 100.0, 100.0, *[500.0] * 14)
    start_of, _ = started([job("a", A=(2 * H, 9.0)), long], {"A": 1}, signal=cheap_late, policy="simple")
    assert start_of["b"] == ("A", 0.5)


def test_another_type_is_taken_where_the_job_is_done_in_time():
    either = {"A": (H, 2.0), "B": (2 * H, 1.9)}
    signal = hourly(500.0, 500.0, 100.0, 100.0, *[500.0] * 20)
    assert started([job("a", **either)], {"A": 1, "B": 1}, signal=signal)[0] == {"a": ("B", 2)}
    assert started([job("a", **either)], {"A": 1, "B": 1}, 2 * H, signal=signal)[0] == {"a": ("A", 2)}


def test_waiting_has_its_price():
    cheap, dear = (PriceList(usd_per_kg_co2=1.0, usd_per_h_waiting=usd) for usd in (0.1, 0.2))
    assert started([job("a", A=(H, 1.0))], {"A": 1}, prices=cheap)[0] == {"a": ("A", 3)}  # 0.4 saved for 0.3
    assert started([job("a", A=(H, 1.0))], {"A": 1}, prices=dear)[0] == {"a": ("A", 0)}


def test_a_negative_price_is_worth_waiting_for():
    signal = hourly(0.1, -0.2, *[0.1] * 22, name="price")
    assert started([job("a", A=(H, 1.0))], {"A": 1}, signal=signal)[0] == {"a": ("A", 1)}


@settings(max_examples=25, deadline=None)
@given(worlds(), st.sampled_from(["simple", "patient", "easy"]), st.floats(0.1, 900))
def test_a_constant_signal_changes_no_placement(world, policy, value):
    inventory, submissions = world
    plain = simulate(submissions, inventory, POLICIES[policy]())
    kept = simulate(
        submissions, inventory, flexible(POLICIES[policy](), 24 * H), reports=reports([hourly(*[value] * 24)])
    )
    assert kept.placements == plain.placements


NO_TIE = 0.00137
"""An hour's waiting in USD that no whole number of grams costs: equal costs would be told apart by rounding."""
HOURS = st.lists(st.integers(0, 9), min_size=24, max_size=24)


def few_hours(world):
    """Worlds of seconds, as hours."""
    inventory, submissions = world
    return inventory, [
        replace(
            one,
            job=replace(one.job, submit_s=H * one.job.submit_s),
            truth={t: p.scaled(H, 1.0) for t, p in one.truth.items()},
            seen={t: p.scaled(H, 1.0) for t, p in one.seen.items()},
        )
        for one in submissions
    ]


@settings(max_examples=15, deadline=None)
@given(worlds(), HOURS, st.sampled_from(["simple", "patient", "srpt"]), st.floats(0.01, 100))
def test_in_every_world_all_run_the_log_replays_and_only_proportions_of_prices_count(world, values, policy, factor):
    inventory, submissions = few_hours(world)
    signal = hourly(*map(float, values))
    told = PriceList(usd_per_kg_co2=1.0, usd_per_h_waiting=NO_TIE)
    scaled = PriceList(usd_per_kg_co2=factor, usd_per_h_waiting=NO_TIE * factor)
    runs = [
        simulate(submissions, inventory, flexible(POLICIES[policy](), 6 * H, prices=prices), reports=reports([signal]))
        for prices in (told, scaled)
    ]
    assert {p.job_id for p in runs[0].placements} | runs[0].refused.keys() == {s.job.job_id for s in submissions}
    assert runs[0].placements == runs[1].placements
    cluster = Cluster()
    for event in runs[0].events:
        advance(cluster, event)
    assert (dict(cluster.waiting), dict(cluster.active), cluster.signals["carbon"].values) == ({}, {}, signal.values)


def test_what_happens_next_knows_of_kept_jobs():
    cluster = Cluster()
    _, run = started([job("a", A=(H, 1.0))], {"A": 1})
    for event in [e for e in run.events if e.time_s == 0]:
        advance(cluster, event)
    assert next(e for e in run.events if isinstance(e, SignalReported)).signal.at(3 * H) == 100
    planned = run_ahead(cluster.copy(), flexible(POLICIES["sjf"](), 24 * H), 0.0, None)
    assert planned["a"].start_s == 3 * H


def test_a_slack_that_is_no_time_is_refused():
    with pytest.raises(InputError, match="slack_s must be finite and >= 0, got -1"):
        flexible(POLICIES["sjf"](), -1)
    with pytest.raises(InputError, match=r"prices must be a kilowait\.core\.over_time\.price_list\.PriceList, got 3"):
        flexible(POLICIES["sjf"](), prices=3)


@pytest.mark.parametrize(
    ("told_at_1", "start_h"),
    [
        ((400.0, 400.0, 100.0, 500.0), 3),  # as before
        ((400.0, 400.0, 500.0, 200.0), 4),  # the low hour comes later: it moves
        ((100.0, 400.0, 99.9, 500.0), 1),  # now is as good: it starts
        ((500.0, 200.0, 150.0, 500.0), 3),
        ((400.0, 90.0, 150.0, 500.0), 2),
        ((400.0, 100.0, 100.0, 500.0), 2),  # for the same, sooner
    ],
)
def test_a_kept_job_is_looked_at_again_when_a_forecast_is_new(told_at_1, start_h):
    anew = Signal(
        name="carbon",
        times_s=tuple(H * k for k in range(1, 6)),
        values=(*told_at_1, 500.0),
        ends_s=25 * H,
        issued_s=H,
        period_s=24 * H,
    )
    news = [*reports([FALLS]), SignalReported(time_s=H, signal=anew)]
    run = simulate([job("a", A=(H, 1.0))], {"A": 1}, flexible(POLICIES["sjf"](), 12 * H), reports=iter(news))
    assert [p.start_s / H for p in run.placements] == [start_h]


def test_a_kept_job_moves_to_no_hour_that_others_are_kept_for():
    low_from_5 = {"times_s": (H / 2, 5 * H, 7 * H), "values": (500.0, 200.0, 500.0)}
    anew = Signal(name="carbon", **low_from_5, ends_s=25 * H, issued_s=H / 2, period_s=24 * H)
    news = [*reports([FALLS]), SignalReported(time_s=H / 2, signal=anew)]
    jobs = [job(name, A=(H, 1.0)) for name in "ab"]
    run = simulate(jobs, {"A": 1}, flexible(POLICIES["sjf"](), 12 * H), reports=iter(news))
    assert sorted((p.job_id, p.start_s / H) for p in run.placements) == [("a", 5), ("b", 6)]


def test_a_job_kept_for_a_type_whose_nodes_have_left_is_the_policys_again():
    either, policy = job("a", A=(H, 2.0), B=(2 * H, 1.9)), flexible(POLICIES["sjf"](), 24 * H)
    cluster, same = Cluster(), hourly(*[400.0] * 24)
    for name in "AB":
        advance(cluster, GpusJoined(time_s=0.0, node=name, gpu_type=name, gpus=1))
    advance(cluster, SignalReported(time_s=0.0, signal=hourly(500.0, 500.0, 100.0, 100.0, *[500.0] * 20)))
    advance(cluster, JobSubmitted(time_s=0.0, job=either.job, predictions=either.seen))
    assert (policy(cluster), cluster.kept["a"].gpu_type) == ([], "B")
    advance(cluster, NodeLost(time_s=60.0, node="B"))
    advance(cluster, SignalReported(time_s=120.0, signal=same))
    assert policy(cluster) == [Place(job_id="a", gpu_type="A")]
    assert "a" not in cluster.kept
