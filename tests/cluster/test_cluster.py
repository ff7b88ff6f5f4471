"""The state machine: what each event changes, what it refuses, and that a refusal changes nothing."""

from dataclasses import replace

import pytest

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import AttemptFailed, AttemptFinished, GpusJoined, JobCancelled, JobPlaced, JobSubmitted
from kilowait.cluster.state import Cluster
from kilowait.core.errors import IllegalEvent, InputError, JobRefused
from kilowait.core.jobs import Job, Prediction

GB = 10**9


def seen(**by_type):
    """seen(A=(10, 0.5)): 10 s and 0.5 kWh on A."""
    return {t: Prediction(runtime_s=s, energy_kwh=kwh) for t, (s, kwh) in by_type.items()}


def joined(gpu_type, gpus, node="n1", time_s=0.0, memory_bytes=None):
    return GpusJoined(time_s=time_s, node=node, gpu_type=gpu_type, gpus=gpus, memory_bytes=memory_bytes)


def submitted(job_id, time_s=0.0, predictions=None, **fields):
    job = Job(job_id=job_id, submit_s=time_s, **fields)
    return JobSubmitted(time_s=time_s, job=job, predictions=predictions or seen(A=(10, 1), B=(20, 1)))


def placed(job_id, gpu_type="A", gpus=1, attempt=1, time_s=0.0):
    return JobPlaced(time_s=time_s, job_id=job_id, attempt=attempt, gpu_type=gpu_type, gpus=gpus)


def cluster_with(*events):
    return replay([joined("A", 4), joined("B", 2), *events])


def queue_ids(cluster):
    return [waiting.job.job_id for waiting in cluster.queue()]


def test_a_job_goes_from_the_queue_to_its_gpus_and_out():
    cluster = cluster_with(submitted("j", gpus=3))
    assert (queue_ids(cluster), cluster.free) == (["j"], {"A": 4, "B": 2})
    advance(cluster, placed("j", gpus=3, time_s=5.0))
    assert (queue_ids(cluster), cluster.free) == ([], {"A": 1, "B": 2})
    active = cluster.active["j"]
    assert (active.placed_s, active.attempt, active.gpu_type, active.gpus) == (5.0, 1, "A", 3)
    assert active.predictions == seen(A=(10, 1), B=(20, 1))
    advance(cluster, AttemptFinished(time_s=15.0, job_id="j", attempt=1))
    assert (cluster.active, cluster.free, cluster.now_s) == ({}, {"A": 4, "B": 2}, 15.0)


def test_the_queue_is_ordered_by_submit_time_then_by_id_as_text():
    cluster = cluster_with(*(submitted(j, time_s=1.0) for j in ("9", "10", "b", "B")), submitted("a", time_s=2.0))
    assert queue_ids(cluster) == ["10", "9", "B", "b", "a"]


def test_a_failed_attempt_waits_again_at_its_old_place():
    cluster = cluster_with(submitted("first"), placed("first"), submitted("second", time_s=1.0))
    advance(cluster, AttemptFailed(time_s=2.0, job_id="first", attempt=1, reason="out of memory"))
    assert (queue_ids(cluster), cluster.free["A"]) == (["first", "second"], 4)
    with pytest.raises(IllegalEvent, match="attempt 2 is next, got 1"):
        advance(cluster, placed("first", attempt=1, time_s=2.0))
    advance(cluster, placed("first", attempt=2, time_s=2.0))
    assert cluster.active["first"].attempt == 2


def test_cancelling_frees_the_place_in_the_queue_or_the_gpus():
    cluster = cluster_with(submitted("waits"), submitted("runs"), placed("runs"))
    advance(cluster, JobCancelled(time_s=1.0, job_id="waits"))
    advance(cluster, JobCancelled(time_s=1.0, job_id="runs"))
    assert (queue_ids(cluster), cluster.active, cluster.free["A"]) == ([], {}, 4)
    with pytest.raises(IllegalEvent, match="job runs: cancelled, but it neither waits nor runs"):
        advance(cluster, JobCancelled(time_s=2.0, job_id="runs"))


