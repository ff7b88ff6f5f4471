"""The rolling integer program: what it decides by hand and against brute force, and that it repeats itself."""

from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.policies.milp import milp
from kilowait.policies.patient import patient
from kilowait.policies.planning.time_indexed import Column, SearchLimits, select
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from tests.support.examples import examples

INVENTORY = {"A": 1, "B": 1}
GENEROUS = SearchLimits(nodes=1000, time_s=60)


def job(job_id, submit_s, on_a, on_b, gpus=1):
    """Seconds and kWh on A and on B."""
    truth = {t: Prediction(runtime_s=s, energy_kwh=e) for t, (s, e) in (("A", on_a), ("B", on_b))}
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, gpus=gpus), truth=truth, seen=truth)


def starts(submissions, inventory=INVENTORY, **parameters):
    run = simulate(submissions, inventory, milp(**parameters))
    return {p.job_id: (p.gpu_type, p.start_s) for p in run.placements}


def test_a_job_is_held_while_the_saved_energy_is_worth_the_wait():
    """`second` would wait 90 s for the green A, or burn 1 kWh more on the free B at once."""
    jobs = [job("first", 0, (100, 1), (100, 9)), job("second", 10, (50, 1), (50, 2))]
    assert starts(jobs, wait_s_per_kwh=91, congestion=0) == {"first": ("A", 0), "second": ("A", 100)}
    assert starts(jobs, wait_s_per_kwh=89, congestion=0) == {"first": ("A", 0), "second": ("B", 10)}


def test_types_are_exchanged_where_patient_places_one_job_after_the_other():
    """`small` goes first by area and takes the greener A; `large`, which saves 9 kWh there, then waits for it."""
    jobs = [job("small", 0, (10, 1), (10, 2)), job("large", 0, (20, 1), (20, 10))]
    by_patient = simulate(jobs, INVENTORY, patient(wait_s_per_kwh=1.5, congestion=0, effort=1)).placements
    assert {p.job_id: p.gpu_type for p in by_patient if p.start_s == 0} == {"small": "A"}
    assert starts(jobs, wait_s_per_kwh=1.5, congestion=0) == {"small": ("B", 0), "large": ("A", 0)}


def test_what_a_job_takes_from_one_to_come_is_priced():
    """B holds its whole type for 60 s longer and saves 1 kWh."""
    alone = [job("only", 0, (10, 2), (70, 1))]
    assert starts(alone, wait_s_per_kwh=50, congestion=0.5)["only"] == ("B", 0)  # 50 s against 30 s
    assert starts(alone, wait_s_per_kwh=50, congestion=1)["only"] == ("A", 0)  # 50 s against 60 s


def test_jobs_beyond_the_horizon_use_what_is_left():
    jobs = [job(str(i), 0, (2, 1), (3, 1)) for i in range(30)]
    run = starts(jobs, {"A": 20, "B": 10}, horizon=3)
    assert {start for _, start in run.values()} == {0}


@st.composite
def crowds(draw):
    """Jobs that all wait at 0."""
    inventory = {"A": draw(st.integers(1, 2)), "B": draw(st.integers(1, 2))}
    numbers = st.tuples(st.integers(1, 9), st.integers(0, 3))
    jobs = [
        job(str(k), 0, draw(numbers), draw(numbers), draw(st.integers(1, 2))) for k in range(draw(st.integers(1, 4)))
    ]
    usable = [s for s in jobs if s.job.gpus <= max(inventory.values())]
    return inventory, usable


def brute_force_s(inventory, jobs, price):
    """The least waiting and priced energy over all types and orders, every second tried."""
    best = float("inf")
    for types in product(*([t for t in "AB" if s.job.gpus <= inventory[t]] for s in jobs)):
        energy = sum(s.truth[t].energy_kwh for s, t in zip(jobs, types, strict=True))
        for order in permutations(range(len(jobs))):
            busy, earliest, waited = {"A": [], "B": []}, {"A": 0, "B": 0}, 0
            for k in order:
                t, gpus = types[k], jobs[k].job.gpus
                start = earliest[t]
                while sum(g for end, g in busy[t] if end > start) + gpus > inventory[t]:
                    start += 1
                busy[t].append((start + jobs[k].truth[t].runtime_s, gpus))
                earliest[t], waited = start, waited + start
            best = min(best, waited + price * energy)
    return best


@settings(max_examples=examples(80))
@given(crowds(), st.sampled_from((0, 1, 4)))
def test_a_crowd_is_served_as_brute_force_would(crowd, price):
    """Nobody arrives later, so deciding anew at every end must not spoil the first plan."""
    inventory, jobs = crowd
    run = simulate(jobs, inventory, milp(wait_s_per_kwh=price, congestion=0, nodes=1000))
    cost = sum(p.wait_s + price * p.energy_kwh for p in run.placements)
    assert cost == pytest.approx(brute_force_s(inventory, jobs, price))


@settings(max_examples=examples(20))
@given(st.integers(1, 8), st.integers(1, 3))
def test_the_same_state_gives_the_same_decisions(horizon, nodes):
    jobs = [job(str(i), i // 3, (5 + i % 4, 2), (3 + i % 5, 1 + i % 2), 1 + i % 2) for i in range(12)]
    policy = milp(horizon=horizon, nodes=nodes)
    first, again = (simulate(jobs, {"A": 3, "B": 2}, policy).placements for _ in range(2))
    assert first == again


def test_without_time_the_plan_of_patient_stands():
    jobs = [job(str(i), 0, (5 + i % 4, 2), (3 + i % 5, 1 + i % 2), 1 + i % 2) for i in range(12)]
    inventory = {"A": 3, "B": 2}
    expected = simulate(jobs, inventory, patient(congestion=0)).placements
    assert simulate(jobs, inventory, milp(congestion=0, time_limit_s=0)).placements == expected


@pytest.mark.parametrize("name", ["horizon", "nodes"])
def test_a_search_over_nothing_is_refused(name):
    with pytest.raises(InputError, match=f"{name} must be >= 1, got 0"):
        milp(**{name: 0})


def test_a_negative_weight_is_refused():
    with pytest.raises(InputError, match="wait_s_per_kwh must be finite and >= 0"):
        milp(wait_s_per_kwh=-1)


def column(job_id, start_s, until_s, cost_s, gpus=1):
    return Column(
        job_id=job_id, gpu_type="A", gpus=gpus, start_s=start_s, held_from_s=start_s, held_until_s=until_s,
        cost_s=cost_s,
    )  # fmt: skip


class TestSelect:
    def test_a_column_ends_before_another_begins_at_its_end(self):
        offered = [column("a", 0, 5, 0), column("b", 0, 5, 0), column("b", 5, 9, 5)]
        found = select(offered, lambda gpu_type, time_s: 1, GENEROUS)
        assert {(c.job_id, c.start_s) for c in found.columns} == {("a", 0), ("b", 5)}
        assert found.bound_s == pytest.approx(5)

    def test_gpus_that_come_free_are_used_from_then_on(self):
        offered = [column("a", 0, 5, 0, 2), column("a", 3, 8, 3, 2)]
        found = select(offered, lambda gpu_type, time_s: 2 if time_s >= 3 else 1, GENEROUS)
        assert found.columns == (offered[1],)

    def test_what_cannot_be_chosen_is_bounded_by_nothing(self):
        found = select([column("a", 0, 5, 0, 2)], lambda gpu_type, time_s: 1, GENEROUS)
        assert (found.columns, found.bound_s) == (None, float("inf"))
