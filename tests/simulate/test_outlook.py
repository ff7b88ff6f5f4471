"""The cluster run ahead of itself, on timelines that can be checked in the head."""

import math

import numpy as np
import pytest
from scipy.stats import lognorm

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import GpusHeld, GpusJoined, JobPlaced, JobSubmitted, NodeDrained
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job
from kilowait.policies import POLICIES
from kilowait.simulate.ahead import run_ahead
from kilowait.simulate.outlook import ENOUGH, PRIOR_SD, Errors, errors_of, outlook, quantile, what_if
from tests.support.live_world import seen

EXACT = Errors(sd=0.0)


def joined(gpu_type, gpus, node="n"):
    return GpusJoined(time_s=0.0, node=f"{node}-{gpu_type}", gpu_type=gpu_type, gpus=gpus)


def submitted(job_id, at_s, predictions, **fields):
    job = Job(job_id=job_id, submit_s=at_s, **fields)
    return JobSubmitted(time_s=at_s, job=job, predictions=predictions)


def placed(job_id, at_s, gpu_type, gpus=1):
    return JobPlaced(time_s=at_s, job_id=job_id, attempt=1, gpu_type=gpu_type, gpus=gpus)


@pytest.fixture
def cluster():
    """One A; r runs on it from 0 for 10 s; x (4 s) and then y (2 s) wait for it."""
    events = [
        joined("A", 1),
        submitted("r", 0.0, seen(A=(10, 1))),
        placed("r", 0.0, "A"),
        submitted("x", 1.0, seen(A=(4, 2))),
        submitted("y", 2.0, seen(A=(2, 3))),
    ]
    return replay(events, ("A", "B"))


def starts(found):
    return {job_id: (one.gpu_type, one.start_s, one.end_s, one.energy_kwh) for job_id, one in found.items()}


def test_jobs_start_when_those_before_them_end(cluster):
    found = outlook(cluster, POLICIES["simple"](), 5.0, EXACT, 0)
    assert starts(found) == {"x": ("A", 10.0, 14.0, 2), "y": ("A", 14.0, 16.0, 3)}
    sjf = outlook(cluster, POLICIES["sjf"](), 5.0, EXACT, 0)
    assert starts(sjf) == {"y": ("A", 10.0, 12.0, 3), "x": ("A", 12.0, 16.0, 2)}


def test_looking_ahead_changes_nothing(cluster):
    before = cluster.snapshot()
    outlook(cluster, POLICIES["value"](kappa_relative=1.0), 5.0, Errors(), 0)
    job = Job(job_id="z", submit_s=5.0)
    what_if(cluster, POLICIES["value"](kappa_relative=1.0), 5.0, job, seen(A=(1, 1)), Errors(), 0)
    assert cluster.snapshot() == before
    assert cluster.scale.pairs == 3


def test_what_a_job_would_get_by_type_and_left_to_the_policy(cluster):
    advance(cluster, GpusJoined(time_s=2.0, node="m", gpu_type="B", gpus=1))
    job = Job(job_id="z", submit_s=0.0)
    found = what_if(cluster, POLICIES["simple"](), 5.0, job, seen(A=(3, 1), B=(30, 0.5)), EXACT, 0)
    # x and y cannot use B; first come, first served: z waits until y has started at 14
    assert (found["B"].start_s, found["B"].end_s, found["B"].energy_kwh) == (14.0, 44.0, 0.5)
    assert (found["A"].start_s, found["A"].end_s) == (16.0, 19.0)
    assert found[None].gpu_type == "B"
    wide = what_if(cluster, POLICIES["simple"](), 5.0, Job(job_id="z", submit_s=0.0, gpus=2), seen(A=(3, 1)), EXACT, 0)
    assert wide["A"] == "needs 2 GPUs, the cluster has 1"
    assert wide["B"] == "no prediction for this type"
    assert "can never run here" in wide[None]


def test_a_job_that_overran_is_expected_to_go_on_for_a_while_and_intervals_hold_the_point(cluster):
    found = outlook(cluster, POLICIES["simple"](), 20.0, Errors(sd=0.5), 0)["x"]
    assert found.start_s > 20.0
    assert 20.0 <= found.start_low_s <= found.start_s <= found.start_high_s
    assert found.start_high_s > found.start_low_s