def test_types_stand_in_order_of_power_whatever_joins_first():
    cluster = Cluster(order=("A", "B"))
    for gpu_type in ("X", "B", "Y", "A"):
        advance(cluster, joined(gpu_type, 1))
    assert list(cluster.total) == list(cluster.free) == ["A", "B", "X", "Y"]


def test_a_second_node_adds_to_its_type():
    cluster = cluster_with(joined("A", 8, node="n2", time_s=3.0))
    assert cluster.total == cluster.free == {"A": 12, "B": 2}


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (submitted("j", gpus=5), "A: needs 5 GPUs, the cluster has 4; B: needs 5 GPUs, the cluster has 2"),
        (submitted("j", gpus=3, gpus_by_type={"A": 9}), "A: needs 9 GPUs.*B: needs 3 GPUs"),
        (submitted("j", allowed=frozenset({"H", "Z"})), r"A: not among the types it may use \(H, Z\)"),
        (submitted("j", allowed=frozenset()), r"may use \(none\)"),
        (submitted("j", predictions=seen(H=(1, 1))), "A: no prediction for this type"),
        (submitted("j", allowed=frozenset("B"), predictions=seen(A=(1, 1))), "B: no prediction"),
    ],
)
def test_a_job_that_can_never_run_is_refused_with_the_reason(event, reason):
    cluster = cluster_with()
    before = cluster.snapshot()
    with pytest.raises(JobRefused, match=f"job j: can never run here: .*{reason}"):
        advance(cluster, event)
    assert cluster.snapshot() == before


def test_memory_above_every_allowed_board_is_refused():
    events = [joined("A", 4, memory_bytes=80 * GB), joined("B", 2, memory_bytes=48 * GB)]
    cluster = replay(events)
    advance(cluster, submitted("fits-A", memory_bytes=60 * GB))
    assert cluster.options(cluster.waiting["fits-A"]) == ("A",)
    with pytest.raises(JobRefused, match=r"B: needs 60.0 GB on each GPU, a board has 48.0 GB"):
        advance(cluster, submitted("b-only", memory_bytes=60 * GB, allowed=frozenset("B")))
    with pytest.raises(JobRefused, match=r"A: needs 81.0 GB.*B: needs 81.0 GB"):
        advance(cluster, submitted("huge", memory_bytes=81 * GB))


def test_an_empty_cluster_refuses_every_job():
    with pytest.raises(JobRefused, match="the cluster has no GPUs"):
        advance(Cluster(), submitted("j"))


def test_exactly_the_total_and_exactly_the_memory_are_accepted():
    cluster = replay([joined("A", 4, memory_bytes=80 * GB)])
    advance(cluster, submitted("j", gpus=4, memory_bytes=80 * GB))
    assert queue_ids(cluster) == ["j"]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (placed("ghost", time_s=1.0), "job ghost: placed, but it does not wait"),
        (placed("runs", time_s=1.0), "job runs: placed, but it does not wait"),
        (placed("waits", gpus=2, time_s=1.0), "job waits: takes 1 GPUs on A, got 2"),
        (placed("waits", "H", time_s=1.0), "job waits: may not run on H"),
        (placed("wide", gpus=4, time_s=1.0), "job wide: needs 4 GPUs on A, 3 are free"),
        (AttemptFinished(time_s=1.0, job_id="waits", attempt=1), "job waits: attempt 1 ended, but the job does not"),
        (AttemptFinished(time_s=1.0, job_id="runs", attempt=2), "job runs: attempt 1 runs, got the end of 2"),
        (AttemptFailed(time_s=1.0, job_id="runs", attempt=0, reason=""), "got the end of 0"),
        (submitted("runs", time_s=1.0), "job runs: submitted before"),
        (submitted("done", time_s=1.0), "job done: submitted before"),
        (joined("A", 4, time_s=1.0), "node n1: its A GPUs joined before"),
        (joined("A", 0, node="n9", time_s=1.0), "node n9: gpus must be >= 1, got 0"),
        (submitted("late", time_s=0.5), "not before the present 1.0"),
        (JobCancelled(time_s=float("nan"), job_id="waits"), "time_s must be finite"),
    ],
)
def test_an_illegal_event_names_the_culprit_and_changes_nothing(event, message):
    cluster = cluster_with(
        submitted("runs"), placed("runs"), submitted("done"), JobCancelled(time_s=0.0, job_id="done"),
        submitted("waits"), submitted("wide", time_s=1.0, gpus=4),
    )  # fmt: skip
    before = cluster.snapshot()
    with pytest.raises(IllegalEvent, match=message):
        advance(cluster, event)
    assert cluster.snapshot() == before


