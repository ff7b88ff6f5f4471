"""Progress that was seen moves a running job's expected end, and what jobs of the same program wait by."""

import msgspec
import pytest

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import AttemptFailed, AttemptFinished, JobPlaced, JobProgressed, JobSubmitted
from kilowait.core.errors import IllegalEvent
from kilowait.core.jobs import Job, PowerLimit, Prediction
from kilowait.policies.simple import simple
from kilowait.policies.wrappers.limited import Limit, limited
from tests.cluster.test_cluster import joined, placed


def asked(job_id, content_hash="same", time_s=0.0, version="v1", predictions=None, user=None):
    job = Job(job_id=job_id, submit_s=time_s, content_hash=content_hash, user=user)
    said = predictions or {
        t: Prediction(runtime_s=s, energy_kwh=e, probe_version=version)
        for t, (s, e) in {"A": (100, 1), "B": (50, 2)}.items()
    }
    return JobSubmitted(time_s=time_s, job=job, predictions=said)


def progressed(job_id, runtime_s, time_s=10.0, attempt=1):
    now = Prediction(runtime_s=runtime_s, energy_kwh=runtime_s / 100, probe_version="v1")
    return JobProgressed(time_s=time_s, job_id=job_id, attempt=attempt, done=10, total=100, prediction=now)


def a_cluster(*events):
    return replay([joined("A", 1), joined("B", 1), *events])


def by_time(job, gpu_type, prediction):
    return prediction.runtime_s


def test_the_expected_end_moves_with_what_was_seen():
    cluster = a_cluster(asked("j"), placed("j"))
    assert cluster.predicted_ends()["A"] == [(100.0, 1000)]
    advance(cluster, progressed("j", 300))
    assert cluster.predicted_ends()["A"] == [(300.0, 1000)]
    assert cluster.active["j"].whole["A"].runtime_s == 100
    advance(cluster, progressed("j", 250, time_s=20.0))
    assert cluster.predicted_ends()["A"] == [(250.0, 1000)]


def test_jobs_of_the_same_program_wait_by_it_and_others_do_not():
    cluster = a_cluster(asked("j"), asked("k"), asked("other", "another"), placed("j"))
    ranking = cluster.ranked(by_time)
    advance(cluster, progressed("j", 300))
    assert {t: p.runtime_s for t, p in cluster.waiting["k"].predictions.items()} == {"A": 300, "B": 150}
    assert {t: p.energy_kwh for t, p in cluster.waiting["k"].predictions.items()} == {"A": 3, "B": 6}
    assert cluster.waiting["k"].whole["A"].runtime_s == 100
    assert cluster.waiting["other"].predictions["A"].runtime_s == 100
    assert list(ranking) == [("other", "B"), ("other", "A"), ("k", "B"), ("k", "A")]


def test_what_a_job_says_of_itself_moves_no_job_of_another_user():
    """It may say anything, so another's job must not go first or last by it."""
    cluster = a_cluster(asked("j", user="ada"), asked("k", user="bob"), asked("own", user="ada"), placed("j"))
    advance(cluster, progressed("j", 300))
    advance(cluster, asked("later", time_s=11.0, user="bob"))
    times = {job_id: waiting.predictions["A"].runtime_s for job_id, waiting in cluster.waiting.items()}
    assert times == {"k": 100, "own": 300, "later": 100}


def test_once_it_has_ended_it_counts_what_it_took_and_not_what_it_said():
    cluster = a_cluster(asked("j"), asked("k"), placed("j"), progressed("j", 12))
    assert cluster.waiting["k"].predictions["A"].runtime_s == 12
    advance(cluster, AttemptFinished(time_s=200.0, job_id="j", attempt=1))
    assert {t: p.runtime_s for t, p in cluster.waiting["k"].predictions.items()} == {"A": 200, "B": 100}


def test_no_limit_of_kwh_is_escaped_by_what_a_job_says_of_itself():
    """What runs and what waits counts with no less than was predicted before anything was said."""
    policy = limited(simple(), Limit.of("1.5kwh"))
    cluster = a_cluster(asked("j", user="ada"), asked("k", user="ada"), placed("j"))
    assert policy(cluster) == []
    advance(cluster, progressed("j", 12))
    assert cluster.usage.month_kwh(cluster.active.values(), 10.0) == {"ada": 1}
    assert policy(cluster) == []
    advance(cluster, progressed("j", 300, time_s=20.0))
    assert cluster.usage.month_kwh(cluster.active.values(), 20.0) == {"ada": 3}


