"""Nodes and shares under the policies: timelines checked in the head, invariants of each, and a slow reference."""

import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import AttemptFinished, GpusJoined, JobPlaced, JobPreempted
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Held, Job, Prediction
from kilowait.lab.backtest.bounds.lower_bounds import Bounds
from kilowait.lab.backtest.scenario.paper_scenario import Sample
from kilowait.policies import POLICIES
from kilowait.policies.conservative import conservative
from kilowait.policies.easy import easy
from kilowait.policies.simple import simple
from kilowait.policies.sjf import sjf
from kilowait.policies.srpt import srpt
from kilowait.policies.value import value
from kilowait.policies.value_aging import value_aging
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from tests.support import rooms_reference as slow
from tests.support.examples import examples


def submission(job_id, submit_s=0, seconds=10, **fields):
    truth = {"A": Prediction(runtime_s=seconds, energy_kwh=0)}
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, **fields), truth=truth, seen=truth)


def starts(policy, nodes, *jobs):
    run = simulate(jobs, {"A": sum(nodes)}, policy, nodes={"A": nodes})
    return {p.job_id: p.start_s for p in run.placements}


class TestTimelines:
    def test_simple_packs_shares_and_lets_all_wait_behind_the_head(self):
        jobs = [submission(str(k), gpu_milli=milli) for k, milli in enumerate((700, 700, 300, 300))]
        # on one board: 700 alone, the next 700 does not fit, and the 300 behind it wait
        assert starts(simple(), [1], *jobs) == {"0": 0, "1": 10, "2": 10, "3": 20}

    def test_value_places_what_fits_around_a_share_that_does_not(self):
        jobs = [submission(str(k), gpu_milli=milli) for k, milli in enumerate((700, 700, 300, 300))]
        # value is 1 / (share x seconds): both 300 first (600), no 700 fits until they end
        assert starts(value(kappa=0), [1], *jobs) == {"2": 0, "3": 0, "0": 10, "1": 20}

    def test_a_job_of_one_node_waits_for_the_node(self):
        jobs = [submission("a", gpus=3), submission("b", gpus=3), submission("pair", 1, gpus=2, one_node=True)]
        jobs.append(submission("anywhere", 2, gpus=2))
        assert starts(sjf(), [4, 4], *jobs) == {"a": 0, "b": 0, "anywhere": 2, "pair": 10}

    @pytest.mark.parametrize("policy", [easy(), conservative()], ids=lambda p: p.__name__)
    def test_planners_hold_one_board_for_a_job_that_finds_them_scattered(self, policy):
        # From 0 on three boards have 400 thousandths left each: more than a board's worth, in three pieces. "whole"
        # waits for a board, and "late", which outlasts that, may have another, but not the only one.
        shares = [submission(job_id, gpu_milli=600) for job_id in "abc"]
        behind = [submission("whole", 1), submission("late", 2, seconds=30, gpu_milli=100)]
        assert starts(policy, [3], *shares, *behind) == {"a": 0, "b": 0, "c": 0, "whole": 10, "late": 2}
        assert starts(policy, [1], shares[0], *behind) == {"a": 0, "whole": 10, "late": 20}

    def test_value_aging_holds_a_type_for_an_overdue_share(self):
        jobs = [submission("a", gpu_milli=600), submission("b", 1, gpu_milli=600), submission("c", 5, gpu_milli=100)]
        assert starts(value_aging(kappa=0, limit_s=2), [1], *jobs) == {"a": 0, "b": 10, "c": 10}

    def test_srpt_makes_room_for_a_share_and_for_one_node(self):
        long = replace(
            submission("long", seconds=100, gpus=2), job=Job(job_id="long", submit_s=0, gpus=2, checkpoint_s=0)
        )
        found = simulate([long, submission("short", 1, seconds=1, gpu_milli=1)], {"A": 2}, srpt())
        assert [(p.job_id, p.start_s, p.end_s) for p in found.placements] == [
            ("long", 0, 1),
            ("short", 1, 2),
            ("long", 2, 101),
        ]


TYPES = ("A", "B")
PARAMETERS = {name: {"kappa": 0.125} for name in ("value", "value_aging", "value_cvar")}
PARAMETERS["value_aging"] |= {"limit_s": 4}


def random_case(rng):
    """Few nodes, many shares: `nodes` by type, and jobs as the reference has them."""
    nodes = {t: [rng.randint(1, 4) for _ in range(rng.randint(1, 3))] for t in TYPES[: rng.randint(1, 2)]}
    jobs = []
    for serial in range(rng.randint(1, 14)):
        allowed = [t for t in TYPES if t in rng.sample(TYPES, rng.randint(1, 2))]
        share = rng.random() < 0.5
        jobs.append(
            slow.Asked(
                job_id=str(serial),
                submit=rng.randint(0, 6),
                gpus=1 if share else rng.randint(1, 6),
                milli=rng.choice((100, 300, 400, 500, 600, 700, 999)) if share else 1000,
                one_node=rng.random() < 0.4,
                time={t: rng.choice((1, 2, 3, 4, 8)) for t in allowed},
                kwh={t: rng.choice((0, 1, 2)) for t in allowed},
            )
        )
    return nodes, jobs


def submissions_of(jobs, checkpoint_s=None):
    for asked in jobs:
        truth = {t: Prediction(runtime_s=asked.time[t], energy_kwh=asked.kwh[t]) for t in asked.time}
        job = Job(
            job_id=asked.job_id, submit_s=asked.submit, gpus=asked.gpus, gpu_milli=asked.milli,
            one_node=asked.one_node, checkpoint_s=checkpoint_s,
        )  # fmt: skip
        yield Submission(job=job, truth=truth, seen=truth)


