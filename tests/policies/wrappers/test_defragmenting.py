"""Jobs are moved together so that the first waiting one fits: by hand, on two and three nodes of four boards."""

from dataclasses import replace

import pytest
from hypothesis import given

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import GpusJoined, JobPlaced, JobPreempted, JobSubmitted
from kilowait.cluster.restricted import with_jobs
from kilowait.core.errors import InputError
from kilowait.core.jobs import Held, Job
from kilowait.policies import POLICIES, Place, Preempt
from kilowait.policies.wrappers.defragmenting import defragmenting
from kilowait.simulate.loop import simulate
from tests.support.live_world import seen
from tests.support.random_worlds import worlds
from tests.support.timelines import job


def on_one_node(made):
    return replace(made, job=replace(made.job, one_node=True))


def placed(jobs, least_s=0.0, nodes=(4, 4)):
    run = simulate(jobs, {"A": sum(nodes)}, defragmenting(POLICIES["simple"](), least_s), nodes={"A": nodes})
    return [(p.job_id, p.attempt, p.start_s, p.end_s) for p in run.placements]


def fragmented(*, checkpoint_s=1.0):
    """From 5 on two of four boards are free on each node; "wide" wants four of one from 6 on."""
    runs = [job("p", gpus=2, A=(5, 1)), *(job(n, gpus=2, A=(50, 1), checkpoint_s=checkpoint_s) for n in "qr")]
    return [*map(on_one_node, runs), on_one_node(job("wide", 6, gpus=4, A=(10, 1)))]


def test_one_job_moves_so_that_the_first_that_waits_fits():
    assert placed(fragmented())[3:] == [("wide", 1, 6, 16), ("q", 2, 6, 51)]  # a second to go on, 44 s of work


def test_nobody_moves_who_has_no_checkpoint_or_has_run_too_short():
    assert placed(fragmented(checkpoint_s=None))[3] == ("wide", 1, 50, 60)
    assert placed(fragmented(), least_s=10.0)[3] == ("wide", 1, 50, 60)  # nothing happens before that


def test_the_fewest_move_and_of_these_the_cheapest():
    """On the first node two jobs of one board each would have to move; on the others one of two boards does."""
    cluster = world(3, a=("n0", 1, 1.0), b=("n0", 1, 1.0), c=("n1", 2, 9.0), d=("n2", 2, 5.0))
    assert preempted(defragmenting(POLICIES["simple"](), 0.0)(cluster)) == ["d"]


def test_nobody_moves_where_the_boards_are_too_few_or_the_policy_finds_room():
    full = world(2, a=("n0", 2, 1.0), b=("n1", 3, 1.0))
    assert defragmenting(POLICIES["simple"](), 0.0)(full) == []
    easy = world(3, a=("n0", 2, 1.0), b=("n1", 2, 1.0))
    assert preempted(defragmenting(POLICIES["simple"](), 0.0)(easy)) == []


@pytest.mark.parametrize(
    "name",
    [
        "defragmenting(simple,0s)",
        "steered(defragmenting(patient,0s))",
        "shared(steered(aged(defragmenting(patient,0s))))",
        "defragmenting(steered(patient),0s)",
    ],
)
def test_a_plan_is_kept_to_while_jobs_give_way_and_given_up_once_its_boards_are_others(name):
    """So it is under a price that steers itself, which stays as it is: all is of one type."""
    cluster, policy = world(2, a=("n0", 2, 1.0), b=("n1", 2, 1.0)), POLICIES[name]()
    plan = policy(cluster)
    assert preempted(plan) == ["a"]
    advance(cluster, JobPreempted(time_s=11.0, job_id="a", attempt=1, remaining=0.5))
    places = [one for one in plan if isinstance(one, Place)]
    assert policy(cluster) == places
    assert [(one.job_id, one.where) for one in places] == [
        ("wide", (Held(node="n0", gpus=4),)),
        ("a", (Held(node="n1", gpus=2),)),
    ]
    other = Job(job_id="other", submit_s=11.0, one_node=True)
    advance(cluster, JobSubmitted(time_s=11.0, job=other, predictions=seen(A=(9, 1))))
    taken = (Held(node="n0", gpus=1),)
    advance(cluster, JobPlaced(time_s=11.0, job_id="other", attempt=1, gpu_type="A", gpus=1, where=taken))
    assert not set(policy(cluster)) & set(places)


