"""Wrappers that let less run while the grid is dirty: by hand, and what holds in every world."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import GpusJoined, JobPlaced, JobSubmitted, SignalReported
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job
from kilowait.core.over_time.signals import Signal
from kilowait.policies import POLICIES
from kilowait.policies.wrappers.flexible import flexible
from kilowait.policies.wrappers.important import important
from kilowait.policies.wrappers.provisioned import provisioned, thresholds
from kilowait.simulate.foreseen_signals import reports
from kilowait.simulate.loop import simulate
from tests.support.hourly_signals import hourly
from tests.support.live_world import seen
from tests.support.random_worlds import worlds
from tests.support.timelines import job

H = 3600.0
DIRTY_AT_FIRST = (400.0, 400.0, 100.0, 100.0)
MAKERS = {"provisioned": provisioned, "important": important}


def started(wrap, jobs, inventory, values=DIRTY_AT_FIRST, policy="sjf"):
    run = simulate(jobs, inventory, wrap(POLICIES[policy]()), reports=reports([hourly(*values)]))
    return {p.job_id: p.start_s / H for p in run.placements}


def after(made, *parents):
    return replace(made, job=replace(made.job, after=parents))


@pytest.mark.parametrize(("least", "most"), [(100.0, 400.0), (50.0, 60.0)])
def test_thresholds_are_those_of_k_min_search(least, most):
    assert thresholds(1, least, most) == pytest.approx([(least * most) ** 0.5])  # 1 - L/U = (1 - 1/a)(1 + 1/a)
    many = thresholds(40, least, most)
    assert list(many) == sorted(many, reverse=True)
    assert least < many[-1] < many[0] < most
    a = most / many[0]
    assert (1 - least / most) / (1 - 1 / a) == pytest.approx((1 + 1 / (40 * a)) ** 40)


def test_a_quarter_of_the_gpus_in_the_dirtiest_hour_and_all_in_the_cleanest():
    jobs = [job(name, A=(H / 2, 1.0)) for name in "abcde"]
    found = started(lambda policy: provisioned(policy, 0.25), jobs, {"A": 4})
    assert found == {"a": 0, "b": 0.5, "c": 1, "d": 1.5, "e": 2}
    assert started(lambda policy: provisioned(policy, 1.0), jobs, {"A": 4})["d"] == 0


def test_seven_hundredths_of_a_hundred_gpus_are_seven():
    jobs = [job(f"{n}", A=(H / 2, 1.0)) for n in range(12)]
    found = started(lambda policy: provisioned(policy, 0.07), jobs, {"A": 100})
    assert list(found.values()).count(0) == 7


def test_a_job_that_is_wider_than_the_quota_starts_where_nothing_runs():
    wide = job("wide", gpus=4, A=(H, 1.0))
    assert started(lambda policy: provisioned(policy, 0.25), [wide], {"A": 4}) == {"wide": 0}


def test_what_a_chain_waits_for_runs_in_dirty_hours_and_others_wait():
    jobs = [job("a", A=(H, 1.0)), after(job("b", A=(2 * H, 1.0)), "a"), job("c", A=(H, 1.0))]
    assert started(lambda policy: important(policy, 1.0), jobs, {"A": 2}) == {"a": 0, "b": 1, "c": 2}
    assert started(lambda policy: important(policy, 0.0), jobs, {"A": 2}) == {"a": 0, "b": 1, "c": 0}


def test_a_short_workflow_does_not_wait_for_a_long_one():
    long = [job("a", A=(4 * H, 1.0)), after(job("b", A=(4 * H, 1.0)), "a")]
    short = [job("c", A=(H / 2, 1.0)), after(job("d", A=(H / 2, 1.0)), "c")]
    found = started(lambda policy: important(policy, 1.0), [*long, *short], {"A": 4})
    assert found == {"a": 0, "b": 4, "c": 0, "d": 0.5}


def test_a_job_waits_while_another_of_its_workflow_runs_for_longer():
    """`short` could start when `other` comes, and would only wait for `long` then."""
    jobs = [job("long", A=(4 * H, 1.0)), job("short", A=(H, 1.0)), after(job("end", A=(H, 1.0)), "long", "short")]
    found = started(lambda policy: important(policy, 1.0), [*jobs, job("other", H / 2, A=(H, 1.0))], {"A": 4})
    assert found == {"long": 0, "short": 2, "other": 2, "end": 4}


def test_a_job_goes_on_in_dirty_hours_where_one_more_would_hold_its_workflow_back():
    """`end` comes after both: at the third hour what is left of `long` is as long as `short`."""
    jobs = [job("long", A=(4 * H, 1.0)), job("short", A=(2 * H, 1.0)), after(job("end", A=(H, 1.0)), "long", "short")]
    values = (400.0, 399.0, 400.0, 399.0, 400.0, 100.0)
    found = started(lambda policy: important(policy, 1.0), jobs, {"A": 2}, values)
    assert found == {"long": 0, "short": 2, "end": 4}


def test_the_level_of_a_job_is_that_of_the_paper():
    # importance 1/2, gamma 1: 100 + 300 (e^0.5 - 1) / (e - 1) = 213.3
    jobs = [job("a", A=(9 * H, 1.0)), job("c", A=(4.5 * H, 1.0)), job("x", gpus=2, A=(9 * H, 1.0))]
    values = (400.0, 400.0, 214.0, 213.0, 100.0, *[400.0] * 19)
    assert started(lambda policy: important(policy, 1.0), jobs, {"A": 2}, values) == {"a": 0, "c": 3, "x": 9}


def halved(made):
    return replace(made, job=replace(made.job, gpu_milli=500))


@pytest.mark.parametrize("least", [0.25, 1.0])
def test_a_share_of_a_busy_board_takes_no_board_more(least):
    """Two halves of one board, and the signal says nothing: both start at once."""
    jobs = [halved(job(name, A=(H, 1.0))) for name in "ab"]
    assert started(lambda policy: provisioned(policy, least), jobs, {"A": 1}, (400.0,) * 4) == {"a": 0, "b": 0}


@pytest.mark.parametrize("name", MAKERS)
def test_a_job_gives_way_and_moves_under_a_wrapper_as_without_it(name):
    """The long one runs on A until a short one comes that is for A alone, and goes on on B."""
    long, short = job("long", A=(9 * H, 1.0), B=(9.5 * H, 1.0), checkpoint_s=1.0), job("short", H, A=(H, 1.0))
    signal = Signal(name="carbon", times_s=(0.0,), values=(400.0,), ends_s=48 * H, period_s=24 * H)
    runs = [
        simulate([long, short], {"A": 1, "B": 1}, policy, reports=reports([signal]))
        for policy in (POLICIES["srpt"](), MAKERS[name](POLICIES["srpt"]()), flexible(POLICIES["srpt"](), 0.0))
    ]
    assert [(p.job_id, p.gpu_type) for p in runs[0].placements] == [("long", "A"), ("short", "A"), ("long", "B")]
    assert [run.placements for run in runs[1:]] == [runs[0].placements] * 2


@pytest.mark.parametrize(("gamma", "value"), [(0.3, 381.3), (0.7, 752.6)])
def test_nothing_is_hidden_where_nothing_varies_however_it_is_rounded(gamma, value):
    jobs = [job("a", A=(2 * H, 1.0)), job("b", A=(H, 1.0))]
    assert started(lambda policy: important(policy, gamma), jobs, {"A": 2}, (value,) * 4) == {"a": 0, "b": 0}


@pytest.mark.parametrize("name", MAKERS)
@given(world=worlds(), values=st.lists(st.integers(1, 9), min_size=4, max_size=9))
def test_all_jobs_run_and_a_constant_signal_changes_nothing(name, world, values):
    inventory, jobs = world
    signal = Signal(
        name="carbon",
        times_s=tuple(map(float, range(len(values)))),
        values=tuple(map(float, values)),
        ends_s=240 * H,
    )
    plain, made = simulate(jobs, inventory, POLICIES["sjf"]()), MAKERS[name](POLICIES["sjf"]())
    run = simulate(jobs, inventory, made, reports=reports([signal]))
    assert {p.job_id for p in run.placements} == {p.job_id for p in plain.placements}
    if len(set(values)) == 1:
        assert run.placements == plain.placements


@pytest.mark.parametrize("name", MAKERS)
def test_a_share_out_of_range_is_refused(name):
    with pytest.raises(InputError, match="from 0 to 1"):
        MAKERS[name](POLICIES["sjf"](), 1.5)
    assert POLICIES[f"{name}(sjf,0.4)"]().__name__ == f"{name}(sjf,0.4)"


def test_a_wrapper_within_leaves_the_note_of_one_around_it():
    """In the first hour all are seen, but "x" is held back by the fourth board's threshold; in the dirtiest only "y" is
    seen, the longest of all, and held back likewise; of "x" it is noted that it waits for the last hour."""
    reported = SignalReported(time_s=0.0, signal=hourly(250.0, 400.0, 100.0))
    cluster = replay([GpusJoined(time_s=0.0, node="n", gpu_type="A", gpus=4), reported], ("A",))
    for name, hours, gpus in (("a", 3, 3), ("x", 1, 1), ("y", 5, 1)):
        made = Job(job_id=name, submit_s=0.0, gpus=gpus)
        advance(cluster, JobSubmitted(time_s=0.0, job=made, predictions=seen(A=(hours * H, 1.0))))
    advance(cluster, JobPlaced(time_s=0.0, job_id="a", attempt=1, gpu_type="A", gpus=3, where=()))
    policy = important(provisioned(POLICIES["sjf"](), 0.25))
    assert (policy(cluster), cluster.kept["x"].until_s) == ([], 2 * H)
    cluster.now_s = H
    assert policy(cluster) == []
    assert {name: cluster.kept[name].until_s for name in "xy"} == {"x": 2 * H, "y": 2 * H}
    assert {cluster.kept[name].since_s for name in "xy"} == {H}
