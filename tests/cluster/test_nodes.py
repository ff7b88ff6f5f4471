"""Nodes that join, drain and die, GPUs that others hold, and jobs that are given up."""

import contextlib
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import (
    AttemptFailed,
    AttemptFinished,
    GpusHeld,
    GpusJoined,
    JobCancelled,
    JobFailed,
    JobPlaced,
    JobSubmitted,
    NodeDrained,
    NodeLost,
    NodeUndrained,
)
from kilowait.core.errors import IllegalEvent, JobRefused
from kilowait.core.jobs import Held, Job, Prediction
from kilowait.policies import POLICIES, Place
from kilowait.policies.simple import simple
from tests.support.examples import examples

SEEN = {t: Prediction(runtime_s=10.0, energy_kwh=1.0) for t in ("A", "B")}


def joined(node, gpu_type, gpus, memory_bytes=None):
    return GpusJoined(time_s=0.0, node=node, gpu_type=gpu_type, gpus=gpus, memory_bytes=memory_bytes)


def submitted(job_id, on="AB", **fields):
    predictions = {t: SEEN[t] for t in on}
    return JobSubmitted(time_s=0.0, job=Job(job_id=job_id, submit_s=0.0, **fields), predictions=predictions)


def drained(node):
    return NodeDrained(time_s=0.0, node=node)


def lost(node):
    return NodeLost(time_s=0.0, node=node)


def start(cluster, job_id, on):
    """Place a job where the cluster puts it; returns (node, boards)."""
    waiting = cluster.waiting[job_id]
    where = cluster.locate(waiting, on)
    event = JobPlaced(
        time_s=0.0, job_id=job_id, attempt=waiting.attempt, gpu_type=on, gpus=waiting.gpus[on], where=where
    )
    advance(cluster, event)
    return [(held.node, held.gpus) for held in where]


def finish(cluster, job_id):
    advance(cluster, AttemptFinished(time_s=0.0, job_id=job_id, attempt=cluster.active[job_id].attempt))


def test_a_draining_node_keeps_its_jobs_and_gives_nothing_back():
    cluster = replay([joined("n1", "A", 4), joined("n2", "A", 2), submitted("r", gpus=3), submitted("w", gpus=2)])
    assert start(cluster, "r", "A") == [("n1", 3)]
    advance(cluster, drained("n1"))
    assert (cluster.total, cluster.free, cluster.largest) == ({"A": 2}, {"A": 2}, {"A": 2})
    assert start(cluster, "w", "A") == [("n2", 2)]
    finish(cluster, "r")
    assert cluster.free == {"A": 0}
    finish(cluster, "w")
    assert cluster.free == {"A": 2}
    advance(cluster, lost("n1"))
    advance(cluster, joined("n1", "A", 1))
    assert (cluster.total, cluster.free, cluster.largest) == ({"A": 3}, {"A": 3}, {"A": 2})


def test_what_runs_on_a_draining_node_is_not_predicted_to_come_back():
    cluster = replay([joined("n1", "A", 2), joined("n2", "A", 2), submitted("r", gpus=2), submitted("s", gpus=2)])
    start(cluster, "r", "A")
    start(cluster, "s", "A")
    assert cluster.predicted_ends()["A"] == [(10.0, 2000), (10.0, 2000)]
    advance(cluster, drained("n1"))
    assert cluster.predicted_ends()["A"] == [(10.0, 2000)]
    finish(cluster, "r")
    assert cluster.predicted_ends()["A"] == [(10.0, 2000)]
    finish(cluster, "s")
    assert cluster.predicted_ends()["A"] == []


def test_a_gang_gives_back_what_it_holds_on_nodes_that_stay():
    cluster = replay([joined("n1", "A", 2), joined("n2", "A", 2), submitted("g", gpus=3)])
    assert start(cluster, "g", "A") == [("n1", 2), ("n2", 1)]
    advance(cluster, drained("n1"))
    assert (cluster.free, cluster.predicted_ends()["A"]) == ({"A": 1}, [(10.0, 1000)])
    finish(cluster, "g")
    assert cluster.free == {"A": 2}


