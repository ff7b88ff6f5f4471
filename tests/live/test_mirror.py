"""What people are told about a live cluster: the mirror of its log, the ratings, and the rule Simple beside it."""

import pytest

from kilowait.cluster.events import AttemptFinished, GpusJoined, JobPlaced, JobSubmitted
from kilowait.core.jobs import Job, Measurement, Provenance
from kilowait.core.submission import Ending
from kilowait.core.units import JOULES_PER_KWH
from kilowait.history.queries import decoded, events_after, history, submissions
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.live.mirror import Mirror
from kilowait.live.rating import criterion
from kilowait.policies import POLICIES
from kilowait.simulate.against_simple import against_simple, mean_watts
from tests.support.live_world import request, seen

OPTIONS = {"kappa": 0.01}


@pytest.fixture
def live(tmp_path):
    """One A and one B; the policy is Value with a kappa of 0.01."""
    controller = Controller(Store(f"sqlite:///{tmp_path}/k.db"), POLICIES["value"](**OPTIONS), order=("A", "B"))
    controller.node_joined("n1", "A", 1, 0.0)
    controller.node_joined("n2", "B", 1, 0.0)
    return controller


def mirror_of(live, upto=None):
    mirror = Mirror("value", OPTIONS, ("A", "B"))
    for raw in events_after(live.store, 0, upto or 1000):
        mirror.take(raw[0], decoded(raw))
    return mirror


def end(live, attempt, now_s, joules, state_s):
    measurement = Measurement(
        job_id=attempt.job_id,
        attempt=attempt.attempt,
        gpu_type=attempt.gpu_type,
        runtime_s=state_s,
        energy_j=joules,
        runtime_provenance=Provenance.MEASURED,
        energy_provenance=Provenance.ESTIMATED,
    )
    ending = Ending(exit_code=0, measurement=measurement, meter="m")
    live.attempt_finished(attempt.job_id, attempt.attempt, attempt.token, ending, now_s)


def test_a_mirror_stands_where_the_scheduler_stands_and_goes_on_from_there(live):
    jobs = [live.submit(request(), 1.0) for _ in range(3)]
    live.decide(2.0)
    mirror = mirror_of(live)
    assert mirror.cluster.snapshot() == live.cluster.snapshot()
    live.cancel(jobs[2], 3.0)
    end(live, live.running(jobs[0]), 9.0, 1.0, 5.0)
    for raw in events_after(live.store, mirror.seq, 1000):
        mirror.take(raw[0], decoded(raw))
    assert mirror.cluster.snapshot() == live.cluster.snapshot()
    assert (mirror.submitted, mirror.placed, mirror.finished, mirror.cancelled) == (3, 2, 1, 1)


def test_a_choice_is_remembered_with_the_numbers_the_policy_went_by(live):
    job_id = live.submit(request(predictions=seen(A=(10, 1), B=(20, 0.5))), 1.0)
    live.decide(2.0)
    choice = mirror_of(live).choices[job_id]
    by_type = {option.gpu_type: option for option in choice.options}
    assert (choice.gpu_type, choice.waiting, choice.larger_first) == ("A", 1, True)
    assert by_type["A"].rating == pytest.approx(1 / 10 - 0.01 * 1)
    assert by_type["B"].rating == pytest.approx(1 / 20 - 0.01 * 0.5)
    assert (by_type["A"].free, by_type["A"].fits, by_type["B"].free) == (1, True, 1)


def test_who_comes_before_a_waiting_job_is_counted_by_the_criterion(live):
    for seconds in (10, 20, 30):
        live.submit(request(predictions=seen(A=(seconds, 1))), 1.0)
    live.decide(2.0)
    late = live.submit(request(predictions=seen(A=(25, 1))), 3.0)
    mirror = mirror_of(live)
    name, _, (option,) = mirror.look(mirror.cluster.waiting[late])
    assert (option.gpu_type, option.free, option.fits, option.ahead) == ("A", 0, False, 1)
    assert name == "value = 1 / (GPUs x seconds) - 0.01 x kWh"


def test_every_policy_has_a_rule_and_greedy_and_sjf_say_what_they_go_by(live):
    assert all(rule.sentence for rule in POLICIES.values())
    waiting_id = live.submit(request(predictions=seen(A=(10, 2))), 1.0)
    waiting = live.cluster.waiting[waiting_id]
    greedy = criterion("greedy", {"alpha": 2.0, "gamma": 7.0}, live.cluster)
    assert greedy.of(waiting.job, "A", waiting.predictions["A"]) == 2 * 10 + 7 * 2
    assert not greedy.larger_first
    assert criterion("sjf", {}, live.cluster).of(waiting.job, "A", waiting.predictions["A"]) == 10
    assert criterion("easy", {}, live.cluster) is None


def test_the_history_has_what_was_predicted_beside_what_was_measured(live):
    job_id = live.submit(request(predictions=seen(A=(10, 1))), 1.0)
    other = live.submit(request(user="bob", predictions=seen(B=(5, 2))), 1.0)
    for attempt in live.decide(2.0):
        end(live, attempt, 14.0, 7.0 if attempt.job_id == job_id else 9.0, 11.0)
    first, second = history(live.store)
    assert (first["job_id"], first["predicted_runtime_s"], first["runtime_s"]) == (job_id, 10, 11.0)
    assert (first["predicted_energy_j"], first["energy_j"]) == (JOULES_PER_KWH, 7.0)
    assert (first["energy_provenance"], first["predicted_provenance"]) == ("estimated", "modelled")
    assert [row["job_id"] for row in history(live.store, owner="bob")] == [other]
    assert [row["job_id"] for row in history(live.store, after=(job_id, 1))] == [other]
    assert second["owner"] == "bob"
    assert history(live.store, ended_from_s=15.0) == []


