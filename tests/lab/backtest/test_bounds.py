"""The bound on waiting against brute force over every left-shifted schedule, by hand, and under every policy."""

from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.core.jobs import Job, Prediction
from kilowait.lab.backtest.backtest import World
from kilowait.lab.backtest.bounds.lower_bounds import Bounds, greenest_kwh, relax, wait_bound_s
from kilowait.lab.backtest.bounds.optimum import cost_s, optimum
from kilowait.lab.backtest.scenario.arrivals import ArrivalPattern
from kilowait.lab.backtest.scenario.paper_scenario import Sample
from kilowait.policies import POLICIES
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from kilowait.simulate.scores import score
from tests.support.examples import examples

pytestmark = pytest.mark.slow

PARAMETERS = {
    "value_cvar": {"kappa": 1e-5},
    "value": {"kappa": 1e-5},
    "value_aging": {"kappa": 1e-5, "limit_s": 86_400},
    "milp": {"horizon": 6, "nodes": 1},
}


def job(job_id, submit_s, gpus=1, **truth):
    """Seconds and kWh by type."""
    numbers = {t: Prediction(runtime_s=s, energy_kwh=e) for t, (s, e) in truth.items()}
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, gpus=gpus), truth=numbers, seen=numbers)


def sample(inventory, *submissions):
    return Sample(submissions=submissions, inventory=inventory)


def brute_force_s(world, wait_s_per_kwh=0.0):
    """The least cost over every assignment of types and every order, each job as early as the order lets it.

    A list in the order of starts, each job no earlier than the one before it on its type, reaches every schedule in
    which no job could start earlier; seconds are whole, so every second is tried.
    """
    best = float("inf")
    jobs = [s for s in world.submissions if any(s.job.gpus <= world.inventory[t] for t in s.truth)]
    for types in product(*([t for t in s.truth if s.job.gpus <= world.inventory[t]] for s in jobs)):
        energy = sum(s.truth[t].energy_kwh for s, t in zip(jobs, types, strict=True))
        for order in permutations(range(len(jobs))):
            wait = total_wait_s(world, [(jobs[k], types[k]) for k in order])
            best = min(best, wait + wait_s_per_kwh * energy)
    return best


def total_wait_s(world, order):
    busy, earliest, waited = {t: [] for t in world.inventory}, dict.fromkeys(world.inventory, 0), 0
    for one, t in order:
        start = max(one.job.submit_s, earliest[t])
        while sum(g for end, g in busy[t] if end > start) + one.job.gpus > world.inventory[t]:
            start += 1
        busy[t].append((start + one.truth[t].runtime_s, one.job.gpus))
        earliest[t] = start
        waited += start - one.job.submit_s
    return waited


@st.composite
def tiny(draw, most_jobs=4):
    """Up to four jobs on up to two types, whole seconds."""
    types = draw(st.sampled_from((("A",), ("A", "B"))))
    inventory = {t: draw(st.integers(1, 3)) for t in types}
    numbers = st.tuples(st.integers(1, 9), st.sampled_from((0, 1, 2)))
    jobs = []
    for serial in range(draw(st.integers(1, most_jobs))):
        may = draw(st.sets(st.sampled_from(types), min_size=1))
        truth = {t: draw(numbers) for t in sorted(may)}
        jobs.append(job(str(serial), draw(st.integers(0, 6)), draw(st.integers(1, 3)), **truth))
    return sample(inventory, *jobs)


