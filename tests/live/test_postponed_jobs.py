"""Jobs that a live scheduler keeps for better hours: kept in its log, over by their latest start, counted when done."""

import pytest

from kilowait.cluster.advance import replay
from kilowait.core.jobs import Measurement, Provenance
from kilowait.core.over_time.signals import Signal
from kilowait.core.submission import Ending
from kilowait.history.spent.attempt_amounts import amounts_of
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies import POLICIES
from tests.support.live_world import request, seen

HOUR = 3600.0
DAY = Signal(
    name="carbon", times_s=(0.0, 2 * HOUR, 3 * HOUR), values=(400.0, 100.0, 400.0), ends_s=24 * HOUR, period_s=24 * HOUR
)
ONE_HOUR = seen(A=(HOUR, 2.0))


@pytest.fixture
def live(tmp_path):
    controller = Controller(Store(f"{tmp_path}/kilowait.db"), POLICIES["flexible(simple,0s)"](), order=("A",))
    controller.node_joined("n1", "A", 2, 0.0)
    controller.signal_reported(DAY, 0.0)
    return controller


def submit(live, key, now_s=0.0, **fields):
    return live.submit(request(key, predictions=ONE_HOUR, **fields), now_s)


def again(live):
    """Another scheduler over the same history."""
    return Controller(live.store, POLICIES["flexible(simple,0s)"](), order=("A",))


def test_a_job_that_may_wait_is_kept_for_the_hour_of_least_carbon_and_others_start(live):
    flexible, at_once = submit(live, "f", slack_s=10 * HOUR), submit(live, "n", 1.0)
    assert [one.job_id for one in live.decide(2.0)] == [at_once]
    plan = live.cluster.kept[flexible]
    assert (plan.until_s, plan.gpu_type, plan.since_s) == (2 * HOUR, "A", 2.0)
    assert plan.amounts["carbon"] == (pytest.approx(800.0), pytest.approx(200.0))  # 2 kWh at 400 and at 100 g
    assert replay((event for _, event in live.store.events()), ("A",)).kept == live.cluster.kept


def test_a_restart_keeps_to_the_plan_and_starts_the_job_when_it_is_due(live):
    flexible = submit(live, "f", slack_s=10 * HOUR)
    assert live.decide(1.0) == []
    live = again(live)
    assert live.decide(HOUR) == []
    assert live.cluster.next_renewal_s() == 2 * HOUR
    assert [one.job_id for one in live.decide(2 * HOUR)] == [flexible]
    assert live.cluster.kept == {}


def test_what_is_decided_beside_the_loop_is_kept_by_the_same_events(live):
    flexible = submit(live, "f", slack_s=10 * HOUR)
    assert live.carry_out(live.deciding.begin(live.at(1.0))()) == []
    assert live.cluster.kept[flexible].until_s == 2 * HOUR
    count = live.cluster and sum(1 for _ in live.store.events())
    assert live.carry_out(live.deciding.begin(live.at(2.0))()) == []
    assert sum(1 for _ in live.store.events()) == count  # nothing new is said of it
    assert [one.job_id for one in live.carry_out(live.deciding.begin(live.at(2 * HOUR))())] == [flexible]


def test_a_deadline_is_not_missed_for_a_hold(live):
    soon, later = (submit(live, name, slack_s=10 * HOUR, deadline_s=s * HOUR) for name, s in (("a", 1.6), ("b", 24)))
    assert [one.job_id for one in live.decide(1.0)] == [soon]  # 1.5 times its hour has to fit before its deadline
    assert live.cluster.kept[later].until_s == 2 * HOUR


def test_a_kept_job_can_be_cancelled_and_is_kept_no_more(live):
    flexible = submit(live, "f", slack_s=10 * HOUR)
    live.decide(1.0)
    live.cancel(flexible, 2.0)
    assert live.cluster.kept == {}
    assert live.decide(3.0) == []


def measured(job_id, seconds, kwh, provenance=Provenance.MEASURED):
    return Measurement(
        job_id=job_id,
        attempt=1,
        gpu_type="A",
        runtime_s=seconds,
        energy_j=kwh * 3.6e6,
        runtime_provenance=Provenance.MEASURED,
        energy_provenance=provenance,
    )


@pytest.mark.parametrize(
    ("energy", "issued_s", "expected"),
    [
        (Provenance.MEASURED, None, Provenance.ESTIMATED),
        (Provenance.MEASURED, 0.0, Provenance.MODELLED),
        (Provenance.PRETENDED, None, Provenance.PRETENDED),
    ],
)
def test_the_grams_of_an_attempt_are_its_measured_energy_by_the_hours_that_were_reported(
    live, energy, issued_s, expected
):
    job_id = submit(live, "n")
    (attempt,) = live.decide(1.0)
    live.attempt_started(job_id, 1, attempt.token, 1.0)
    news = Signal(
        name="carbon", times_s=(0.0, 2 * HOUR), values=(300.0, 500.0), ends_s=3 * HOUR, issued_s=issued_s
    )  # of the hours before, which were foreseen at 400
    live.signal_reported(news, 2 * HOUR)
    ending = Ending(exit_code=0, measurement=measured(job_id, HOUR, 2.0, energy))
    live.attempt_finished(job_id, 1, attempt.token, ending, 2.5 * HOUR)
    one = amounts_of(live.store, [job_id])[job_id, 1]["carbon"]
    assert (one.value, one.provenance) == (pytest.approx(2.0 * (300 + 500) / 2), expected)


def test_without_a_signal_nothing_is_kept_and_nothing_counted(tmp_path):
    live = Controller(Store(f"{tmp_path}/kilowait.db"), POLICIES["flexible(simple,0s)"](), order=("A",))
    live.node_joined("n1", "A", 1, 0.0)
    job_id = submit(live, "f", slack_s=10 * HOUR)
    (attempt,) = live.decide(1.0)
    live.attempt_started(job_id, 1, attempt.token, 1.0)
    live.attempt_finished(job_id, 1, attempt.token, Ending(exit_code=0, measurement=measured(job_id, 10.0, 1.0)), 20.0)
    assert amounts_of(live.store, [job_id]) == {}


def test_what_was_held_before_a_restart_is_not_said_to_be_held_when_it_no_longer_is(tmp_path):
    """Two GPUs, of which a dirty hour lets one be busy; then the hours are clean, and others have the second."""

    def started_again(store):
        return Controller(store, POLICIES["provisioned(simple,0.5)"](), order=("A",))

    live = started_again(Store(f"{tmp_path}/kilowait.db"))
    live.node_joined("n1", "A", 2, 0.0)
    live.signal_reported(DAY, 0.0)
    first, held = submit(live, "a"), submit(live, "b", 1.0)
    assert [one.job_id for one in live.decide(2.0)] == [first]
    assert live.cluster.kept[held].until_s == 2 * HOUR
    live = started_again(live.store)
    live.gpus_held("n1", "A", 1, 3.0)
    live.signal_reported(Signal(name="carbon", times_s=(0.0,), values=(100.0,), ends_s=24 * HOUR), 4.0)
    assert live.decide(5.0) == []
    assert (live.cluster.kept, list(live.cluster.waiting)) == ({}, [held])