def test_a_plan_is_kept_to_where_a_wrapper_shows_some_jobs_after_the_others():
    """ "other" would fit on the boards that "a" is to move to, and is shown without it."""
    cluster, policy = world(2, a=("n0", 2, 1.0), b=("n1", 2, 1.0)), defragmenting(POLICIES["simple"](), 0.0)
    places = [one for one in policy(cluster) if isinstance(one, Place)]
    advance(cluster, JobPreempted(time_s=11.0, job_id="a", attempt=1, remaining=0.5))
    other = Job(job_id="other", submit_s=11.0, one_node=True)
    advance(cluster, JobSubmitted(time_s=11.0, job=other, predictions=seen(A=(9, 1))))

    def shown(job_id):
        return policy(with_jobs(cluster, [cluster.waiting[job_id]]))

    assert [shown(job_id) for job_id in ("wide", "other", "a")] == [[places[0]], [], [places[1]]]


def test_a_plan_of_another_cluster_is_forgotten():
    policy = defragmenting(POLICIES["simple"](), 0.0)
    assert preempted(policy(world(2, a=("n0", 2, 1.0), b=("n1", 2, 1.0)))) == ["a"]
    empty = replay([GpusJoined(time_s=0.0, node=f"n{n}", gpu_type="A", gpus=4) for n in range(2)], ("A",))
    for name in ("a", "b"):
        made = Job(job_id=name, submit_s=0.0, gpus=2, one_node=True)
        advance(empty, JobSubmitted(time_s=0.0, job=made, predictions=seen(A=(9, 1))))
    assert policy(empty) == POLICIES["simple"]()(empty)


def world(nodes, **running):
    """Nodes n0, n1... of four A; name=(node, boards, seconds to go on) runs since 0, "wide" wants four since 10."""
    events = [GpusJoined(time_s=0.0, node=f"n{n}", gpu_type="A", gpus=4) for n in range(nodes)]
    for name, (node, gpus, checkpoint_s) in running.items():
        made = Job(job_id=name, submit_s=0.0, gpus=gpus, one_node=True, checkpoint_s=checkpoint_s)
        where = (Held(node=node, gpus=gpus),)
        events += [
            JobSubmitted(time_s=0.0, job=made, predictions=seen(A=(100, 1))),
            JobPlaced(time_s=0.0, job_id=name, attempt=1, gpu_type="A", gpus=gpus, where=where),
        ]
    wide = Job(job_id="wide", submit_s=10.0, gpus=4, one_node=True)
    return replay([*events, JobSubmitted(time_s=10.0, job=wide, predictions=seen(A=(10, 1)))], ("A",))


def preempted(decisions):
    return [one.job_id for one in decisions if isinstance(one, Preempt)]


@given(worlds())
def test_all_jobs_run_and_where_nobody_can_move_nothing_changes(world):
    inventory, jobs = world
    nodes = {gpu_type: [1] * total for gpu_type, total in inventory.items()}
    plain = simulate(jobs, inventory, POLICIES["sjf"](), nodes=nodes)
    run = simulate(jobs, inventory, defragmenting(POLICIES["sjf"](), 0.0), nodes=nodes)
    assert run.placements == plain.placements


def test_a_time_that_is_none_is_refused():
    with pytest.raises(InputError, match="least_s must be finite and >= 0"):
        defragmenting(POLICIES["simple"](), -1.0)