class TestByHand:
    def test_one_after_the_other_on_one_gpu(self):
        """Shortest first: 0 + 2 + 5 + 9."""
        jobs = [job(str(s), 0, A=(s, 0)) for s in (2, 3, 4, 5)]
        assert wait_bound_s(sample({"A": 1}, *jobs)) == pytest.approx(16, rel=0.01)

    def test_without_contention_nothing_need_wait(self):
        jobs = [job("a", 0, A=(5, 0)), job("b", 1, A=(5, 0)), job("c", 6, A=(9, 0))]
        assert wait_bound_s(sample({"A": 2}, *jobs)) == 0

    def test_waiting_ends_at_the_start_however_slow_the_other_type_is(self):
        """Both start at once if one takes the slow B; the slowness is no waiting."""
        both = [job(str(k), 0, A=(10, 0), B=(1000, 0)) for k in range(2)]
        assert wait_bound_s(sample({"A": 1, "B": 1}, *both)) == 0
        assert wait_bound_s(sample({"A": 1}, *both)) == pytest.approx(10, rel=0.01)

    def test_a_kilowatt_hour_is_worth_its_price(self):
        """On the green A one waits 10 s; on B it costs 2 kWh more."""
        both = [job(str(k), 0, A=(10, 1), B=(10, 3)) for k in range(2)]
        world = sample({"A": 1, "B": 1}, *both)
        assert relax(world, 4).bound_s == pytest.approx(4 * 4)  # 1 + 3 kWh
        assert relax(world, 6).bound_s == pytest.approx(10 + 6 * 2, rel=0.01)

    def test_jobs_that_can_never_run_do_not_count(self):
        jobs = [job("fits", 0, A=(5, 1), C=(5, 0)), job("wide", 0, gpus=3, A=(5, 1))]
        assert Bounds.of(sample({"A": 1}, *jobs)) == Bounds(energy_kwh=1, wait_s=0)

    def test_nothing_to_run(self):
        assert Bounds.of(sample({"A": 1})) == Bounds(energy_kwh=0, wait_s=0)


@settings(max_examples=examples(150))
@given(tiny(), st.sampled_from((0, 3)))
def test_no_schedule_costs_less_than_the_bound(world, price):
    assert relax(world, price).bound_s <= brute_force_s(world, price) + 1e-9


@settings(max_examples=examples(60))
@given(tiny(), st.sampled_from((0, 3)))
def test_the_optimum_is_that_of_brute_force(world, price):
    found = optimum(world, wait_s_per_kwh=price)
    least = brute_force_s(world, price)
    assert found.cost_s == pytest.approx(least, rel=2e-4)
    assert found.bound_s <= least + 1e-6
    assert found.gap <= 1e-4


@pytest.mark.parametrize("classes", ["paper-like", "calibrated"])
def test_no_policy_waits_less_or_uses_less_than_the_bounds(classes):
    arrivals = ArrivalPattern(expected=40, days=10)
    for index in range(2):
        world = World(classes=classes, seed=5, arrivals=arrivals).sample(index)
        bounds = Bounds.of(world)
        assert bounds.energy_kwh == greenest_kwh(world)
        for name, factory in POLICIES.items():
            scores = score(simulate(world.submissions, world.inventory, factory(**PARAMETERS.get(name, {}))))
            assert scores.total_wait_s >= bounds.wait_s
            assert scores.energy_kwh >= bounds.energy_kwh


def test_a_scarce_sample_has_a_bound_above_nothing():
    """On a quarter of the GPUs some waiting is proved."""
    world = World(classes="paper-like", seed=5, arrivals=ArrivalPattern(expected=60, days=15)).sample(0)
    scarce = Sample(submissions=world.submissions, inventory={"A100": 4, "A6000": 8})
    assert wait_bound_s(scarce) > 3600


def test_the_optimum_is_a_schedule_and_no_policy_beats_it():
    world = World(classes="paper-like", seed=2024, arrivals=ArrivalPattern(expected=31, days=10)).sample(0)
    found = optimum(world, wait_s_per_kwh=1000)
    assert found.cost_s == pytest.approx(cost_s(found.run, 1000))
    assert len(found.run.placements) == len(world.submissions)
    for name, factory in POLICIES.items():
        run = simulate(world.submissions, world.inventory, factory(**PARAMETERS.get(name, {})))
        assert cost_s(run, 1000) >= found.bound_s


def test_a_search_without_time_returns_the_best_policy_and_says_the_gap():
    jobs = [job(str(k), k, gpus=1 + k % 3, A=(9 + k % 4, 1), B=(5 + k % 7, 2)) for k in range(12)]
    found = optimum(sample({"A": 3, "B": 3}, *jobs), wait_s_per_kwh=1, time_limit_s=0)
    assert found.rounds == 0
    assert found.gap == pytest.approx(1 - found.bound_s / found.cost_s)
    assert len(found.run.placements) == 12
