"""A drain that is taken back: the node's boards are given out again, but for those that are still in use."""

import pytest

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import (
    AttemptFinished,
    GpusHeld,
    GpusJoined,
    JobPlaced,
    JobSubmitted,
    NodeDrained,
    NodeLost,
    NodeUndrained,
)
from kilowait.core.errors import IllegalEvent
from kilowait.core.jobs import Job, Prediction
from kilowait.policies.simple import simple


def joined(node, gpus, gpu_type="A", **fields):
    return GpusJoined(time_s=0.0, node=node, gpu_type=gpu_type, gpus=gpus, **fields)


def submitted(job_id, on="A", **fields):
    seen = {gpu_type: Prediction(runtime_s=10.0, energy_kwh=1.0) for gpu_type in on}
    return JobSubmitted(time_s=0.0, job=Job(job_id=job_id, submit_s=0.0, **fields), predictions=seen)


def drained(node):
    return NodeDrained(time_s=0.0, node=node)


def undrained(node):
    return NodeUndrained(time_s=0.0, node=node)


def start(cluster, job_id, on="A"):
    """The event that places a job where the cluster puts it."""
    waiting = cluster.waiting[job_id]
    event = JobPlaced(
        time_s=0.0,
        job_id=job_id,
        attempt=waiting.attempt,
        gpu_type=on,
        gpus=waiting.gpus[on],
        where=cluster.locate(waiting, on),
    )
    advance(cluster, event)
    return event


def finish(cluster, job_id):
    event = AttemptFinished(time_s=0.0, job_id=job_id, attempt=cluster.active[job_id].attempt)
    advance(cluster, event)
    return event


def test_a_node_comes_back_with_all_but_what_its_jobs_still_have():
    cluster = replay([joined("n1", 4, memory_bytes=40), joined("n2", 2, memory_bytes=80)])
    for event in (submitted("r", gpus=3), submitted("wide", gpus=4)):
        advance(cluster, event)
    start(cluster, "r")
    advance(cluster, drained("n1"))
    assert ([*cluster.stranded], cluster.memory_bytes) == (["wide"], {"A": 80})
    advance(cluster, undrained("n1"))
    assert (cluster.total, cluster.free, cluster.largest) == ({"A": 6}, {"A": 3}, {"A": 4})
    assert (cluster.draining, [*cluster.waiting], cluster.memory_bytes) == (set(), ["wide"], {"A": 40})
    assert cluster.predicted_ends()["A"] == [(10.0, 3000)]
    finish(cluster, "r")
    assert cluster.free == {"A": 6}
    assert [decision.job_id for decision in simple()(cluster)] == ["wide"]


def test_what_ended_meanwhile_is_free_again():
    cluster = replay([joined("n1", 2), submitted("r"), submitted("s")])
    start(cluster, "r")
    start(cluster, "s")
    advance(cluster, drained("n1"))
    finish(cluster, "r")
    assert cluster.free == {"A": 0}
    advance(cluster, undrained("n1"))
    assert (cluster.free, cluster.free_on("n1", "A")) == ({"A": 1}, 1)
    finish(cluster, "s")
    assert cluster.free == {"A": 2}


def test_shared_boards_come_back_with_what_is_left_on_them():
    cluster = replay([joined("n1", 2), *(submitted(name, gpu_milli=400) for name in ("s", "t", "u"))])
    start(cluster, "s")
    start(cluster, "t")
    advance(cluster, drained("n1"))
    finish(cluster, "t")
    advance(cluster, undrained("n1"))
    assert cluster.free == {"A": 1}
    assert start(cluster, "u").where == (cluster.active["s"].where)  # 600 thousandths are left beside the first
    assert cluster.free == {"A": 1}
    finish(cluster, "s")
    finish(cluster, "u")
    assert cluster.free == {"A": 2}


def test_a_gang_over_two_nodes_holds_on_the_one_that_comes_back_what_it_held():
    cluster = replay([joined("n1", 2), joined("n2", 2), submitted("g", gpus=3)])
    start(cluster, "g")
    advance(cluster, drained("n1"))
    assert cluster.free == {"A": 1}
    advance(cluster, undrained("n1"))
    assert (cluster.free, cluster.free_on("n1", "A")) == ({"A": 1}, 0)
    finish(cluster, "g")
    assert cluster.free == {"A": 4}


def test_boards_that_others_held_are_theirs_still():
    cluster = replay([joined("n1", 4), GpusHeld(time_s=0.0, node="n1", gpu_type="A", gpus=1)])
    advance(cluster, drained("n1"))
    advance(cluster, undrained("n1"))
    assert (cluster.free, cluster.held) == ({"A": 3}, {("n1", "A"): 1})
    advance(cluster, GpusHeld(time_s=0.0, node="n1", gpu_type="A", gpus=0))
    assert cluster.free == {"A": 4}


def test_a_node_of_two_types_comes_back_with_both():
    cluster = replay([joined("n1", 1), joined("n1", 2, "B"), joined("n2", 1)])
    advance(cluster, drained("n1"))
    assert cluster.total == {"A": 1, "B": 0}
    advance(cluster, undrained("n1"))
    assert (cluster.total, cluster.free) == ({"A": 2, "B": 2}, {"A": 2, "B": 2})


def test_it_may_drain_again_and_leave_and_join_anew():
    cluster = replay([joined("n1", 1), drained("n1"), undrained("n1"), drained("n1")])
    advance(cluster, NodeLost(time_s=0.0, node="n1"))
    with pytest.raises(IllegalEvent, match="node n1"):
        advance(cluster, undrained("n1"))
    advance(cluster, joined("n1", 3))
    assert (cluster.total, cluster.free) == ({"A": 3}, {"A": 3})


@pytest.mark.parametrize("node", ["n1", "n9"])
def test_what_does_not_drain_is_left_as_it_is(node):
    cluster = replay([joined("n1", 1)])
    before = cluster.snapshot()
    with pytest.raises(IllegalEvent, match=f"node {node}: it does not drain, or is not here"):
        advance(cluster, undrained(node))
    assert cluster.snapshot() == before


def test_a_copy_drains_and_comes_back_without_the_first():
    cluster = replay([joined("n1", 2), joined("n2", 1), drained("n1")])
    other = cluster.copy()
    advance(other, undrained("n1"))
    assert (other.free, cluster.free, cluster.draining) == ({"A": 3}, {"A": 1}, {"n1"})
    advance(cluster, undrained("n1"))
    assert cluster.free == {"A": 3}
