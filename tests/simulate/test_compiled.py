"""The compiled engine does what the loop in Python does, placement by placement and event by event."""

import random
from dataclasses import replace
from functools import partial, wraps

import pytest

from kilowait.cluster.advance import replay
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.policies.conservative import conservative
from kilowait.policies.easy import easy
from kilowait.policies.greedy import greedy
from kilowait.policies.simple import simple
from kilowait.policies.sjf import sjf
from kilowait.policies.value import value
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from tests.support import planners_reference, reference
from tests.support.timelines import job

POLICIES = [
    simple(),
    greedy(alpha=1, gamma=0.5),
    greedy(alpha=0, gamma=1),
    value(kappa=0),
    value(kappa=0.125),
    value(kappa=3),
    value(kappa_relative=0.5),
    sjf(),
    easy(),
]
TYPES = ("A100", "B", "A6000")
compiled, python = partial(simulate, engine="compiled"), partial(simulate, engine="python")


def world(rng, unit_s=1, largest=4):
    """Few small numbers, so that times, keys and costs are often equal; some jobs can never run."""
    inventory = {t: rng.randint(1, largest) for t in rng.sample(TYPES, rng.randint(1, 3))}
    submissions = []
    for job_id in rng.sample(range(1, 30), rng.randint(0, 16)):
        known = rng.sample(TYPES, rng.randint(1, 3))
        asked = Job(
            job_id=str(job_id),
            submit_s=rng.choice((0, 0, 1, 2, 3, 4, 6, 8)) * unit_s,
            gpus=rng.randint(1, largest),
            gpus_by_type={t: rng.randint(1, largest) for t in TYPES if rng.random() < 0.15},
            allowed=frozenset(rng.sample(TYPES, 2)) if rng.random() < 0.2 else None,
            memory_bytes=rng.choice((10, 45, 60, 100)) * 10**9 if rng.random() < 0.2 else None,
        )
        truth = predictions(rng, known, unit_s)
        # the policy sees the truth, or more types than it can use, or what is off by a lot, so that jobs overrun
        seen = truth if rng.random() < 0.5 else predictions(rng, rng.sample(known, rng.randint(1, len(known))), unit_s)
        submissions.append(Submission(job=asked, truth=truth, seen=seen))
    return submissions, inventory


def predictions(rng, types, unit_s):
    return {
        t: Prediction(runtime_s=rng.choice((1, 2, 4, 8, 3, 5)) * unit_s, energy_kwh=rng.choice((0, 1, 2, 0.5)))
        for t in types
    }


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.__name__)
def test_runs_are_equal_to_the_last_event(policy):
    rng = random.Random(20261121)
    refused = 0
    for serial in range(250):
        submissions, inventory = world(rng, unit_s=(1, 0.1, 1 / 3)[serial % 3], largest=(2, 4, 8)[serial % 3])
        run, expected = compiled(submissions, inventory, policy), python(submissions, inventory, policy)
        assert run.placements == expected.placements
        assert run.events == expected.events
        assert list(run.refused.items()) == list(expected.refused.items())
        assert run == expected
        refused += len(run.refused)
    assert refused > 60


def test_easy_renews_the_same_estimates_where_predictions_have_intervals():
    rng, overruns = random.Random(5), 0
    for _ in range(150):
        submissions, inventory = world(rng, unit_s=rng.choice((1, 0.1, 1 / 3)), largest=4)
        wide = []
        for one in submissions:
            seen = {
                t: replace(p, runtime_low_s=p.runtime_s / 2, runtime_high_s=p.runtime_s * rng.choice((1, 1.01, 3, 9)))
                for t, p in one.seen.items()
            }
            truth = {t: replace(p, runtime_s=p.runtime_s * rng.choice((1, 1, 7, 100))) for t, p in one.truth.items()}
            wide.append(replace(one, seen=seen, truth=truth))
        run = compiled(wide, inventory, easy())
        assert run == python(wide, inventory, easy())
        seen = {s.job.job_id: s.seen for s in wide}
        overruns += sum(p.runtime_s > seen[p.job_id][p.gpu_type].runtime_high_s for p in run.placements)
    assert overruns > 100


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.__name__)
def test_long_queues_are_equal_too(policy):
    rng = random.Random(1)
    submissions = []
    for serial in range(700):
        truth = {t: Prediction(runtime_s=rng.uniform(1, 30), energy_kwh=rng.random()) for t in TYPES}
        seen = {
            t: Prediction(runtime_s=p.runtime_s * rng.uniform(0.5, 2), energy_kwh=p.energy_kwh)
            for t, p in truth.items()
        }
        asked = Job(job_id=str(serial), submit_s=rng.uniform(0, 100), gpus=rng.choice((1, 1, 2, 3, 8)))
        submissions.append(Submission(job=asked, truth=truth, seen=seen))
    inventory = dict.fromkeys(TYPES, 14)
    assert compiled(submissions, inventory, policy) == python(submissions, inventory, policy)


