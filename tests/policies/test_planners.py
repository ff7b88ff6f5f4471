"""The policies beyond the paper's against slow planners, and what backfilling and aging promise."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.core.jobs import Job, Prediction
from kilowait.policies.conservative import conservative, reservations
from kilowait.policies.easy import easy
from kilowait.policies.fair import fair
from kilowait.policies.planning.profile import Profile
from kilowait.policies.sjf import sjf
from kilowait.policies.value_aging import value_aging
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from tests.support import planners_reference as slow
from tests.support.examples import examples

TYPES = ("A", "B", "C")
PAIRS = [
    (sjf(), slow.sjf),
    (easy(), slow.easy),
    (conservative(), slow.conservative),
    (value_aging(kappa=0.125, limit_s=4), slow.value_aging(0.125, 4)),
    (value_aging(kappa=0, limit_s=0), slow.value_aging(0, 0)),
    (fair(weights={"u": 2}), slow.fair({"u": 2})),
]


def random_case(rng):
    """Few small whole numbers: ties and simultaneous events abound; half of the jobs have wrong predictions."""
    most = rng.choice((4, 8))  # on the larger, several jobs share what a head leaves over
    inventory = {t: rng.randint(1, most) for t in TYPES[: rng.randint(1, 3)]}
    plain, submissions = [], []
    for serial in range(rng.randint(1, 3 * most)):
        allowed = rng.sample(TYPES, rng.randint(1, 3))
        gpus = rng.randint(1, rng.randint(1, most))
        override = {t: rng.randint(1, 4) for t in allowed if rng.random() < 0.2}
        truth = {t: (rng.choice((1, 2, 2, 3, 4, 8)), rng.choice((0, 1, 2))) for t in allowed}
        seen = truth if rng.random() < 0.5 else {t: (rng.choice((1, 2, 4, 6)), rng.choice((0, 1))) for t in allowed}
        submit, user, priority = rng.randint(0, 9), rng.choice((None, "u", "v")), rng.choice((0, 0, 1))
        plain.append(
            slow.RefJob(
                job_id=str(serial), submit=submit, user=user, priority=priority,
                gpus={t: override.get(t, gpus) for t in allowed},
                time={t: s for t, (s, _) in truth.items()},
                seen={t: s for t, (s, _) in seen.items()},
                seen_kwh={t: kwh for t, (_, kwh) in seen.items()},
            )
        )  # fmt: skip
        what = Job(job_id=str(serial), submit_s=submit, gpus=gpus, gpus_by_type=override, user=user, priority=priority)
        tables = ({t: Prediction(runtime_s=s, energy_kwh=e) for t, (s, e) in x.items()} for x in (truth, seen))
        submissions.append(Submission(job=what, truth=next(tables), seen=next(tables)))
    return inventory, plain, submissions


@pytest.mark.parametrize(("policy", "decide"), PAIRS, ids=lambda p: getattr(p, "__name__", ""))
def test_placement_by_placement_as_the_slow_planner(policy, decide):
    rng = random.Random(20261121)
    for _ in range(1500):
        inventory, plain, submissions = random_case(rng)
        expected = slow.run(plain, inventory, decide)
        run = simulate(submissions, inventory, policy)
        assert [(p.job_id, p.gpu_type, p.start_s, p.end_s) for p in run.placements] == expected


@st.composite
def exact_worlds(draw, types, unit_s=1):
    """Jobs whose predictions are the truth; sums of tenths of a second round, sums of seconds do not."""
    inventory = {t: draw(st.integers(1, 4)) for t in types}
    submissions = []
    for serial in range(draw(st.integers(1, 12))):
        allowed = draw(st.sets(st.sampled_from(types), min_size=1))
        truth = {t: Prediction(runtime_s=draw(st.integers(1, 9)) * unit_s, energy_kwh=0) for t in sorted(allowed)}
        what = Job(job_id=str(serial), submit_s=draw(st.integers(0, 9)) * unit_s, gpus=draw(st.integers(1, 4)))
        submissions.append(Submission(job=what, truth=truth, seen=truth))
    return inventory, submissions


ONE_OR_SEVERAL = st.one_of(exact_worlds(("A",)), exact_worlds(("A", "B")), exact_worlds(TYPES))
ROUNDED = st.one_of(ONE_OR_SEVERAL, exact_worlds(("A",), unit_s=0.1), exact_worlds(TYPES, unit_s=0.1))


def first_possible_start_s(cluster, decisions, head):
    """The start on the type where the head would end first, were no further job placed: every end is tried."""
    held = [(a.gpu_type, a.gpus, a.placed_s + a.predictions[a.gpu_type].runtime_s) for a in cluster.active.values()]
    for d in decisions:
        waiting = cluster.waiting[d.job_id]
        held.append((d.gpu_type, waiting.job.gpus, cluster.now_s + waiting.predictions[d.gpu_type].runtime_s))
    plans = []
    for gpu_type in (t for t in cluster.total if t in head.predictions and head.job.gpus <= cluster.total[t]):
        for moment_s in sorted([cluster.now_s, *(end_s for _, _, end_s in held)]):
            busy = sum(gpus for t, gpus, end_s in held if t == gpu_type and end_s > moment_s)
            if busy + head.job.gpus <= cluster.total[gpu_type]:
                plans.append((moment_s + head.predictions[gpu_type].runtime_s, moment_s))
                break
    return min(plans, key=lambda plan: plan[0])[1]  # equal ends: the earlier type


@settings(max_examples=examples(400))
@given(ROUNDED)
def test_easy_never_delays_the_head_when_predictions_are_exact(world):
    inventory, submissions = world
    policy, promised_s = easy(), {}

    def spy(cluster):
        decisions = policy(cluster)
        placed = {d.job_id for d in decisions}
        head = next((w for w in cluster.queue() if w.job.job_id not in placed), None)
        if head is not None:
            promise = first_possible_start_s(cluster, decisions, head)
            assert promised_s.setdefault(head.job.job_id, promise) == promise
        return decisions

    run = simulate(submissions, inventory, spy)
    starts = {p.job_id: p.start_s for p in run.placements}
    assert {job_id: starts[job_id] for job_id in promised_s} == promised_s


@settings(max_examples=examples(300))
@given(ROUNDED)
def test_conservative_keeps_every_reservation_when_predictions_are_exact(world):
    inventory, submissions = world
    policy, first_plan = conservative(), {}

    def spy(cluster):
        for planned in reservations(cluster, Profile(cluster)):
            assert first_plan.setdefault(planned.job_id, planned) == planned
        return policy(cluster)

    run = simulate(submissions, inventory, spy)
    for p in run.placements:
        assert (p.gpu_type, p.start_s, p.end_s) == (
            first_plan[p.job_id].gpu_type,
            first_plan[p.job_id].start_s,
            first_plan[p.job_id].end_s,
        )


@settings(max_examples=examples(150))
@given(ROUNDED)
def test_under_conservative_no_job_changes_what_happens_to_an_earlier_one(world):
    inventory, submissions = world
    in_order = sorted(submissions, key=lambda s: (s.job.submit_s, s.job.job_id))

    def starts(some):
        return {p.job_id: (p.gpu_type, p.start_s) for p in simulate(some, inventory, conservative()).placements}

    everybody = starts(in_order)
    for length in range(len(in_order)):
        without_later = starts(in_order[:length])
        assert without_later == {job_id: everybody[job_id] for job_id in without_later}


@settings(max_examples=examples(400))
@given(st.randoms(use_true_random=False), st.integers(0, 6), st.sampled_from((0, 0.25, 2)))
def test_value_aging_bounds_every_wait_whatever_the_predictions(rng, limit_s, kappa):
    inventory, _, submissions = random_case(rng)
    run = simulate(submissions, inventory, value_aging(kappa=kappa, limit_s=limit_s))
    longest_s = max((p.runtime_s for p in run.placements), default=0)
    for p in run.placements:
        overdue_s = p.submit_s + limit_s
        ahead = [
            q
            for q in run.placements
            if (q.submit_s, q.job_id) < (p.submit_s, p.job_id) and q.start_s >= overdue_s
        ]  # fmt: skip
        assert p.wait_s <= limit_s + (len(ahead) + 1) * longest_s
