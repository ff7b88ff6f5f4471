"""What holds for every policy, agreement with the slow reference, replay, refusals."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.cluster.advance import replay
from kilowait.cluster.events import GpusJoined, JobSubmitted
from kilowait.core.errors import IllegalEvent, InputError, KilowaitError
from kilowait.core.jobs import Job, Prediction
from kilowait.policies import POLICIES as REGISTRY
from kilowait.policies import Place
from kilowait.policies.greedy import greedy
from kilowait.policies.simple import simple
from kilowait.policies.value import value
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from tests.support import reference
from tests.support.examples import examples
from tests.support.random_worlds import TYPES, worlds

PAIRS = [
    (simple(), reference.simple),
    (greedy(alpha=1, gamma=0.5), reference.greedy(1, 0.5)),
    (greedy(alpha=0, gamma=1), reference.greedy(0, 1)),
    (value(kappa=0), reference.value(0)),
    (value(kappa=0.125), reference.value(0.125)),
    (value(kappa=3), reference.value(3)),
]
NEEDED = {
    "value": {"kappa": 0.125},
    "value_aging": {"kappa": 0.125, "limit_s": 3},
    "fair": {"weights": {"u": 2}},
    "value_cvar": {"kappa": 0.125},
}
POLICIES = [
    *(policy for policy, _ in PAIRS),
    value(kappa_relative=0.5),
    *(factory(**NEEDED.get(name, {})) for name, factory in REGISTRY.items()),
]


def in_use(run, gpu_type, moment_s):
    """GPUs of a type held at `moment_s`: a job holds them from its start until just before its end."""
    return sum(p.gpus for p in run.placements if p.gpu_type == gpu_type and p.start_s <= moment_s < p.end_s)


@settings(max_examples=examples(150))
@given(worlds(), st.sampled_from(POLICIES))
def test_every_accepted_job_runs_exactly_once_as_it_asked(world, policy):
    inventory, submissions = world
    run = simulate(submissions, inventory, policy)
    by_id = {s.job.job_id: s for s in submissions}
    assert Counter(p.job_id for p in run.placements) == Counter(by_id.keys() - run.refused.keys())
    for placement in run.placements:
        submission = by_id[placement.job_id]
        truth = submission.truth[placement.gpu_type]
        assert placement.gpu_type in submission.job.allowed
        assert placement.start_s >= placement.submit_s == submission.job.submit_s
        assert placement.end_s == placement.start_s + truth.runtime_s
        assert placement.energy_kwh == truth.energy_kwh
        assert placement.gpus == submission.job.gpus_by_type.get(placement.gpu_type, submission.job.gpus)


@settings(max_examples=examples(150))
@given(worlds(), st.sampled_from(POLICIES))
def test_capacity_is_never_exceeded_and_every_gpu_comes_back(world, policy):
    inventory, submissions = world
    clusters = []

    def spy(cluster):
        clusters.append(cluster)
        assert all(0 <= cluster.free[t] <= inventory[t] for t in inventory)
        return policy(cluster)

    run = simulate(submissions, inventory, spy)
    for placement in run.placements:  # use only ever rises at a start
        for gpu_type, total in inventory.items():
            assert in_use(run, gpu_type, placement.start_s) <= total
    assert clusters[-1].free == clusters[-1].total == inventory
    assert not clusters[-1].waiting
    assert not clusters[-1].active


@settings(max_examples=examples(100))
@given(worlds(), st.sampled_from(POLICIES), st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(world, policy, rng):
    inventory, submissions = world
    shuffled = rng.sample(submissions, len(submissions))
    assert simulate(shuffled, inventory, policy) == simulate(submissions, inventory, policy)


@settings(max_examples=examples(100))
@given(worlds(), st.sampled_from(POLICIES), st.integers(7, 50))
def test_a_decision_sees_predictions_only(world, policy, longer_s):
    """Until the first completion nothing but predictions is known: another truth changes no decision before it."""
    inventory, submissions = world
    other = [
        replace(s, truth={t: Prediction(runtime_s=p.runtime_s + longer_s, energy_kwh=9) for t, p in s.truth.items()})
        for s in submissions
    ]
    first, second = (simulate(world, inventory, policy) for world in (submissions, other))
    until_s = min((p.end_s for p in (*first.placements, *second.placements)), default=0)

    def early(run):
        return [(p.job_id, p.gpu_type, p.start_s) for p in run.placements if p.start_s < until_s]

    assert early(first) == early(second)


@settings(max_examples=examples(100))
@given(worlds(), st.sampled_from(POLICIES))
def test_a_recorded_log_replays_to_the_same_state_at_every_decision(world, policy):
    inventory, submissions = world
    seen_states, clusters = [], []

    def spy(cluster):
        seen_states.append(cluster.snapshot())
        clusters.append(cluster)
        return policy(cluster)

    run = simulate(submissions, inventory, spy)
    assert replay(run.events).snapshot() == clusters[-1].snapshot()
    states = [replay(run.events[:length]).snapshot() for length in range(len(run.events) + 1)]
    for seen in (state for state in seen_states if state.total == inventory):
        # a planner also decides when an estimate has passed: nothing but the time is new then
        assert any(seen == replace(state, now_s=max(state.now_s, seen.now_s)) for state in states)


@pytest.mark.parametrize(("policy", "choose"), PAIRS, ids=lambda p: getattr(p, "__name__", ""))
def test_placement_by_placement_as_the_slow_reference(policy, choose):
    rng = random.Random(20261121)
    for _ in range(700):
        inventory = {t: rng.randint(1, 4) for t in TYPES[: rng.randint(1, 3)]}
        plain, submissions = [], []
        for serial in range(rng.randint(1, 12)):
            allowed = rng.sample(TYPES, rng.randint(1, 3))
            gpus = rng.randint(1, 3)
            override = {t: rng.randint(1, 4) for t in allowed if rng.random() < 0.2}
            # mostly powers of two, so that values collide exactly
            truth = {t: (rng.choice((1, 2, 4, 8, 3, 5)), rng.choice((0, 1, 2, 0.5))) for t in allowed}
            seen = truth if rng.random() < 0.5 else {t: (rng.choice((1, 2, 4)), rng.choice((0, 1))) for t in allowed}
            submit_s = rng.choice((0, 0, 1, 2, 3, 4, 6, 8))
            plain.append(
                reference.RefJob(
                    job_id=str(serial), submit=submit_s,
                    gpus={t: override.get(t, gpus) for t in allowed},
                    time={t: s for t, (s, _) in truth.items()},
                    seen_time={t: s for t, (s, _) in seen.items()},
                    seen_kwh={t: kwh for t, (_, kwh) in seen.items()},
                )
            )  # fmt: skip
            job = Job(job_id=str(serial), submit_s=submit_s, gpus=gpus, gpus_by_type=override)
            tables = ({t: Prediction(runtime_s=s, energy_kwh=e) for t, (s, e) in x.items()} for x in (truth, seen))
            submissions.append(Submission(job=job, truth=next(tables), seen=next(tables)))
        expected = reference.run_reference(plain, inventory, choose)
        run = simulate(submissions, inventory, policy)
        assert [(p.job_id, p.gpu_type, p.start_s, p.end_s) for p in run.placements] == expected


def one(job_id="j", submit_s=0.0, gpus=1, memory_bytes=None, **runtime_s):
    table = {t: Prediction(runtime_s=s, energy_kwh=1) for t, s in runtime_s.items()}
    job = Job(job_id=job_id, submit_s=submit_s, gpus=gpus, memory_bytes=memory_bytes)
    return Submission(job=job, truth=table, seen=table)


def test_a_refused_job_is_named_with_its_reason_and_the_others_run():
    run = simulate([one("wide", gpus=9, A=5), one("ok", A=5)], {"A": 8}, simple())
    assert [p.job_id for p in run.placements] == ["ok"]
    assert run.refused == {"wide": "job wide: can never run here: A: needs 9 GPUs, the cluster has 8"}
    assert "wide" not in {e.job.job_id for e in run.events if isinstance(e, JobSubmitted)}


def test_a_job_that_is_too_large_for_a_catalogued_board_is_refused():
    run = simulate([one(memory_bytes=50 * 10**9, A6000=5)], {"A6000": 8}, simple())
    assert "A6000: needs 50.0 GB on each GPU, a board has 48.0 GB" in run.refused["j"]


def test_the_log_carries_the_predictions_as_they_were_seen():
    submission = replace(one(A=5), seen={"A": Prediction(runtime_s=7, energy_kwh=2, probe_version="p3")})
    run = simulate([submission], {"A": 1}, simple())
    joined, submitted, *_ = run.events
    assert joined == GpusJoined(time_s=0.0, node="A-0", gpu_type="A", gpus=1, memory_bytes=None)
    assert submitted.predictions == {"A": Prediction(runtime_s=7, energy_kwh=2, probe_version="p3")}
    assert run.placements[0].end_s == 5


def test_the_log_takes_completions_in_before_arrivals_of_the_same_instant():
    run = simulate([one("x", A=10), one("y", 10, A=1)], {"A": 1}, simple())
    assert [(type(e).__name__, e.time_s) for e in run.events[3:]] == [
        ("AttemptFinished", 10),
        ("JobSubmitted", 10),
        ("JobPlaced", 10),
        ("AttemptFinished", 11),
    ]


def test_no_jobs_is_an_empty_run():
    run = simulate([], {"A": 2}, simple())
    assert (run.placements, run.refused, run.inventory) == ((), {}, {"A": 2})


@pytest.mark.parametrize(
    ("submissions", "inventory", "message"),
    [
        ([one(A=1), one(A=1)], {"A": 1}, "job j: submitted twice"),
        ([], {}, "the inventory is empty"),
        ([], {"A": 1, "B": 0}, "inventory: B must have >= 1 GPUs, got 0"),
        ([replace(one(A=1), truth={})], {"A": 1}, "job j: predictions are seen for A, but no truth"),
    ],
)
def test_what_cannot_be_simulated_is_refused_at_the_door(submissions, inventory, message):
    with pytest.raises(InputError, match=message):
        simulate(submissions, inventory, simple())


def test_a_policy_that_never_places_is_reported():
    with pytest.raises(KilowaitError, match="never placed these jobs although every GPU is free: j"):
        simulate([one(A=1)], {"A": 1}, lambda _: [])


@pytest.mark.parametrize("decision", [Place(job_id="ghost", gpu_type="A"), Place(job_id="j", gpu_type="H")])
def test_a_policy_that_decides_the_impossible_is_stopped(decision):
    with pytest.raises(IllegalEvent):
        simulate([one(A=1)], {"A": 1}, lambda _: [decision])
