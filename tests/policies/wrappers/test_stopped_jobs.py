"""Jobs that are stopped at checkpoints while hours are dear: timelines worked out by hand, and what always holds."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.cluster.standing import Postponed
from kilowait.cluster.state import Cluster
from kilowait.policies import POLICIES
from kilowait.policies.planning.coming_hours import WAKE, ask_again
from kilowait.policies.wrappers.flexible import flexible
from kilowait.simulate.foreseen_signals import reports
from kilowait.simulate.loop import simulate
from tests.support.hourly_signals import hourly
from tests.support.random_worlds import worlds
from tests.support.timelines import job

H = 3600.0
MINUTE_H = 1 / 60


PEAK = hourly(100.0, 500.0, 500.0, 100.0, 100.0, 100.0, *[500.0] * 18)


def parts(jobs, inventory, slack_h, signal=PEAK):
    """(job, type, start, end) in hours."""
    run = simulate(jobs, inventory, flexible(POLICIES["sjf"](), slack_h * H), reports=reports([signal]))
    return [(p.job_id, p.gpu_type, p.start_s / H, p.end_s / H) for p in run.placements]


def stoppable(job_id, hours, submit_h=0, checkpoint_s=60.0, **more):
    return job(job_id, submit_h * H, checkpoint_s=checkpoint_s, A=(hours * H, hours), **more)


def test_it_stands_still_in_dear_hours_and_goes_on_in_better_ones():
    (first, second) = parts([stoppable("a", 3)], {"A": 1}, 12)
    assert first == ("a", "A", 0, 1)
    assert second == ("a", "A", 3, pytest.approx(5 + MINUTE_H))


@pytest.mark.parametrize(
    ("jobs", "slack_h", "why"),
    [
        ([job("a", A=(3 * H, 3.0))], 12, "no checkpoint: it would have to wait whole"),
        ([stoppable("a", 3)], 0, "it would be late"),
        ([stoppable("a", 3, checkpoint_s=2 * H)], 12, "going on costs more than it saves"),
    ],
)
def test_who_is_not_stopped(jobs, slack_h, why):
    (only,) = parts(jobs, {"A": 1}, slack_h)
    assert only[3] - only[2] == pytest.approx(3), why


def test_others_have_the_boards_meanwhile():
    jobs = [stoppable("a", 3), job("b", 1.5 * H, A=(H, 1.0))]
    jobs[1] = replace(jobs[1], job=replace(jobs[1].job, slack_s=0.0))
    found = parts(jobs, {"A": 1}, 12)
    assert [part[:3] for part in found] == [("a", "A", 0), ("b", "A", 1.5), ("a", "A", 3)]


def test_a_job_is_not_stopped_sooner_than_going_on_pays():
    short_peaks = hourly(100.0, 110.0, 100.0, 110.0, 100.0, 110.0, *[100.0] * 18)
    assert len(parts([stoppable("a", 4, checkpoint_s=600.0)], {"A": 1}, 12, short_peaks)) == 1


@given(worlds(), st.integers(1, 500))
def test_where_nothing_varies_nothing_is_stopped(world, value):
    inventory, jobs = world
    jobs = [replace(one, job=replace(one.job, checkpoint_s=1.0)) for one in jobs]
    plain = simulate(jobs, inventory, POLICIES["sjf"]())
    same = hourly(*[float(value)] * 24)
    found = simulate(jobs, inventory, flexible(POLICIES["sjf"](), 24 * H), reports=reports([same]))
    assert found.placements == plain.placements


@given(st.integers(1, 9), st.integers(0, 12), st.lists(st.integers(50, 500), min_size=24, max_size=24))
def test_all_work_is_done_within_the_slack_where_nobody_is_in_the_way(hours, slack_h, values):
    found = parts([stoppable("a", hours)], {"A": 1}, slack_h, hourly(*map(float, values)))
    worked_h = sum(end_h - start_h for *_, start_h, end_h in found)
    assert worked_h == pytest.approx(hours + (len(found) - 1) * MINUTE_H)
    assert found[-1][3] <= hours + slack_h + 1e-6


def test_a_job_that_its_policy_would_displace_too_is_stopped_once():
    """At hour 1 the hours are dear, and a shorter job comes for which it would give way."""
    jobs = [stoppable("a", 3), job("b", H, A=(H / 2, 0.5))]
    jobs[1] = replace(jobs[1], job=replace(jobs[1].job, slack_s=0.0))
    run = simulate(jobs, {"A": 1, "B": 1}, flexible(POLICIES["srpt"](), 12 * H), reports=reports([PEAK]))
    assert [(p.job_id, p.start_s / H) for p in run.placements] == [("a", 0), ("b", 1), ("a", 3)]


def test_a_job_after_others_has_its_slack_and_waits_from_when_they_were_over():
    """ "a" may run from hour 3; it stops at 4, goes on at 6, and has waited for two hours then."""
    before, made = job("p", A=(3 * H, 3.0)), stoppable("a", 3)
    before = replace(before, job=replace(before.job, slack_s=0.0))
    made = replace(made, job=replace(made.job, after=("p",)))
    signal = hourly(*[100.0] * 4, 500.0, 500.0, *[100.0] * 4, *[500.0] * 14)
    run = simulate([before, made], {"A": 1}, flexible(POLICIES["sjf"](), 4 * H), reports=reports([signal]))
    assert [(p.job_id, p.start_s / H, p.wait_s / H) for p in run.placements] == [("p", 0, 0), ("a", 3, 0), ("a", 6, 2)]


def test_two_wrappers_that_want_to_be_asked_again_are_asked_at_the_sooner_time():
    cluster = Cluster()
    cluster.kept[WAKE] = Postponed(until_s=5.0, gpu_type="")
    ask_again(cluster, PEAK)
    assert cluster.next_renewal_s() == 5.0
    cluster.now_s = 5.0
    ask_again(cluster, PEAK)
    assert cluster.next_renewal_s() == H