@pytest.mark.parametrize(("run_s", "share"), [(0.0, 0.5), (0.0, 0.05), (50.0, 0.5), (50.0, 0.95), (300.0, 0.5)])
def test_the_rest_of_a_run_is_the_truncated_log_normal(run_s, share):
    drawn = lognorm(s=0.5, scale=100.0)
    expected = drawn.isf((1 - share) * drawn.sf(run_s))
    assert quantile(share, 100.0, run_s, 0.5) == pytest.approx(expected, rel=1e-6)


def test_even_a_run_far_beyond_its_prediction_is_expected_to_take_a_little_longer():
    assert 1e6 < quantile(0.5, 1.0, 1e6, 0.5) < 1.1e6


@pytest.mark.parametrize("errors", [EXACT, Errors(sd=0.1), Errors()], ids=["exact", "narrow", "prior"])
def test_behind_a_job_that_has_overrun_by_far_a_start_is_when_its_renewed_estimate_passes(cluster, errors):
    """`r` was to take 10 s and has run for 100: it is expected to take 160, the draws twice as long as it has run."""
    found = outlook(cluster, POLICIES["simple"](), 100.0, errors, 0)
    assert starts(found)["x"] == ("A", 160.0, 164.0, 2)
    assert found["x"].start_low_s > 100.0
    assert found["x"].start_high_s >= 200.0  # the median of what is drawn


def test_errors_come_from_what_was_measured_once_there_is_enough():
    assert errors_of([(1.0, 2.0)] * (ENOUGH - 1)).sd == PRIOR_SD
    found = errors_of([(1.0, 2.0)] * ENOUGH)
    assert found.sd == pytest.approx(math.log(2))
    assert found.basis == f"{ENOUGH} jobs measured here"


def test_a_long_queue_gets_no_interval_rather_than_a_late_answer():
    events = [joined("A", 1), *(submitted(f"j{n:05d}", 0.0, seen(A=(1, 1))) for n in range(4000))]
    found = outlook(replay(events), POLICIES["simple"](), 0.0, Errors(), 0)
    assert (found["j03999"].start_s, found["j03999"].start_low_s) == (pytest.approx(3999.0), None)


def test_boards_that_others_hold_and_nodes_that_drain_are_not_given_out():
    events = [
        joined("A", 2, "n"),
        joined("A", 2, "m"),
        submitted("r", 0.0, seen(A=(10, 1)), gpus=2),
        placed("r", 0.0, "A", 2),
        submitted("w", 1.0, seen(A=(5, 1)), gpus=2),
    ]
    cluster = replay(events)
    node = cluster.active["r"].where[0].node
    other = next(name for name, _ in cluster.nodes if name != node)
    advance(cluster, GpusHeld(time_s=1.0, node=other, gpu_type="A", gpus=1))
    assert outlook(cluster, POLICIES["simple"](), 2.0, EXACT, 0)["w"].start_s == 10.0
    advance(cluster, NodeDrained(time_s=2.0, node=node))
    assert outlook(cluster, POLICIES["simple"](), 2.0, EXACT, 0) == {}


def test_a_copy_goes_its_own_way():
    rng = np.random.default_rng(0)
    cluster = Cluster()
    for event in (joined("A", 2, "n"), joined("A", 2, "m")):
        advance(cluster, event)
    for n in range(20):
        seconds = float(rng.uniform(1, 9))
        advance(cluster, submitted(f"j{n}", 0.0, seen(A=(seconds, 1)), gpus=int(rng.integers(1, 3))))
    twin = cluster.copy()
    run_ahead(twin, POLICIES["easy"](), 0.0, lambda _, predicted_s, run_s: max(predicted_s, run_s))
    assert len(cluster.waiting) == 20
    assert not twin.waiting
    assert cluster.boards["A"].free_on("n-A") == 2


def test_a_policy_that_preempts_is_looked_ahead_with(cluster):
    events = [
        joined("A", 1),
        submitted("long", 0.0, seen(A=(100, 1)), checkpoint_s=5.0),
        placed("long", 0.0, "A"),
        submitted("short", 50.0, seen(A=(10, 1))),
    ]
    found = outlook(replay(events, ("A",)), POLICIES["srpt"](hysteresis=1.0), 50.0, EXACT, 0)
    assert starts(found) == {"short": ("A", 50.0, 60.0, 1)}
