"""Simulated nodes that are maintained, or kept for some users, at times: timelines that can be checked in the head."""

import pytest

from kilowait.core.errors import InputError
from kilowait.simulate.simulation import simulate

HEADER = "job_id,submit_s,gpus,A_s,A_kwh,user\n"


@pytest.fixture
def starts(tmp_path):
    """A function: the starts of jobs, given as lines, beside windows, given as lines."""

    def started(jobs, windows, gpus="A=1", policy="simple", header="node,begins_s,ends_s,users,reason"):
        (tmp_path / "jobs.csv").write_text(HEADER + "\n".join(jobs) + "\n")
        (tmp_path / "windows.csv").write_text("\n".join((header, *windows)) + "\n")
        done = simulate(tmp_path / "jobs.csv", gpus, policy, windows=tmp_path / "windows.csv")
        return {placement.job_id: placement.start_s for placement in done.placements}

    return started


POLICIES = ("simple", "value", "easy", "conservative", "patient", "aged(shared(value),7d)")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_job_that_would_not_be_over_before_maintenance_starts_after_it(starts, policy):
    jobs = ["short,0,1,50,1,", "long,60,1,80,1,"]
    assert starts(jobs, ["A-0,100,200,,new fans"], policy=policy) == {"short": 0, "long": 200}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_node_without_a_window_is_left_to_the_longer_job(starts, policy):
    jobs = ["short,0,1,100,1,", "long,0,1,300,1,"]
    assert starts(jobs, ["A-0,100,200,,"], gpus="A=2x1", policy=policy) == {"short": 0, "long": 0}


def test_whom_a_node_is_kept_for_may_be_there_at_any_time(starts):
    windows = ["A-0,0,1000,ada grace,"]
    assert starts(["a,0,1,80,1,bob", "b,10,1,80,1,grace"], windows) == {"b": 10, "a": 1000}


def test_a_node_may_have_several_windows(starts):
    windows = ["A-0,300,400,,", "A-0,100,200,,"]
    assert starts(["a,0,1,150,1,", "b,0,1,100,1,"], windows) == {"b": 0, "a": 400}


def test_a_job_that_waits_for_the_end_of_a_window_makes_others_wait_behind_it(starts):
    # the first waits until 200; what comes at 150 fits nowhere either, and comes behind it
    assert starts(["a,120,1,30,1,", "b,150,1,30,1,"], ["A-0,100,200,,"]) == {"a": 200, "b": 230}


@pytest.mark.parametrize(
    ("windows", "said"),
    [
        (["A-1,0,10,,"], "windows: no node is called 'A-1'; there are A-0"),
        (["A-0,20,10,,"], "line 2, column ends_s: must be after begins_s, which is 20, got '10'"),
        (["A-0,x,10,,"], "line 2, column begins_s: must be a finite number >= 0, got 'x'"),
        ([",0,10,,"], "line 2, column node: must not be empty"),
    ],
)
def test_a_wrong_window_is_named(starts, windows, said):
    with pytest.raises(InputError) as raised:
        starts(["a,0,1,30,1,"], windows)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("node,begins_s", "column ends_s: missing; the file has node, begins_s"),
        ("node,begins_s,ends_s,user", "column 'user': unknown; there are node, begins_s, ends_s, users, reason"),
        ("node,node,begins_s,ends_s", "column node: stands 2 times"),
    ],
)
def test_a_wrong_header_of_windows_is_named(starts, header, said):
    with pytest.raises(InputError) as raised:
        starts(["a,0,1,30,1,"], [], header=header)
    assert said in str(raised.value)