@pytest.mark.parametrize(
    ("policy", "choose"),
    [
        (simple(), slow.simple),
        (sjf(), slow.sjf),
        (value(kappa=0.125), slow.value(0.125)),
        (value(kappa=0), slow.value(0)),
    ],
    ids=["simple", "sjf", "value", "value without energy"],
)
def test_placement_by_placement_as_the_slow_reference(policy, choose):
    rng = random.Random(20261121)
    for _ in range(400):
        nodes, jobs = random_case(rng)
        run = simulate(submissions_of(jobs), {t: sum(n) for t, n in nodes.items()}, policy, nodes=nodes)
        assert [(p.job_id, p.gpu_type, p.start_s, p.end_s) for p in run.placements] == slow.run(jobs, nodes, choose)


def check_boards(events, nodes, jobs):
    """Follow a log by its `where` alone: no board and no node ever gives more than it has."""
    whole, shared, held = defaultdict(int), Counter(), {}
    for event in events:
        match event:
            case GpusJoined():
                whole[event.gpu_type, event.node] += event.gpus
            case JobPlaced():
                job = jobs[event.job_id]
                where = event.where or (Held(node=next(n for t, n in whole if t == event.gpu_type), gpus=event.gpus),)
                assert sum(place.gpus for place in where) == event.gpus == job.gpus
                assert not job.one_node or len({place.node for place in where}) == 1
                assert (job.milli < 1000) == (where[0].board is not None)
                held[event.job_id] = event.gpu_type, where
                move(whole, shared, event.gpu_type, where, job.milli)
            case AttemptFinished() | JobPreempted():
                gpu_type, where = held.pop(event.job_id)
                move(whole, shared, gpu_type, where, -jobs[event.job_id].milli)
    assert not held
    assert {t: sum(gpus for (of, _), gpus in whole.items() if of == t) for t in nodes} == {
        t: sum(nodes[t]) for t in nodes
    }


def move(whole, shared, gpu_type, where, milli):
    """Take `milli` thousandths of every board of `where`; a shared board counts as used from its first share on."""
    for place in where:
        if place.board is None:
            whole[gpu_type, place.node] -= place.gpus if milli > 0 else -place.gpus
        else:
            board = gpu_type, place.node, place.board
            opened, shared[board] = shared[board] == 0, shared[board] + milli
            assert 0 <= shared[board] <= 1000
            whole[gpu_type, place.node] -= opened
            whole[gpu_type, place.node] += shared[board] == 0
        assert whole[gpu_type, place.node] >= 0


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=examples(60))
@given(rng=st.randoms(use_true_random=False), checkpoint_s=st.sampled_from((None, 0, 1)))
def test_every_policy_keeps_to_boards_and_nodes_and_its_log_replays(name, rng, checkpoint_s):
    nodes, jobs = random_case(rng)
    policy = POLICIES[name](**PARAMETERS.get(name, {}))
    last, named = [], set()

    def spy(cluster):
        last[:] = [cluster]
        decisions = policy(cluster)
        named.update(d.job_id for d in decisions if getattr(d, "where", ()))
        return decisions

    run = simulate(submissions_of(jobs, checkpoint_s), {t: sum(n) for t, n in nodes.items()}, spy, nodes=nodes)
    check_boards(run.events, nodes, {job.job_id: job for job in jobs})
    possible = {
        j.job_id
        for j in jobs
        if any(j.gpus <= (max(nodes[t]) if j.one_node else sum(nodes[t])) for t in j.time if t in nodes)
    }
    assert {p.job_id for p in run.placements} == possible
    assert set(run.refused) == {j.job_id for j in jobs} - possible
    for upto in range(len(run.events) + 1):  # a log, and the same log without what drivers recorded of the place
        # whoever keeps boards for another names those that it takes; the choice of all others is the cluster's own
        bare = [e if getattr(e, "job_id", "") in named else replace_where(e) for e in run.events[:upto]]
        assert replay(run.events[:upto]).snapshot() == replay(bare).snapshot()
    assert replay(run.events).snapshot() == last[0].snapshot()


@pytest.mark.parametrize("name", ["simple", "value", "easy", "patient"])
@settings(max_examples=examples(25))
@given(rng=st.randoms(use_true_random=False))
def test_no_policy_goes_below_the_bounds_with_shares_and_nodes(name, rng):
    nodes, jobs = random_case(rng)
    inventory = {t: sum(counts) for t, counts in nodes.items()}
    run = simulate(submissions_of(jobs), inventory, POLICIES[name](**PARAMETERS.get(name, {})), nodes=nodes)
    ran = tuple(s for s in submissions_of(jobs) if s.job.job_id not in run.refused)
    least = Bounds.of(Sample(submissions=ran, inventory=inventory, nodes=nodes))
    assert sum(p.wait_s for p in run.placements) >= least.wait_s - 1e-6
    assert sum(p.energy_kwh for p in run.placements) >= least.energy_kwh - 1e-9


def replace_where(event):
    if not isinstance(event, JobPlaced):
        return event
    return JobPlaced(
        time_s=event.time_s, job_id=event.job_id, attempt=event.attempt, gpu_type=event.gpu_type, gpus=event.gpus
    )


def test_without_shares_and_nodes_boards_are_not_told_apart():
    cluster = Cluster()
    for event in simulate([submission("a"), submission("b", gpus=2)], {"A": 2}, simple()).events:
        advance(cluster, event)
    assert not cluster.boards