@pytest.mark.parametrize(
    ("policy", "expect"),
    [
        (simple(), partial(reference.run_reference, choose=reference.simple)),
        (greedy(alpha=1, gamma=0.5), partial(reference.run_reference, choose=reference.greedy(1, 0.5))),
        (value(kappa=0.125), partial(reference.run_reference, choose=reference.value(0.125))),
        (sjf(), partial(planners_reference.run, decide=planners_reference.sjf)),
        (easy(), partial(planners_reference.run, decide=planners_reference.easy)),
    ],
    ids=["simple", "greedy", "value", "sjf", "easy"],
)
def test_starts_are_those_of_the_slow_references(policy, expect):
    rng = random.Random(7)
    for _ in range(60):
        submissions, inventory = world(rng)
        run = compiled(submissions, inventory, policy)
        usable = [s for s in submissions if s.job.job_id not in run.refused]
        expected = expect([as_reference(s, inventory) for s in usable], inventory)
        assert [(p.job_id, p.gpu_type, p.start_s, p.end_s) for p in run.placements] == expected


def as_reference(submission, inventory):
    """What both references read of a job: GPUs, seconds and kWh on the types it may use; a board's memory by hand."""
    memory_bytes = {"A100": 40 * 10**9, "A6000": 48 * 10**9, "B": 10**15}
    asked, seen, truth = submission.job, submission.seen, submission.truth
    types = [
        t
        for t in inventory
        if t in seen and (asked.allowed is None or t in asked.allowed) and (asked.memory_bytes or 0) <= memory_bytes[t]
    ]
    found = planners_reference.RefJob(
        job_id=asked.job_id,
        submit=asked.submit_s,
        gpus={t: asked.gpus_by_type.get(t, asked.gpus) for t in types},
        time={t: truth[t].runtime_s for t in types},
        seen={t: seen[t].runtime_s for t in types},
        seen_kwh={t: seen[t].energy_kwh for t in types},
    )
    found.seen_time = found.seen
    return found


def test_easy_lends_extra_gpus_only_to_jobs_that_outlast_the_shadow_time():
    # at 10 all 5 are free and the head takes 4. Two are free before: "exact" ends at 10 and needs no extra GPU
    jobs = [
        job("running", gpus=3, A=(10, 1)),
        job("head", 1, gpus=4, A=(5, 1)),
        job("exact", 2, A=(8, 1)),
        job("long", 2, A=(100, 1)),
    ]
    assert [(p.job_id, p.start_s, p.end_s) for p in compiled(jobs, {"A": 5}, easy()).placements] == [
        ("running", 0, 10),
        ("exact", 2, 10),
        ("long", 2, 102),
        ("head", 10, 15),
    ]


def test_a_log_made_afterwards_replays_to_the_end():
    submissions, inventory = world(random.Random(3))
    run = compiled(submissions, inventory, easy())
    cluster = replay(run.events)
    assert cluster.free == cluster.total == inventory
    assert cluster.over == {p.job_id for p in run.placements}
    assert run.events is run.events


def test_an_end_that_rounds_to_its_start_is_an_instant_of_its_own():
    # at 1e17 s two doubles are 16 s apart: every job ends at the instant at which it starts
    short = {"A": Prediction(runtime_s=1.0, energy_kwh=1.0)}
    jobs = [Submission(job=Job(job_id=i, submit_s=1e17), truth=short, seen=short) for i in "abc"]
    for policy in POLICIES:
        run = compiled(jobs, {"A": 1}, policy)
        assert [(p.job_id, p.start_s, p.end_s) for p in run.placements] == [(i, 1e17, 1e17) for i in "abc"]
        assert run == python(jobs, {"A": 1}, policy)