def test_shares_on_a_draining_node_leave_with_it():
    cluster = replay([joined("n1", "A", 1), submitted("s", gpu_milli=400), submitted("t", gpu_milli=400)])
    start(cluster, "s", "A")
    advance(cluster, drained("n1"))
    assert ([*cluster.stranded], [*cluster.waiting]) == (["t"], [])
    finish(cluster, "s")
    assert (cluster.free, simple()(cluster)) == ({"A": 0}, [])
    advance(cluster, lost("n1"))
    advance(cluster, joined("n1", "A", 1))
    assert [d.job_id for d in simple()(cluster)] == ["t"]


def test_a_job_that_fits_nowhere_any_more_waits_unseen_until_a_node_joins():
    cluster = replay([joined("n1", "A", 4), joined("n2", "B", 1), submitted("wide", gpus=4), submitted("narrow")])
    advance(cluster, drained("n1"))
    assert ([*cluster.stranded], [w.job.job_id for w in cluster.queue()]) == (["wide"], ["narrow"])
    assert [(d.job_id, d.gpu_type) for d in simple()(cluster)] == [("narrow", "B")]
    assert [w.job.job_id for w in cluster.snapshot().stranded] == ["wide"]
    with pytest.raises(IllegalEvent, match="job wide: submitted before"):
        advance(cluster, submitted("wide"))
    advance(cluster, joined("n3", "A", 4))
    assert [w.job.job_id for w in cluster.queue()] == ["narrow", "wide"]
    assert cluster.stranded == {}


def test_a_job_whose_attempt_failed_with_its_node_is_stranded_where_no_other_has_room():
    cluster = replay([joined("n1", "A", 2), submitted("j", gpus=2)])
    start(cluster, "j", "A")
    with pytest.raises(IllegalEvent, match="node n1: lost while job j runs on it; end attempt 1 first"):
        advance(cluster, lost("n1"))
    advance(cluster, AttemptFailed(time_s=0.0, job_id="j", attempt=1, reason="node n1 was lost"))
    advance(cluster, lost("n1"))
    assert (cluster.total, cluster.stranded["j"].attempt) == ({"A": 0}, 2)
    advance(cluster, joined("n1", "A", 2))
    assert cluster.waiting["j"].attempt == 2


@pytest.mark.parametrize("word", [JobCancelled(time_s=0.0, job_id="j"), JobFailed(time_s=0.0, job_id="j", reason="x")])
@pytest.mark.parametrize("stranded", [True, False])
def test_a_waiting_job_can_be_given_up_stranded_or_not(word, stranded):
    cluster = replay([joined("n1", "A", 1), submitted("j")])
    if stranded:
        advance(cluster, drained("n1"))
    advance(cluster, word)
    assert (cluster.over, cluster.stranded, cluster.waiting) == ({"j"}, {}, {})
    with pytest.raises(IllegalEvent):
        advance(cluster, word)


def test_a_running_job_is_not_given_up():
    cluster = replay([joined("n1", "A", 1), submitted("j")])
    start(cluster, "j", "A")
    with pytest.raises(IllegalEvent, match="job j: given up, but it does not wait"):
        advance(cluster, JobFailed(time_s=0.0, job_id="j", reason="x"))


def test_boards_that_others_hold_are_not_free_but_still_there():
    cluster = replay([joined("n1", "A", 4), submitted("j", gpus=3)])
    advance(cluster, GpusHeld(time_s=0.0, node="n1", gpu_type="A", gpus=2))
    assert (cluster.free, cluster.total, simple()(cluster)) == ({"A": 2}, {"A": 4}, [])
    advance(cluster, joined("n2", "A", 1))  # from here on boards are told apart
    advance(cluster, GpusHeld(time_s=0.0, node="n2", gpu_type="A", gpus=1))
    assert cluster.free == {"A": 2}
    with pytest.raises(IllegalEvent, match="node n1: 5 A GPUs held by others, 2 free there"):
        advance(cluster, GpusHeld(time_s=0.0, node="n1", gpu_type="A", gpus=5))
    advance(cluster, GpusHeld(time_s=0.0, node="n1", gpu_type="A", gpus=1))
    assert start(cluster, "j", "A") == [("n1", 3)]
    advance(cluster, drained("n1"))
    finish(cluster, "j")
    assert (cluster.free, cluster.held) == ({"A": 0}, {("n2", "A"): 1})


