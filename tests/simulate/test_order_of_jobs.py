"""Jobs that run after others in simulations: in order, waiting since their parents ended, refused with them."""

import pytest

from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.core.over_time.signals import Signal
from kilowait.policies import POLICIES
from kilowait.simulate.jobs_csv import read_submissions
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from kilowait.simulate.simulation import simulate as simulation


def job(name, seconds, *after, gpus=1, submit_s=0.0, **fields):
    told = {"A": Prediction(runtime_s=seconds, energy_kwh=1.0)}
    return Submission(job=Job(job_id=name, submit_s=submit_s, gpus=gpus, after=after, **fields), truth=told, seen=told)


def starts(run):
    return {placement.job_id: placement.start_s for placement in run.placements}


@pytest.mark.parametrize("policy", ["simple", "easy", "patient", "aged(sjf,1h)", "srpt"])
def test_a_diamond_runs_in_its_order_under_any_policy_and_waits_from_when_it_may_run(policy):
    jobs = [job("d", 5, "b", "c"), job("a", 10), job("b", 20, "a"), job("c", 30, "a"), job("z", 1, "a", submit_s=50.0)]
    run = simulate(jobs, {"A": 4}, POLICIES[policy]())
    assert starts(run) == {"a": 0.0, "b": 10.0, "c": 10.0, "d": 40.0, "z": 50.0}
    assert {placement.wait_s for placement in run.placements} == {0.0}


def test_a_job_may_be_submitted_before_its_parent():
    run = simulate([job("child", 5, "parent"), job("parent", 10, submit_s=100.0)], {"A": 1}, POLICIES["simple"]())
    assert starts(run) == {"parent": 100.0, "child": 110.0}


def test_a_parent_that_is_named_twice_counts_once():
    run = simulate([job("child", 5, "parent", "parent"), job("parent", 10)], {"A": 1}, POLICIES["simple"]())
    assert starts(run) == {"parent": 0.0, "child": 10.0}


def test_what_runs_after_a_job_that_can_never_run_is_refused_too():
    jobs = [job("early", 1, "huge"), job("huge", 1, gpus=9, submit_s=5.0), job("late", 1, "early", submit_s=9.0)]
    run = simulate([*jobs, job("fine", 1)], {"A": 4}, POLICIES["simple"]())
    assert list(starts(run)) == ["fine"]
    assert set(run.refused) == {"early", "huge", "late"}
    assert "after job huge" in run.refused["early"]
    assert "after job early" in run.refused["late"]


def test_what_runs_after_two_of_a_refused_chain_of_any_length_is_refused_once():
    chain = [job("j0", 1, "huge"), *(job(f"j{n}", 1, "huge", f"j{n - 1}") for n in range(1, 3))]
    long = [job("l0", 1, "huge"), *(job(f"l{n}", 1, f"l{n - 1}") for n in range(1, 1500))]
    run = simulate([*chain, *long, job("huge", 1, gpus=9, submit_s=5.0)], {"A": 4}, POLICIES["simple"]())
    assert run.refused.keys() == {"huge", *(one.job.job_id for one in (*chain, *long))}
    assert "after job huge" in run.refused["j2"]


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ([job("a", 1, "x")], "which is not among the jobs"),
        ([job("a", 1, "b"), job("b", 1, "a")], "in a ring"),
        ([job("a", 1, "a")], "in a ring"),
    ],
)
def test_an_order_that_cannot_be_is_refused(jobs, said):
    with pytest.raises(InputError, match=said):
        simulate(jobs, {"A": 1}, POLICIES["simple"]())


def test_the_slack_of_a_job_begins_when_it_may_run():
    hour = 3600.0
    carbon = Signal(name="carbon", times_s=(0.0, 3 * hour), values=(300.0, 100.0), ends_s=24 * hour)
    jobs = [job("a", 2 * hour, slack_s=0.0), job("b", hour, "a", slack_s=1.5 * hour)]
    found = simulation(jobs, {"A": 2}, "flexible(simple,0s)", signals={"carbon": carbon})
    assert starts(found.run) == {"a": 0.0, "b": 3 * hour}


def test_a_file_says_after_which_jobs_one_runs(tmp_path):
    (tmp_path / "jobs.csv").write_text("job_id,submit_s,gpus,A_s,A_kwh,after\na,0,1,10,1,\nb,0,1,5,1,\nc,0,1,5,1,a b\n")
    jobs = read_submissions(tmp_path / "jobs.csv", ["A"])
    assert [one.job.after for one in jobs] == [(), (), ("a", "b")]
    assert starts(simulate(jobs, {"A": 2}, POLICIES["simple"]()))["c"] == 10.0
