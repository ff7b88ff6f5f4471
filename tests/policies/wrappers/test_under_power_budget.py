"""A power budget around a policy: no instant passes it, whatever happens in which order; the urgent keep their pace."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.cluster.advance import advance
from kilowait.cluster.events import (
    AttemptFinished,
    GpusHeld,
    GpusJoined,
    JobPlaced,
    JobPreempted,
    JobSubmitted,
    LimitSet,
    NodeDrained,
    SignalReported,
)
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import Job, PowerLimit, Prediction
from kilowait.core.over_time.signals import Signal
from kilowait.policies import POLICIES, Place, Preempt, SetLimit
from kilowait.policies.limiting.power_reason import power_in_the_way
from kilowait.policies.wrappers.under_power_budget import under_power_budget
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission

A100 = GPU_TYPES["A100"]
IDLE_W, PEAK_W = A100.assumed_idle_w, A100.peak_w
HOUR = 3600.0


def at_watts(watts, gpus=1, runtime_s=HOUR):
    """These watts a board without a limit; 100 W less take a fifth longer."""
    lower, kwh = watts - 100, watts * gpus * runtime_s / 3.6e6
    limits = (
        PowerLimit(limit_w=5 * math.ceil(round(1.1 * watts / 5, 6)), runtime_s=runtime_s, energy_kwh=kwh),
        PowerLimit(limit_w=lower, runtime_s=1.2 * runtime_s, energy_kwh=lower * gpus * 1.2 * runtime_s / 3.6e6),
    )
    return Prediction(runtime_s=runtime_s, energy_kwh=kwh, limits=limits)


def budget(*steps, ends_s=None, period_s=0.0):
    """A budget of (from when on, watts), which holds on."""
    times_s, values = zip(*steps, strict=True)
    return Signal(name="power_budget", times_s=times_s, values=values, ends_s=ends_s or 1e9, period_s=period_s)


def job(job_id, watts=300, gpus=1, submit_s=0.0, runtime_s=HOUR, **of_job):
    seen = {"A100": at_watts(watts, gpus, runtime_s)}
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, gpus=gpus, **of_job), truth=seen, seen=seen)


def run(jobs, signal, gpus, policy="simple"):
    reports = [SignalReported(time_s=0.0, signal=signal)]
    return simulate(jobs, {"A100": gpus}, under_power_budget(POLICIES[policy]()), reports=reports)


def limits_of(found):
    return [
        (event.time_s, event.job_id, event.limit_w) for event in found.log if isinstance(event, JobPlaced | LimitSet)
    ]


def test_an_urgent_job_has_what_it_draws_and_the_others_make_room_for_it():
    jobs = [job("low"), job("urgent", priority=1, submit_s=600.0, runtime_s=1200.0)]
    found = run(jobs, budget((0.0, 330 + 200)), 2)
    assert limits_of(found) == [
        (0.0, "low", 330),  # 300 W and a tenth
        (600.0, "low", 200),
        (600.0, "urgent", 330),
        (1800.0, "low", 330),
    ]
    low, urgent = found.placements
    assert (low.start_s, low.end_s) == (0, pytest.approx(1800 + 3600 - 600 - 1200 / 1.2))
    assert (urgent.start_s, urgent.end_s) == (600, 1800)


def test_limits_fall_before_the_budget_does_and_rise_again_after_it():
    found = run([job("a", runtime_s=10 * HOUR)], budget((0.0, 1000), (HOUR, 250), (2 * HOUR, 1000)), 1)
    assert limits_of(found) == [(0.0, "a", 330), (HOUR - 120, "a", 200), (2 * HOUR, "a", 330)]
    limited_s = HOUR + 120
    (placement,) = found.placements
    assert placement.end_s == pytest.approx(10 * HOUR + limited_s - limited_s / 1.2)
    whole_kwh = 300 * 10 * HOUR / 3.6e6
    assert placement.energy_kwh == pytest.approx(whole_kwh - (300 * limited_s / 1.2 - 200 * limited_s) / 3.6e6)


def test_a_job_that_can_give_way_does_and_goes_on_when_there_are_watts_again():
    jobs = [job("a", runtime_s=4 * HOUR, checkpoint_s=60.0)]
    found = run(jobs, budget((0.0, 1000), (HOUR, 150), (2 * HOUR, 1000)), 1)
    first, second = found.placements
    assert (first.end_s, second.start_s) == (HOUR - 120, 2 * HOUR)
    assert second.end_s == pytest.approx(2 * HOUR + 60 + 3 * HOUR + 120)


def test_one_that_cannot_give_way_waits_for_the_hours_it_fits_into_and_others_go_first():
    jobs = [job("stays", 350), job("yields", 350, submit_s=1.0, checkpoint_s=60.0)]
    found = run(jobs, budget((0.0, 1000), (HOUR, 240), (2 * HOUR, 1000)), 1)
    assert [(one.job_id, one.start_s) for one in found.placements] == [
        ("yields", 1.0),
        ("stays", 2 * HOUR),
        ("yields", 3 * HOUR),
    ]


def cluster_of(*nodes):
    cluster = Cluster(order=("A100",))
    for number, gpus in enumerate(nodes):
        advance(cluster, GpusJoined(time_s=0.0, node=f"n{number}", gpu_type="A100", gpus=gpus))
    return cluster


def test_why_a_job_waits_for_watts():
    cluster = cluster_of(2)
    advance(cluster, SignalReported(time_s=0.0, signal=budget((0.0, 200))))
    large = job("a")
    advance(cluster, JobSubmitted(time_s=0.0, job=large.job, predictions=large.seen))
    assert under_power_budget(POLICIES["simple"]())(cluster) == []
    assert power_in_the_way(cluster, cluster.waiting["a"], cluster.now_s) == (
        f"the power budget of 200 W is too low for it: it needs at least {200 - IDLE_W:,.0f} W more on A100; an "
        "operator can raise it"
    )
    advance(cluster, SignalReported(time_s=1.0, signal=budget((0.0, 1000), (HOUR, 200))))
    assert "the power budget will be 200 W, too low for it" in power_in_the_way(
        cluster, cluster.waiting["a"], cluster.now_s
    )
    advance(cluster, SignalReported(time_s=2.0, signal=budget((0.0, 1000))))
    assert power_in_the_way(cluster, cluster.waiting["a"], cluster.now_s) is None


def test_a_budget_that_is_over_is_none_and_limits_are_lifted():
    cluster = cluster_of(1)
    advance(cluster, SignalReported(time_s=0.0, signal=budget((0.0, 1000))))
    one = job("a")
    advance(cluster, JobSubmitted(time_s=0.0, job=one.job, predictions=one.seen))
    policy = under_power_budget(POLICIES["simple"]())
    (placed,) = policy(cluster)
    assert placed == Place(job_id="a", gpu_type="A100", limit_w=330)
    carry_out(cluster, [placed])
    advance(cluster, SignalReported(time_s=1.0, signal=budget((0.0, 0.0), ends_s=1.0)))
    assert policy(cluster) == [SetLimit(job_id="a", limit_w=None)]


def test_a_type_of_unknown_watts_is_an_error_with_its_remedy():
    cluster = Cluster()
    advance(cluster, GpusJoined(time_s=0.0, node="n", gpu_type="Strange", gpus=1))
    advance(cluster, SignalReported(time_s=0.0, signal=budget((0.0, 100))))
    with pytest.raises(InputError, match="the watts of Strange: describe the type in --gpu-file"):
        under_power_budget(POLICIES["simple"]())(cluster)


def carry_out(cluster, decisions):
    """Let happen what was decided; what gives way does so at once."""
    for one in decisions:
        now_s, job_id = cluster.now_s, one.job_id
        if isinstance(one, Place):
            waiting = cluster.waiting[job_id]
            fields = {"attempt": waiting.attempt, "gpu_type": one.gpu_type, "gpus": waiting.gpus[one.gpu_type]}
            where = one.where or cluster.locate(waiting, one.gpu_type)
            advance(cluster, JobPlaced(time_s=now_s, job_id=job_id, where=where, limit_w=one.limit_w, **fields))
        elif isinstance(one, SetLimit):
            attempt = cluster.active[job_id].attempt
            advance(cluster, LimitSet(time_s=now_s, job_id=job_id, attempt=attempt, limit_w=one.limit_w))
        else:
            assert isinstance(one, Preempt)
            active = cluster.active[job_id]
            left = active.remaining / 2
            advance(cluster, JobPreempted(time_s=now_s, job_id=job_id, attempt=active.attempt, remaining=left))


def drawn_w(cluster, boards, held):
    """By hand: a board draws its limit, its peak where it has none or others hold it, and is idle otherwise."""
    running = [(one.gpus, PEAK_W if one.limit_w is None else one.limit_w) for one in cluster.active.values()]
    busy = sum(gpus for gpus, _ in running)
    return sum(gpus * watts for gpus, watts in running) + held * PEAK_W + (boards - busy - held) * IDLE_W


def least_w(cluster, boards, held):
    """What nothing could help: idle and held boards, and jobs that cannot give way at 100 W below what they draw."""
    stay = [one for one in cluster.active.values() if one.job.checkpoint_s is None]
    floors = [(one.gpus, one.whole["A100"].limits[-1].limit_w) for one in stay]
    busy = sum(gpus for gpus, _ in floors)
    return sum(gpus * watts for gpus, watts in floors) + held * PEAK_W + (boards - busy - held) * IDLE_W


happenings = st.lists(
    st.one_of(
        st.tuples(
            st.just("job"), st.integers(210, 390), st.integers(1, 3), st.booleans(), st.integers(-1, 1), st.booleans()
        ),
        st.tuples(st.just("budget"), st.lists(st.floats(0.0, 1.2), min_size=1, max_size=3)),
        st.tuples(st.just("end"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.floats(1.0, 4000.0)),
        st.tuples(st.just("node"), st.integers(1, 3)),
        st.tuples(st.just("drain"), st.integers(0, 3)),
        st.tuples(st.just("held"), st.integers(0, 2)),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(happened=happenings, policy=st.sampled_from(["simple", "patient", "srpt", "urgent(easy)"]))
def test_the_budget_is_never_passed_in_any_order_of_events_but_by_what_nobody_could_stop(happened, policy):
    rule = under_power_budget(POLICIES[policy]())
    cluster, boards, held, known, number = cluster_of(3), 3, 0, None, 0
    for what, *words in happened:
        now_s = cluster.now_s
        if what == "job":
            watts, gpus, yields, priority, share = words
            number += 1
            fields = {"checkpoint_s": 60.0 if yields else None, "priority": priority, "gpus": 1 if share else gpus}
            asked = job(f"{number}", watts, **fields)
            fits = not cluster.refusal(asked.job, asked.seen)
            if fits:
                advance(cluster, JobSubmitted(time_s=now_s, job=asked.job, predictions=asked.seen))
        elif what == "budget":
            steps = [(now_s + k * HOUR, IDLE_W * boards + part * PEAK_W * boards) for k, part in enumerate(words[0])]
            known = budget(*steps)
            advance(cluster, SignalReported(time_s=now_s, signal=known))
        elif what == "end" and cluster.active:
            active = list(cluster.active.values())[words[0] % len(cluster.active)]
            advance(cluster, AttemptFinished(time_s=now_s, job_id=active.job.job_id, attempt=active.attempt))
        elif what == "wait":
            cluster.now_s += words[0]
        elif what == "node":
            advance(cluster, GpusJoined(time_s=now_s, node=f"m{boards}", gpu_type="A100", gpus=words[0]))
            boards += words[0]
        elif what == "drain" and len(cluster.nodes) > 1:
            node = sorted(cluster.nodes)[words[0] % len(cluster.nodes)][0]
            if not cluster.held:
                advance(cluster, NodeDrained(time_s=now_s, node=node))
        elif what == "held" and ("n0", "A100") in cluster.nodes:
            held = min(words[0], held + cluster.free_on("n0", "A100"))
            advance(cluster, GpusHeld(time_s=now_s, node="n0", gpu_type="A100", gpus=held))
        carry_out(cluster, rule(cluster))
        if known is not None:
            most_w = max(known.at(cluster.now_s), least_w(cluster, boards, held))
            assert drawn_w(cluster, boards, held) <= most_w + 1e-6


@settings(max_examples=30, deadline=None)
@given(
    levels=st.lists(st.floats(0.15, 1.0), min_size=1, max_size=6),
    drawn=st.lists(
        st.tuples(
            st.integers(210, 390),
            st.integers(1, 3),
            st.floats(60, 9000),
            st.floats(0, 15000),
            st.booleans(),
            st.integers(0, 1),
        ),
        min_size=1,
        max_size=10,
    ),
)
def test_a_budget_that_changes_at_known_hours_is_never_passed_at_any_instant(levels, drawn):
    gpus = 4
    signal = budget(*[(k * HOUR, gpus * part * PEAK_W) for k, part in enumerate([*levels, 1.0])])
    jobs = [
        job(f"{k}", watts, n, submit_s, runtime_s, checkpoint_s=30.0 if yields else None, priority=priority)
        for k, (watts, n, runtime_s, submit_s, yields, priority) in enumerate(drawn)
    ]
    found = run(jobs, signal, gpus)
    cluster = Cluster(order=("A100",))
    events = list(found.log)
    for event, after in zip(events, [*events[1:], None], strict=True):
        advance(cluster, event)
        if after is None or after.time_s > event.time_s:
            until_s = math.inf if after is None else after.time_s
            levels_w = [
                signal.at(event.time_s),
                *(w for at, w in zip(signal.times_s, signal.values, strict=True) if event.time_s < at < until_s),
            ]
            if cluster.total:
                assert drawn_w(cluster, gpus, 0) <= min(levels_w) + 1e-6 or not cluster.signals
    assert {one.job_id for one in found.placements} == {one.job.job_id for one in jobs}
