"""What a running job says of its steps becomes few events, and each moves its expected end as a clock would have it."""

import math

import msgspec
import pytest

from kilowait.cluster.standing import Active
from kilowait.core.jobs import Job, Prediction
from kilowait.live.pace import KnownBefore, pace
from kilowait.live.progress_seen import progress_event
from kilowait.measure.step_clock import StepClock


def written(*lines, every_s=1.0, first_s=0.0, template=""):
    """A clock that has read one of the lines each `every_s` seconds."""
    clock = StepClock(template)
    for count, line in enumerate(lines):
        clock.write(line.encode() + b"\n", first_s + (count + 1) * every_s)
    return clock.record()


def steady(steps, total, *, every_s=1.0, first_s=0.0):
    return written(*(f"step {n + 1}/{total}" for n in range(steps)), every_s=every_s, first_s=first_s)


def placed(low=50.0, high=400.0, runtime_s=150.0):
    seen = {"A": Prediction(runtime_s=runtime_s, energy_kwh=3.0, runtime_low_s=low, runtime_high_s=high)}
    job = Job(job_id="j", submit_s=0.0)
    return Active(job=job, predictions=seen, whole=seen, attempt=1, gpu_type="A", gpus=1, placed_s=1000.0)


def test_steady_steps_say_when_the_last_one_ends():
    found = pace(steady(20, 200, first_s=30.0), 50.0, KnownBefore())
    assert (found.done, found.total) == (20, 200)
    assert found.total_s == pytest.approx(230.0)
    assert found.low_s < 230 < found.high_s


def test_less_than_ten_steps_say_nothing():
    assert pace(steady(9, 200), 9.0, KnownBefore()) is None


def test_pauses_come_again_as_often_as_they_came():
    clock, at_s = StepClock(), 0.0
    for n in range(1, 101):
        at_s += 1.0 + (30.0 if n % 25 == 1 and n > 1 else 0.0)  # the pause after 25 steps shows at the next
        clock.write(f"step {n}/1000\n".encode(), at_s)
    assert pace(clock.record(), at_s, KnownBefore()).total_s == pytest.approx(1000 + 39 * 30, rel=0.03)


def test_slow_first_steps_do_not_count():
    clock, at_s = StepClock(), 0.0
    for n in range(1, 101):
        at_s += 10.0 if n < 4 else 1.0
        clock.write(f"step {n}/1000\n".encode(), at_s)
    assert pace(clock.record(), at_s, KnownBefore()).total_s == pytest.approx(1027, rel=0.01)


def test_what_was_predicted_counts_while_little_was_seen_and_later_hardly():
    sure = KnownBefore(total_s=400.0, low_s=390.0, high_s=410.0)
    vague = KnownBefore(total_s=400.0, low_s=40.0, high_s=4000.0)
    early, late = steady(10, 200), steady(190, 200)
    assert pace(early, 10.0, sure).total_s > 350
    assert pace(early, 10.0, vague).total_s == pytest.approx(200, rel=0.05)
    assert pace(late, 190.0, sure).total_s < 220


def test_what_a_dry_run_knows_beside_the_steps_is_added_until_it_is_seen():
    assert pace(steady(20, 200), 20.0, KnownBefore(beside=0.2)).total_s == pytest.approx(20 + 180 / 0.8)


def test_the_first_event_moves_time_and_energy_and_later_ones_are_few():
    active, events, clock = placed(), [], StepClock()
    for n in range(1, 1000):
        clock.write(f"step {n}/1000\n".encode(), float(n))
        record = clock.record()
        record.began_s = 1002.0
        event = progress_event(active, record, 1002.0 + n)
        if event is not None:
            events.append(event)
            active = msgspec.structs.replace(active, predictions={"A": event.prediction}, progress=event)
    first, last = events[0], events[-1]
    assert first.done == 50
    assert first.prediction.runtime_s == pytest.approx(1000, rel=0.25)
    assert last.prediction.runtime_s == pytest.approx(1002, rel=0.03)
    assert last.prediction.energy_kwh == pytest.approx(3.0 * last.prediction.runtime_s / 150)
    assert len(events) < 2 + math.log(1000 / 50) / math.log(1.1)


def test_a_job_that_says_nothing_makes_no_event():
    assert progress_event(placed(), written("Epoch 1", "hello 3/4"), 2000.0) is None