def test_the_smallest_board_that_is_left_decides_about_memory():
    cluster = replay([joined("n1", "A", 1, memory_bytes=40), joined("n2", "A", 1, memory_bytes=80)])
    advance(cluster, submitted("j", memory_bytes=30))
    assert cluster.memory_bytes == {"A": 40}
    advance(cluster, drained("n1"))
    assert cluster.memory_bytes == {"A": 80}
    advance(cluster, drained("n2"))
    assert (cluster.memory_bytes, [*cluster.stranded]) == ({}, ["j"])


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (drained("n9"), "node n9: it is not here"),
        (lost("n9"), "node n9: it is not here"),
        (drained("n2"), "node n2: it is not here, or it drains already"),
        (joined("n2", "A", 1), "node n2: it drains"),
        (GpusHeld(time_s=0.0, node="n2", gpu_type="A", gpus=1), "no boards free there"),
        (GpusHeld(time_s=0.0, node="n1", gpu_type="A", gpus=-1), "-1 A GPUs held"),
    ],
)
def test_an_impossible_word_about_a_node_changes_nothing(event, message):
    cluster = replay([joined("n1", "A", 1), joined("n2", "A", 1), drained("n2"), submitted("j")])
    before = cluster.snapshot()
    with pytest.raises(IllegalEvent, match=message):
        advance(cluster, event)
    assert cluster.snapshot() == before


# --- any order of things, against a count on the fingers

WORDS = ["submit", "end", "fail", "drain", "undrain", "lose", "join", "hold", "decide"]
STEPS = st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, 99)), max_size=40)
NEED_OPTIONS = {"value", "value_aging", "value_cvar"}
POLICY = st.sampled_from([p for p in POLICIES if p not in NEED_OPTIONS | {"milp"}])


def free_by_hand(cluster, boards, held):
    """Whole GPUs free on nodes that do not drain: all, less those of running jobs and of others."""
    used = Counter(held)
    for active in cluster.active.values():
        for one in active.where or [Held(node=only_node(boards, active.gpu_type), gpus=active.gpus)]:
            used[one.node, active.gpu_type] += one.gpus
    free = Counter({t: 0 for _, t in boards})
    for (node, gpu_type), (gpus, open_) in boards.items():
        free[gpu_type] += gpus - used[node, gpu_type] if open_ else 0
    return {t: free[t] for t in cluster.free}


def only_node(boards, gpu_type):
    return next(node for (node, t) in boards if t == gpu_type)


HELD_FOR_EVER = [("submit", 2), ("hold", 1), ("submit", 0), ("decide", 0)]
"""A job of three GPUs where others hold one of the three: nobody knows until when."""