def by_time(job, gpu_type, prediction):
    return prediction.runtime_s


def test_the_ranking_follows_jobs_as_they_come_and_go():
    cluster = cluster_with(submitted("slow", predictions=seen(A=(30, 1), B=(40, 1))))
    ranking = cluster.ranked(by_time)
    assert list(ranking) == [("slow", "A"), ("slow", "B")]
    advance(cluster, submitted("fast", time_s=1.0, predictions=seen(A=(35, 1), B=(5, 1))))
    assert list(cluster.ranked(by_time)) == [("fast", "B"), ("slow", "A"), ("fast", "A"), ("slow", "B")]
    assert cluster.ranked(by_time) is ranking
    advance(cluster, placed("fast", "B", time_s=1.0))
    assert list(ranking) == [("slow", "A"), ("slow", "B")]
    advance(cluster, AttemptFailed(time_s=2.0, job_id="fast", attempt=1, reason="killed"))
    assert next(iter(ranking)) == ("fast", "B")


def test_a_ranking_is_forgotten_with_its_key():
    calls = []

    def key(job, gpu_type, prediction):
        calls.append(job.job_id)
        return prediction.runtime_s

    cluster = cluster_with(submitted("early"))
    cluster.ranked(key)
    del key
    advance(cluster, submitted("late", time_s=1.0))
    assert set(calls) == {"early"}


def test_equal_keys_rank_by_queue_place_then_by_type():
    same = seen(A=(10, 1), B=(10, 1))
    cluster = cluster_with(*(submitted(job_id, predictions=same) for job_id in ("2", "10")))
    assert list(cluster.ranked(by_time)) == [("10", "A"), ("10", "B"), ("2", "A"), ("2", "B")]


def test_a_joining_type_opens_to_jobs_that_wait():
    cluster = replay([joined("B", 2), submitted("j")])
    assert list(cluster.ranked(by_time)) == [("j", "B")]
    advance(cluster, joined("A", 1, time_s=1.0))
    assert list(cluster.ranked(by_time)) == [("j", "A"), ("j", "B")]


def test_fitting_pairs_follow_the_free_gpus_as_they_shrink():
    cluster = cluster_with(
        submitted("wide", gpus=3, predictions=seen(A=(1, 1))),
        submitted("wider", gpus=2, predictions=seen(A=(2, 1))),
        submitted("narrow", predictions=seen(A=(3, 1), B=(3, 1))),
    )
    cluster.free["B"] = 0
    room, reached = cluster.room(), []
    for job_id, gpu_type in cluster.ranked(by_time).fitting(room):
        reached.append((job_id, gpu_type))
        room.take(cluster.waiting[job_id], gpu_type)
    assert reached == [("wide", "A"), ("narrow", "A")]


def test_a_key_that_is_not_a_number_is_refused_by_name():
    cluster = cluster_with(submitted("j"))
    with pytest.raises(InputError, match="job j on A: its rank is not a number"):
        cluster.ranked(lambda *_: float("nan"))


def test_a_snapshot_does_not_move_with_the_cluster():
    cluster = cluster_with(submitted("j"))
    before = cluster.snapshot()
    advance(cluster, placed("j"))
    assert before.free == {"A": 4, "B": 2}
    assert before != cluster.snapshot()
    assert replace(before, now_s=1.0) != before
