"""Scores against a schedule worked out by hand."""

import pytest

from kilowait.core.jobs import Job, Prediction
from kilowait.policies.simple import simple
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from kilowait.simulate.scores import score


def one(job_id, submit_s, runtime_s, energy_kwh, gpus=1, gpu_type="A"):
    table = {gpu_type: Prediction(runtime_s=runtime_s, energy_kwh=energy_kwh)}
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, gpus=gpus), truth=table, seen=table)


def test_scores_of_three_jobs_on_two_gpus():
    # a: 100..3700 on both, b: waits 1100, 3700..7300 on one, c: waits 100, 3700..5500 on the other
    jobs = [one("a", 100, 3600, 3.0, gpus=2), one("b", 2600, 3600, 1.0), one("c", 3600, 1800, 0.5)]
    scores = score(simulate(jobs, {"A": 2}, simple()), idle_power_w={"A": 50})
    assert (scores.policy, scores.jobs, scores.delayed_tasks) == ("simple", 3, 2)
    assert (scores.total_wait_s, scores.running_s, scores.makespan_s) == (1200, 9000, 7300)
    assert scores.energy_kwh == 4.5
    # window 100..7300 on 2 GPUs is 14400 GPU-seconds; busy 7200 + 3600 + 1800; 1800 idle at 50 W are 0.025 kWh
    assert scores.cluster_energy_kwh == pytest.approx(4.525)
    # waits 0, 100, 1100: the median is 100, p99 lies 0.98 of the way from 100 to 1100
    assert (scores.p50_wait_s, scores.max_wait_s) == (100, 1100)
    assert scores.p99_wait_s == pytest.approx(1080)


def test_an_idle_type_counts_its_whole_window():
    run = simulate([one("a", 0, 3600, 1.0)], {"A": 1, "B": 10}, simple())
    assert score(run, idle_power_w={"A": 50, "B": 20}).cluster_energy_kwh == pytest.approx(1.2)


def test_idle_power_comes_from_the_catalogue_or_is_unknown():
    known = score(simulate([one("a", 0, 3600, 1.0, gpu_type="A6000")], {"A6000": 2}, simple()))
    assert known.cluster_energy_kwh == pytest.approx(1.025)  # one idle board at the catalogue's 25 W for an hour
    assert score(simulate([one("a", 0, 3600, 1.0)], {"A": 2}, simple())).cluster_energy_kwh is None


def test_refused_jobs_are_not_scored():
    jobs = [one("wide", 0, 10, 1, gpus=5), one("a", 3600, 3600, 1)]
    scores = score(simulate(jobs, {"A": 1}, simple()), idle_power_w={"A": 100})
    assert (scores.jobs, scores.cluster_energy_kwh) == (1, 1)


def test_no_jobs_score_zero():
    scores = score(simulate([], {"A": 1}, simple()))
    assert (scores.jobs, scores.total_wait_s, scores.makespan_s, scores.energy_kwh) == (0, 0, 0, 0)
    assert (scores.p50_wait_s, scores.p99_wait_s, scores.max_wait_s, scores.cluster_energy_kwh) == (0, 0, 0, 0)