def test_simple_replayed_on_the_same_jobs():
    """Both jobs ran on B, one after the other; Simple takes A first, where each needs half the time, twice the kWh."""
    rows, asked = [], {}
    for number, placed_s in ((1, 0.0), (2, 20.0)):
        job_id = f"job-{number}"
        one = request(predictions=seen(A=(10, 2), B=(20, 1)))
        rows.append(
            {
                "job_id": job_id,
                "attempt": 1,
                "state": "finished",
                "gpu_type": "B",
                "submitted_s": 0.0,
                "placed_s": placed_s,
                "ended_s": placed_s + 40.0,
                "runtime_s": 39.0,
                "energy_j": 3 * JOULES_PER_KWH,
                "energy_provenance": "measured",
            }
        )
        asked[job_id] = type("Asked", (), {"job": _named(one.job, job_id), "predictions": one.predictions})()
    found = against_simple(rows, asked, {"A": 1, "B": 1})
    # as had: 3 kWh each; under Simple the first is on A (6 kWh, 20 s), the second on B (3 kWh), nobody waits
    assert (found.jobs, found.energy_kwh, found.simple_energy_kwh) == (2, pytest.approx(6.0), pytest.approx(9.0))
    assert (found.wait_s, found.simple_wait_s) == (20.0, 0.0)
    assert found.spent == ((0.0, 40.0, pytest.approx(3.0)), (20.0, 60.0, pytest.approx(3.0)))
    assert found.simple_spent == ((0.0, 20.0, pytest.approx(6.0)), (0.0, 40.0, pytest.approx(3.0)))
    assert found.energy_kinds == ("measured",)
    one_gpu = against_simple(rows, asked, {"B": 1})
    assert (one_gpu.simple_energy_kwh, one_gpu.simple_wait_s) == (pytest.approx(6.0), 40.0)


def test_the_power_of_jobs_in_steps_has_their_energy_in_those_that_they_ran_in():
    """360 W for 100 s from 50 s on are 0.01 kWh: 50 s of it in the first 100 s, 50 s in the next, none behind it."""
    job = (50.0, 150.0, 0.01)
    assert mean_watts([job], 0.0, 100.0, 3) == pytest.approx([180.0, 180.0, 0.0])
    assert mean_watts([job, job], 100.0, 100.0, 1) == pytest.approx([360.0])  # what lies before is left out
    assert mean_watts([], 0.0, 100.0, 2) == [0.0, 0.0]


def test_what_cannot_be_compared_is_counted():
    row = {"job_id": "j", "attempt": 2, "state": "finished", "gpu_type": "A", "energy_j": 1.0, "runtime_s": 1.0}
    found = against_simple([row, {**row, "attempt": 1, "energy_j": None}], {}, {"A": 1})
    assert (found.jobs, found.left_out) == (0, 2)


def test_a_job_id_leads_to_how_it_was_submitted(live):
    jobs = [live.submit(request(predictions=seen(A=(n, 1))), 1.0) for n in (1, 2, 3)]
    found = submissions(live.store, jobs)
    assert {job_id: asked.predictions["A"].runtime_s for job_id, asked in found.items()} == dict(
        zip(jobs, (1, 2, 3), strict=True)
    )


def _named(job, job_id):
    from dataclasses import replace

    return replace(job, job_id=job_id)


@pytest.mark.parametrize(
    ("takes_the_last_s", "placed_s", "held_s"),
    [(None, 100.0, 1.0), (None, 6.0, None), (50.0, 100.0, 70.0), (50.0, 61.0, None)],
)
def test_a_placement_tells_since_when_its_job_had_waited_beside_room(takes_the_last_s, placed_s, held_s):
    """From 1 s on it waits, and A is free; or taken by another from 50 to 70 s, and then it had been held since 70."""
    mirror, first = Mirror("sjf", {}, ("A", "B")), Job(job_id="first", submit_s=0.0)
    events = [
        GpusJoined(time_s=0.0, node="a", gpu_type="A", gpus=1),
        JobSubmitted(time_s=1.0, job=Job(job_id="held", submit_s=1.0), predictions=seen(A=(10, 1))),
    ]
    if takes_the_last_s is not None:
        taken = JobPlaced(time_s=50.0, job_id="first", attempt=1, gpu_type="A", gpus=1, where=())
        events += [
            JobSubmitted(time_s=50.0, job=first, predictions=seen(A=(10, 1))),
            taken,
            AttemptFinished(time_s=min(70.0, placed_s), job_id="first", attempt=1),
        ]
    events.append(JobPlaced(time_s=placed_s, job_id="held", attempt=1, gpu_type="A", gpus=1, where=()))
    for seq, event in enumerate(events, 1):
        mirror.take(seq, event)
    assert mirror.choices["held"].held_s == held_s
