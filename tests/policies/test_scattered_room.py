"""Reservations of boards: what a planner keeps for a job that finds its boards scattered, and what may pass."""

import random

import pytest

from kilowait.cluster.events import JobPlaced
from kilowait.core.jobs import Job, Prediction
from kilowait.policies import POLICIES
from kilowait.policies.conservative import conservative
from kilowait.policies.easy import easy
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from tests.support import nodes_reference as slow

PLANNERS = ("easy", "conservative", "patient", "anticipatory", "milp")
MONTH_S = 30 * 86_400


def one(job_id, submit_s=0, seconds=10, seen_s=None, **fields):
    truth, seen = ({"A": Prediction(runtime_s=s, energy_kwh=0.01)} for s in (seconds, seen_s or seconds))
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, **fields), truth=truth, seen=seen)


def starts(policy, nodes, *jobs):
    run = simulate(jobs, {"A": sum(nodes)}, policy, nodes={"A": nodes})
    return {p.job_id: p.start_s for p in run.placements}


@pytest.mark.parametrize("name", PLANNERS)
def test_jobs_that_end_before_a_node_is_free_pass_one_that_waits_for_it(name):
    """Three boards of each node are free until day 30: `six` waits for a node, and nobody is in its way till then."""
    jobs = [
        one("n0", seconds=MONTH_S, gpus=5, one_node=True),
        one("n1", seconds=MONTH_S, gpus=5, one_node=True),
        one("six", 1, 60, gpus=6, one_node=True),
        one("b0", 2, 60),
        one("b1", 3, 60),
    ]
    assert starts(POLICIES[name](), [8, 8], *jobs) == {"n0": 0, "n1": 0, "six": MONTH_S, "b0": 2, "b1": 3}


@pytest.mark.parametrize("policy", [easy(), conservative()], ids=lambda p: p.__name__)
def test_a_job_that_outlasts_the_wait_takes_the_room_that_the_reserved_job_will_not(policy):
    """`pair` waits until 50 for both boards of node 0, one of which is free; so is one of the 3 of node 1 until 90.

    Best fit would put `long` on node 0, the first of two with a free board, and `pair` could not start at 50: it takes
    the other. `short` ends on node 0 before; `late` would not, and waits for `pair`.
    """
    jobs = [one("n0", seconds=50), one("n1", seconds=90, gpus=2, one_node=True)]
    jobs += [one("pair", 1, 5, gpus=2, one_node=True), one("long", 2, 100), one("short", 3, 40), one("late", 4, 100)]
    assert starts(policy, [2, 3], *jobs) == {
        "n0": 0,
        "n1": 0,
        "long": 2,  # on node 1
        "short": 3,  # on node 0, until 43
        "pair": 50,
        "late": 55,
    }


def test_the_boards_that_were_kept_are_named_where_best_fit_would_take_them():
    jobs = [one("n0", seconds=50), one("n1", seconds=90, gpus=2, one_node=True)]
    jobs += [one("pair", 1, 5, gpus=2, one_node=True), one("long", 2, 100)]
    run = simulate(jobs, {"A": 5}, easy(), nodes={"A": [2, 3]})
    (placed,) = (e for e in run.events if isinstance(e, JobPlaced) and e.job_id == "long")
    assert [held.gpus for held in placed.where] == [1]
    (pair,) = (e for e in run.events if isinstance(e, JobPlaced) and e.job_id == "pair")
    assert pair.where[0].node != placed.where[0].node


@pytest.mark.parametrize("policy", [easy(), conservative()], ids=lambda p: p.__name__)
def test_a_share_passes_a_job_that_waits_for_a_whole_board_unless_it_is_the_only_one(policy):
    """Three boards have 400 thousandths left until 10; `whole` takes one of them then, and `late` may have another."""
    shares = [one(job_id, gpu_milli=600) for job_id in "abc"]
    behind = [one("whole", 1), one("late", 2, 30, gpu_milli=100)]
    assert starts(policy, [3], *shares, *behind) == {"a": 0, "b": 0, "c": 0, "whole": 10, "late": 2}
    assert starts(policy, [1], shares[0], *behind) == {"a": 0, "whole": 10, "late": 20}
    assert starts(policy, [1], shares[0], behind[0], one("quick", 2, 8, gpu_milli=100)) == {
        "a": 0,
        "whole": 10,
        "quick": 2,
    }


def random_case(rng):
    """Few nodes, whole jobs of which many ask for one node, half of them with wrong predictions."""
    nodes = {t: [rng.randint(1, 4) for _ in range(rng.randint(1, 3))] for t in ("A", "B")[: rng.randint(1, 2)]}
    plain, submissions = [], []
    for serial in range(rng.randint(1, 14)):
        allowed = sorted(rng.sample(("A", "B"), rng.randint(1, 2)))
        time = {t: rng.choice((1, 2, 3, 4, 8, 20)) for t in allowed}
        seen = time if rng.random() < 0.5 else {t: rng.choice((1, 2, 4, 6)) for t in allowed}
        asked = {"gpus": rng.randint(1, 5), "one_node": rng.random() < 0.5}
        submit = rng.randint(0, 8)
        plain.append(slow.RefJob(job_id=str(serial), submit=submit, time=time, seen=seen, **asked))
        submissions.append(
            Submission(
                job=Job(job_id=str(serial), submit_s=submit, **asked),
                truth={t: Prediction(runtime_s=s, energy_kwh=0) for t, s in time.items()},
                seen={t: Prediction(runtime_s=s, energy_kwh=0) for t, s in seen.items()},
            )
        )
    pinned = {
        "P": 300
    }  # it runs from 0 on, apart from all others: as long as it asks for one node, boards are told apart
    plain.append(slow.RefJob(job_id="pin", submit=0, gpus=1, one_node=True, time=pinned, seen=pinned))
    table = {"P": Prediction(runtime_s=300, energy_kwh=0)}
    submissions.append(Submission(job=Job(job_id="pin", submit_s=0, one_node=True), truth=table, seen=table))
    return {**nodes, "P": [1, 1]}, plain, submissions


@pytest.mark.parametrize(("policy", "decide"), [(easy(), slow.easy), (conservative(), slow.conservative)])
def test_placement_by_placement_and_node_by_node_as_the_slow_reference(policy, decide):
    rng = random.Random(20261130)
    for _ in range(150):
        nodes, plain, submissions = random_case(rng)
        run = simulate(submissions, {t: sum(n) for t, n in nodes.items()}, policy, nodes=nodes)
        expected = slow.run(plain, nodes, decide)
        assert [(p.job_id, p.gpu_type, p.start_s, p.end_s) for p in run.placements] == [e[:4] for e in expected]
        places = [(e.job_id, sorted(held.gpus for held in e.where)) for e in run.events if isinstance(e, JobPlaced)]
        assert places == [(e[0], sorted(filter(None, e[4]))) for e in expected]