@settings(max_examples=examples(60))
@example("conservative", HELD_FOR_EVER)
@example("patient", HELD_FOR_EVER)
@example("milp", HELD_FOR_EVER)
@example("anticipatory", HELD_FOR_EVER)
@given(POLICY, STEPS)
def test_whatever_happens_to_nodes_the_free_boards_are_right_and_no_job_is_forgotten(policy_name, steps):
    policy, boards, held, withdrawn, jobs = POLICIES[policy_name](), {}, Counter(), {}, []
    cluster = replay([])

    def add(node, gpu_type, gpus):
        advance(cluster, joined(node, gpu_type, gpus))
        boards[node, gpu_type] = (gpus, True)

    add("n0", "A", 3)
    add("m0", "B", 2)
    for step, (word, n) in enumerate(steps):
        nodes = sorted({node for node, _ in boards})
        if word == "submit":
            job_id = f"j{step}"
            with contextlib.suppress(JobRefused):  # the cluster may have become too small
                advance(cluster, submitted(job_id, gpus=1 + n % 3, one_node=n % 2 == 0))
                jobs.append(job_id)
        elif word in ("end", "fail") and cluster.active:
            active = cluster.active[sorted(cluster.active)[n % len(cluster.active)]]
            ends = {"job_id": active.job.job_id, "attempt": active.attempt, "time_s": 0.0}
            advance(cluster, AttemptFinished(**ends) if word == "end" else AttemptFailed(reason="x", **ends))
        elif word == "drain" and nodes and (node := nodes[n % len(nodes)]) not in cluster.draining:
            advance(cluster, drained(node))
            for at in [at for at in boards if at[0] == node]:
                boards[at] = (boards[at][0], False)
                withdrawn[at] = held.pop(at, 0)
        elif word == "undrain" and cluster.draining:
            node = sorted(cluster.draining)[n % len(cluster.draining)]
            advance(cluster, NodeUndrained(time_s=0.0, node=node))
            for at in [at for at in boards if at[0] == node]:
                boards[at], held[at] = (boards[at][0], True), withdrawn[at]
        elif word == "lose" and nodes:
            node = nodes[n % len(nodes)]
            for active in [a for a in cluster.active.values() if cluster.runs_on(a, node)]:
                failed = AttemptFailed(time_s=0.0, job_id=active.job.job_id, attempt=active.attempt, reason="lost")
                advance(cluster, failed)
            advance(cluster, lost(node))
            for at in [at for at in boards if at[0] == node]:
                del boards[at]
                held.pop(at, None)
        elif word == "join":
            add(f"x{step}", "AB"[n % 2], 1 + n % 4)
        elif word == "hold" and any(open_ for _, open_ in boards.values()):
            at = sorted(at for at, (_, open_) in boards.items() if open_)[0]
            gpus = min(n % 3, held[at] + cluster.free_on(*at))
            advance(cluster, GpusHeld(time_s=0.0, node=at[0], gpu_type=at[1], gpus=gpus))
            held[at] = gpus
        elif word == "decide":
            for decision in policy(cluster):
                assert isinstance(decision, Place)
                start(cluster, decision.job_id, decision.gpu_type)
        assert cluster.free == free_by_hand(cluster, boards, held)
        where = [*cluster.waiting, *cluster.stranded, *cluster.active, *cluster.over]
        assert sorted(where) == sorted(jobs)
        assert cluster.total == {
            t: sum(g for (_, on), (g, o) in boards.items() if on == t and o) for t in cluster.total
        }
        assert all(waiting.gpus for waiting in cluster.queue())


def test_a_node_that_changes_nobodys_options_leaves_the_views_as_they_are():
    """On a large cluster building them anew takes a second, and nearly no node matters to any job."""
    cluster = replay([joined("n1", "A", 4), joined("n2", "A", 4), submitted("big", "A", gpus=6), submitted("small")])
    table, ranking = cluster.by_area(), cluster.ranked(key := lambda job, gpu_type, prediction: 1.0)
    advance(cluster, joined("n3", "A", 4))
    advance(cluster, drained("n1"))
    assert cluster.by_area() is table
    assert cluster.ranked(key) is ranking
    advance(cluster, lost("n2"))  # four are left, and big needs six
    assert [(waiting.job.job_id, waiting.gpus) for waiting in cluster.queue()] == [("small", {"A": 1})]
    assert (list(cluster.stranded), list(cluster.ranked(key))) == (["big"], [("small", "A")])
    advance(cluster, joined("m1", "B", 1))
    assert list(cluster.ranked(key)) == [("small", "A"), ("small", "B")]
    advance(cluster, NodeUndrained(time_s=0.0, node="n1"))
    assert [(w.job.job_id, w.gpus) for w in cluster.by_area().first(9)] == [
        ("small", {"A": 1, "B": 1}),
        ("big", {"A": 6}),
    ]