@pytest.mark.parametrize("engine", ["python", "compiled"])
class TestWhateverTheEngine:
    def test_an_empty_list_gives_an_empty_run(self, engine):
        for policy in POLICIES:
            run = simulate([], {"A": 2}, policy, engine=engine)
            assert (run.placements, run.refused, run.inventory, len(run.events)) == ((), {}, {"A": 2}, 1)

    def test_a_bad_list_is_refused_in_the_same_words(self, engine):
        table = {"A": Prediction(runtime_s=1, energy_kwh=1)}
        one = Submission(job=Job(job_id="j", submit_s=0), truth=table, seen=table)
        blind = replace(one, truth={})
        for submissions, inventory, nodes, words in [
            ([one, one], {"A": 1}, None, "job j: submitted twice"),
            ([blind], {"A": 1}, None, "seen for A, but no truth"),
            ([one], {}, None, "the inventory is empty"),
            ([one], {"A": 0}, None, "A must have >= 1 GPUs, got 0"),
            ([one], {"A": 2}, {"A": (1,)}, "nodes of A have 1 GPUs, the inventory 2"),
        ]:
            with pytest.raises(InputError, match=words):
                simulate(submissions, inventory, simple(), nodes=nodes, engine=engine)

    def test_submissions_may_come_from_a_generator(self, engine):
        submissions, inventory = world(random.Random(3))
        assert simulate(iter(submissions), inventory, easy(), engine=engine) == python(submissions, inventory, easy())


def of(**what):
    table = {"A": Prediction(runtime_s=1, energy_kwh=1)}
    return Submission(job=Job(job_id="j", submit_s=0, **what), truth=table, seen=table)


@pytest.mark.parametrize(
    ("submission", "policy", "nodes", "words"),
    [
        (of(), conservative(), None, "policy conservative names no rule"),
        (of(gpu_milli=300), simple(), None, "job j has gpu_milli 300"),
        (of(one_node=True), simple(), None, "job j has one_node"),
        (of(), simple(), {"A": (1, 3)}, "A has 2 nodes"),
        (of(gpus=10**30), simple(), None, "too large"),
        (of(), value(kappa=1e200), None, "a weight of value"),
    ],
)
def test_what_is_not_covered_is_named_when_forced_and_runs_in_python_else(
    submission, policy, nodes, words, monkeypatch
):
    with pytest.raises(InputError, match=f"{words}.*; use engine 'python'"):
        simulate([submission], {"A": 4}, policy, nodes=nodes, engine="compiled")
    monkeypatch.setattr("kilowait.simulate.compiled.worth.pays", lambda *_: True)
    expected = python([submission], {"A": 4}, policy, nodes=nodes)
    assert simulate([submission], {"A": 4}, policy, nodes=nodes) == expected


def test_numbers_on_which_floats_overflow_are_left_to_python():
    huge = {"A": Prediction(runtime_s=1e200, energy_kwh=1.0)}
    one = Submission(job=Job(job_id="j", submit_s=0), truth=huge, seen=huge)
    with pytest.raises(InputError, match="seconds must be from 1e-100 to 1e"):
        compiled([one], {"A": 1}, simple())


def test_a_wrapped_policy_is_asked_at_every_decision(monkeypatch):
    monkeypatch.setattr("kilowait.simulate.compiled.worth.pays", lambda *_: True)
    calls, policy = [], simple()

    @wraps(policy)
    def spy(cluster):
        calls.append(cluster.now_s)
        return policy(cluster)

    run = simulate([of()], {"A": 1}, spy)
    assert calls == [0, 1]  # at its arrival and at its end
    assert run == compiled([of()], {"A": 1}, policy)
    with pytest.raises(InputError, match="policy simple names no rule"):
        compiled([of()], {"A": 1}, spy)


def test_an_engine_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="engine must be one of auto, python, compiled, got 'c'"):
        simulate([], {"A": 1}, simple(), engine="c")
