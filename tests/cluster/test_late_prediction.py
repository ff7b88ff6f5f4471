"""A prediction that follows a guess: who waits is placed by it, who was placed is not, and a replay places alike."""

from math import log, nan

import pytest

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import AttemptFailed, AttemptFinished, JobPlaced, JobPredicted
from kilowait.core.errors import IllegalEvent, InputError
from kilowait.policies import POLICIES
from tests.cluster.test_cluster import by_time, joined, placed, queue_ids, seen, submitted

GUESS = seen(A=(3600, 1.0), B=(7200, 2.0))
TRUE = seen(A=(10, 0.5), B=(5, 0.1))


def predicted(job_id, predictions=TRUE, time_s=1.0, problem=None):
    return JobPredicted(time_s=time_s, job_id=job_id, predictions=predictions, problem=problem)


def by_time_but_7(job, gpu_type, prediction):
    return nan if prediction.runtime_s == 7 else prediction.runtime_s


def a_cluster(*events):
    return replay([joined("A", 4), joined("B", 2), *events])


def test_a_job_that_waits_keeps_its_place_and_waits_by_its_prediction():
    cluster = a_cluster(submitted("j", predictions=GUESS), submitted("k", time_s=0.5))
    advance(cluster, predicted("j"))
    assert queue_ids(cluster) == ["j", "k"]
    assert (cluster.waiting["j"].predictions, cluster.waiting["j"].whole) == (TRUE, TRUE)
    advance(cluster, placed("j", time_s=2.0))
    assert cluster.active["j"].predicted_end_s == 12.0
    assert queue_ids(cluster) == ["k"]


def test_rankings_follow():
    cluster = a_cluster(submitted("j", predictions=GUESS), submitted("k", predictions=seen(A=(20, 1), B=(30, 1))))
    ranking = cluster.ranked(by_time)
    assert list(ranking) == [("k", "A"), ("k", "B"), ("j", "A"), ("j", "B")]
    advance(cluster, predicted("j"))
    assert list(ranking) == [("j", "B"), ("j", "A"), ("k", "A"), ("k", "B")]
    advance(cluster, placed("j", "B", time_s=2.0))
    assert list(ranking) == [("k", "A"), ("k", "B")]


def test_many_predictions_leave_no_entry_behind():
    cluster = a_cluster(submitted("j", predictions=GUESS))
    ranking = cluster.ranked(by_time)
    for n in range(500):
        advance(cluster, predicted("j", seen(A=(n + 1, 1), B=(500 - n, 1)), time_s=1.0 + n))
    assert sorted(ranking) == [("j", "A"), ("j", "B")]
    assert sum(len(bucket.entries) for bucket in ranking._buckets.values()) < 200


def test_how_large_jobs_are_is_counted_by_their_predictions():
    late = a_cluster(submitted("j", predictions=GUESS), submitted("k", predictions=seen(A=(20, 1))))
    advance(late, predicted("j"))
    assert late.scale.log_gpu_s_sum == pytest.approx(log(10) + log(5) + log(20))
    assert late.scale.log_energy_kwh_sum == pytest.approx(log(0.5) + log(0.1) + log(1))
    assert [waiting.predictions for waiting in late.recent.jobs] == [TRUE, seen(A=(20, 1))]


@pytest.mark.parametrize("problem", ["the program cannot be read", None])
def test_what_comes_too_late_or_not_at_all_changes_nothing(problem):
    cluster = a_cluster(
        submitted("runs", predictions=GUESS),
        placed("runs"),
        submitted("over", predictions=GUESS),
        placed("over"),
        AttemptFinished(time_s=0.0, job_id="over", attempt=1),
        submitted("again", predictions=GUESS),
        placed("again"),
        AttemptFailed(time_s=0.0, job_id="again", attempt=1, reason="lost"),
    )
    before = cluster.snapshot()
    for job_id in ("runs", "over", "again"):
        advance(cluster, predicted(job_id, time_s=0.0, problem=problem))
    assert cluster.snapshot() == before


def test_a_prediction_that_failed_leaves_the_guess():
    cluster = a_cluster(submitted("j", predictions=GUESS))
    advance(cluster, predicted("j", {}, problem="the program cannot be read"))
    assert cluster.waiting["j"].predictions == GUESS


@pytest.mark.parametrize(
    ("event", "error", "message"),
    [
        (predicted("j", seen(A=(7, 1), B=(1, 1))), InputError, "rank is not a number"),
        (predicted("ghost"), IllegalEvent, "job ghost: predicted, but it was never submitted"),
        (predicted("j", seen(A=(1, 1))), IllegalEvent, "job j: predicted, but not for B"),
    ],
)
def test_a_wrong_one_is_refused_and_changes_nothing(event, error, message):
    cluster = a_cluster(submitted("j", predictions=GUESS))
    ranking = cluster.ranked(by_time_but_7)
    before = cluster.snapshot()
    with pytest.raises(error, match=message):
        advance(cluster, event)
    assert cluster.snapshot() == before
    assert list(ranking) == [("j", "A"), ("j", "B")]


def test_one_that_fits_nowhere_waits_by_it_once_it_fits_again():
    cluster = replay([joined("A", 4), submitted("j", predictions=seen(A=(3600, 1)), gpus=3)])
    cluster.stranded["j"] = cluster.dequeue("j")  # as when its node has left
    advance(cluster, predicted("j", seen(A=(10, 1), B=(5, 1))))
    assert queue_ids(cluster) == ["j"]
    assert cluster.stranded == {}


@pytest.mark.parametrize(
    ("policy", "options"), [("sjf", {}), ("easy", {}), ("value", {"kappa_relative": 1.0}), ("patient", {})]
)
def test_a_replay_decides_alike(policy, options):
    """Six jobs under guesses, half of them predicted before the first decision: every prefix replays to the same."""
    events = [joined("A", 2), joined("B", 2)]
    events += [submitted(f"j{n}", predictions=GUESS, time_s=float(n)) for n in range(6)]
    events += [predicted(f"j{n}", seen(A=(n + 1, 1), B=(9 - n, 1)), time_s=6.0) for n in (1, 3, 5)]
    live, decide = replay([]), POLICIES[policy](**options)
    log_of = []
    for event in events:
        advance(live, event)
        log_of.append(event)
    for step in range(4):
        live.now_s = 7.0 + step
        for choice in decide(live):
            waiting = live.waiting[choice.job_id]
            event = JobPlaced(
                time_s=live.now_s,
                job_id=choice.job_id,
                attempt=waiting.attempt,
                gpu_type=choice.gpu_type,
                gpus=waiting.gpus[choice.gpu_type],
                where=live.locate(waiting, choice.gpu_type),
            )
            advance(live, event)
            log_of.append(event)
        again = replay(log_of)
        again.now_s = live.now_s
        assert again.snapshot() == live.snapshot()
        assert (again.scale, again.recent) == (live.scale, live.recent)
        assert POLICIES[policy](**options)(again) == decide(live)
        if live.active:
            job_id, active = next(iter(live.active.items()))
            log_of.append(AttemptFinished(time_s=live.now_s, job_id=job_id, attempt=active.attempt))
            advance(live, log_of[-1])