def test_a_second_look_takes_the_place_of_the_first():
    cluster = a_cluster(asked("j"), asked("k"), placed("j"), progressed("j", 300), progressed("j", 200, time_s=20.0))
    assert cluster.waiting["k"].predictions["A"].runtime_s == 200


def test_later_submissions_of_the_same_version_are_expected_by_it_too():
    cluster = a_cluster(asked("j"), placed("j"), progressed("j", 200))
    advance(cluster, asked("k", time_s=11.0))
    advance(cluster, asked("learnt", time_s=11.0, version="v2"))
    assert cluster.waiting["k"].predictions["B"].runtime_s == 100
    assert cluster.waiting["learnt"].predictions["B"].runtime_s == 50


def test_on_each_type_its_own_ratio_counts():
    cluster = a_cluster(asked("j"), asked("k"), asked("w"), placed("j"), placed("k", "B"))
    advance(cluster, progressed("k", 100, time_s=5.0))
    advance(cluster, progressed("j", 300))
    assert {t: p.runtime_s for t, p in cluster.waiting["w"].predictions.items()} == {"A": 300, "B": 100}


def test_a_job_that_is_tried_again_is_expected_by_what_was_seen_of_it():
    cluster = a_cluster(asked("j"), placed("j"), progressed("j", 300))
    advance(cluster, AttemptFailed(time_s=20.0, job_id="j", attempt=1, reason="lost"))
    assert {t: p.runtime_s for t, p in cluster.waiting["j"].predictions.items()} == {"A": 300, "B": 150}
    assert cluster.waiting["j"].whole["A"].runtime_s == 100


def test_under_a_power_limit_what_was_predicted_under_it_is_what_was_seen_against():
    limits = PowerLimit(limit_w=300, runtime_s=100, energy_kwh=1), PowerLimit(limit_w=200, runtime_s=150, energy_kwh=1)
    said = {"A": Prediction(runtime_s=100, energy_kwh=1, probe_version="v1", limits=limits)}
    jobs = [JobSubmitted(time_s=0.0, job=asked(n).job, predictions=said) for n in ("j", "k")]
    start = JobPlaced(time_s=0.0, job_id="j", attempt=1, gpu_type="A", gpus=1, limit_w=200)
    by_now = said["A"].under(200).times(2)
    seen = JobProgressed(time_s=10.0, job_id="j", attempt=1, done=10, total=100, prediction=by_now)
    cluster = a_cluster(*jobs, start, seen)
    assert cluster.predicted_ends()["A"] == [(300.0, 1000)]
    waits = cluster.waiting["k"].predictions["A"]
    assert (waits.runtime_s, waits.under(200).runtime_s) == (200, 300)


def test_a_program_without_a_hash_teaches_of_itself_alone():
    cluster = a_cluster(asked("j", ""), asked("k", ""), placed("j"), progressed("j", 300))
    assert cluster.predicted_ends()["A"] == [(300.0, 1000)]
    assert cluster.waiting["k"].predictions["A"].runtime_s == 100


@pytest.mark.parametrize("event", [progressed("j", 300, attempt=2), progressed("unknown", 300)])
def test_what_does_not_run_cannot_be_seen(event):
    cluster = a_cluster(asked("j"), placed("j"))
    before = cluster.snapshot()
    with pytest.raises(IllegalEvent):
        advance(cluster, event)
    assert cluster.snapshot() == before


def test_a_copy_and_a_log_that_was_written_lead_to_the_same():
    events = [asked("j"), asked("k"), placed("j"), progressed("j", 300)]
    written = msgspec.json.decode(msgspec.json.encode(events[-1]), type=JobProgressed)
    assert a_cluster(*events[:-1], written).snapshot() == a_cluster(*events).snapshot()
    cluster = a_cluster(*events)
    copied = cluster.copy()
    advance(copied, progressed("j", 400, time_s=30.0))
    assert cluster.waiting["k"].predictions["A"].runtime_s == 300
