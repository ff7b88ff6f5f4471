"""A price that steers itself: the shadow is a simulation, and the waiting of real jobs keeps the target."""

import pytest
from hypothesis import given, settings

from benchmarks.jobs import Setting, submissions
from kilowait.cluster.advance import advance
from kilowait.cluster.events import (
    AttemptFailed,
    AttemptFinished,
    GpusJoined,
    JobCancelled,
    JobPlaced,
    JobSubmitted,
)
from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.lab.backtest.backtest import World
from kilowait.policies import POLICIES
from kilowait.policies.decisions import Place, Preempt
from kilowait.policies.parameters import part
from kilowait.policies.patient import patient
from kilowait.policies.sjf import sjf
from kilowait.policies.steering.price_search import never_less
from kilowait.policies.steering.shadow import ShadowRun
from kilowait.policies.steering.steered import PRICES_S, at_price, price_in_force, steered
from kilowait.policies.value import value
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from tests.support.examples import examples
from tests.support.random_worlds import worlds
from tests.support.short_jobs import placed, short_jobs


def waited_s(run):
    return sum(p.wait_s for p in run.placements)


@settings(max_examples=examples(60))
@given(worlds())
def test_a_shadow_waits_as_long_as_a_simulation_of_the_same_arrivals(world):
    inventory, jobs = world
    jobs = [Submission(job=s.job, truth=s.seen, seen=s.seen) for s in jobs]
    shadow = ShadowRun(policy=sjf(), nodes={("n", gpu_type): gpus for gpu_type, gpus in inventory.items()})
    shadow.begin(0.0)
    for time_s in sorted({s.job.submit_s for s in jobs}):
        arrived = [
            Waiting(job=s.job, predictions=s.seen, whole=s.seen, attempt=1, gpus=dict.fromkeys(s.seen, 1))
            for s in sorted(jobs, key=lambda s: (s.job.submit_s, s.job.job_id))
            if s.job.submit_s == time_s
        ]
        shadow.run_until(time_s, arrived)
    shadow.run_until(1e6)
    assert shadow.waited_s == waited_s(simulate(jobs, inventory, sjf()))


@pytest.mark.parametrize("classes", ["paper-like", "calibrated"])
def test_all_waiting_is_near_the_target_and_energy_is_saved(classes):
    """Over three samples, each of which begins knowing nothing; benchmarks/steering.py sums over more."""
    world, totals = World(classes=classes, seed=3, load=2.0), {}
    for index in range(3):
        sample = world.sample(index)
        for name, policy in (("value", value(kappa_relative=1.0)), ("steered", patient(max_extra_wait=0.0))):
            run = simulate(sample.submissions, sample.inventory, policy, nodes=sample.nodes)
            wait, energy = totals.get(name, (0, 0))
            totals[name] = wait + waited_s(run), energy + sum(p.energy_kwh for p in run.placements)
    assert totals["steered"][0] <= 1.03 * totals["value"][0]
    assert totals["steered"][1] < totals["value"][1]


def test_a_longer_wait_that_is_allowed_saves_more():
    sample = World(classes="calibrated", seed=3, load=1.0).sample(1)
    energies = [
        sum(p.energy_kwh for p in simulate(sample.submissions, sample.inventory, patient(max_extra_wait=e)).placements)
        for e in (-0.5, 1.0)
    ]
    assert energies[1] < energies[0]


@pytest.mark.parametrize(
    ("waits_s", "pooled_s"),
    [
        ([], []),
        ([1.0, 2.0, 2.0], [1.0, 2.0, 2.0]),
        ([3.0, 1.0, 4.0], [2.0, 2.0, 4.0]),
        ([5.0, 4.0, 3.0], [4.0, 4.0, 4.0]),
        ([1.0, 6.0, 2.0, 1.0], [1.0, 3.0, 3.0, 3.0]),
    ],
)
def test_waits_that_fall_as_the_price_rises_count_as_their_mean(waits_s, pooled_s):
    assert never_less(waits_s) == pooled_s


def test_what_a_queue_will_still_wait_is_known_before_it_is_over():
    """Three jobs of 100 s on one GPU: the second waits 100 s and the third 200 s; nothing of the shadow changes."""
    shadow = ShadowRun(policy=sjf(), nodes={("n", "A"): 1})
    shadow.begin(0.0)
    seen = {"A": Prediction(runtime_s=100, energy_kwh=0.0)}
    arrived = [
        Waiting(job=Job(job_id=f"{n}", submit_s=0.0), predictions=seen, whole=seen, attempt=1, gpus={"A": 1})
        for n in range(3)
    ]
    shadow.run_until(0.0, arrived)
    assert [shadow.to_come_s(), shadow.waited_s] == [300.0, 0.0]
    shadow.run_until(150.0)
    assert [shadow.to_come_s(), shadow.waited_s] == [50.0, 250.0]
    going_on = ShadowRun.going_on(shadow.cluster, sjf(), longer=1.0)
    assert [going_on.to_come_s(), shadow.to_come_s()] == [50.0, 50.0]


def test_the_same_policy_decides_alike_on_the_same_events_again():
    setting = Setting(jobs=60, types=2, gpus=3, burst_jobs=30)
    policy, jobs = patient(max_extra_wait=0.0), submissions(setting)
    assert simulate(jobs, setting.inventory, policy).placements == simulate(jobs, setting.inventory, policy).placements


def test_a_kwh_is_worth_1000_s_at_first_and_less_where_a_job_would_wait_longer_than_the_target():
    """The free B burns 1 kWh more, and A is free at 600, 900 or 1,100 s. Nobody waits under Value, two jobs may wait
    240 s. Prices of 1,000 s and more would hold the job for longer than that, those of 250 s and less would not: so
    250 s is found, with two jobs' weight beside ten of 1,000 s, which is 794 s."""
    chosen, asked = {}, []

    def planner(price_s):
        asked.append(price_s)
        return patient(wait_s_per_kwh=price_s, congestion=0)

    for busy_s in (600, 900, 1100):
        asked.clear()
        first = Job(job_id="first", submit_s=0, allowed=frozenset("A"))
        second = Job(job_id="second", submit_s=1)
        seen = {"A": Prediction(runtime_s=busy_s, energy_kwh=0.0), "B": Prediction(runtime_s=50, energy_kwh=1.0)}
        quick = {"A": Prediction(runtime_s=50, energy_kwh=0.0), "B": seen["B"]}
        jobs = [
            Submission(job=first, truth={"A": seen["A"]}, seen={"A": seen["A"]}),
            Submission(job=second, truth=quick, seen=quick),
        ]
        run = simulate(jobs, {"A": 1, "B": 1}, steered(planner, 0.0))
        assert asked[len(PRICES_S)] == 1000.0  # those before are the shadows'
        chosen[busy_s] = next(p.gpu_type for p in run.placements if p.job_id == "second")
    assert chosen == {600: "A", 900: "B", 1100: "B"}


def test_what_was_learned_stays_when_gpus_join():
    """After a burst of which every price keeps the target, the price is between the first and the highest by the rule:
    ten jobs' weight on 1,000 s, three jobs' on 16,000 s; a new node does not change that."""
    cluster, policy = Cluster(), patient(max_extra_wait=0.5)
    seen = {"A": Prediction(runtime_s=100, energy_kwh=0.0)}
    advance(cluster, GpusJoined(time_s=0.0, node="n", gpu_type="A", gpus=1))
    for number in range(3):
        advance(cluster, JobSubmitted(time_s=0.0, job=Job(job_id=f"{number}", submit_s=0.0), predictions=seen))
    for number in range(3):
        cluster.now_s = 100.0 * number
        (place,) = policy(cluster)
        advance(
            cluster, JobPlaced(time_s=cluster.now_s, job_id=place.job_id, attempt=1, gpu_type="A", gpus=1, where=())
        )
        advance(cluster, AttemptFinished(time_s=100.0 * (number + 1), job_id=place.job_id, attempt=1))
    learned_s = price_in_force(policy)
    assert learned_s == pytest.approx((1000.0**10 * 16_000.0**3) ** (1 / 13))
    advance(cluster, GpusJoined(time_s=400.0, node="m", gpu_type="A", gpus=1))
    cluster.now_s = 400.0
    policy(cluster)
    assert price_in_force(policy) == learned_s
    assert price_in_force(patient()) is None


def test_jobs_that_are_tried_again_are_looked_ahead_too(one_board):
    """At 50 s three of 100 s wait on one GPU, one of them for its second attempt: for 0, 100 and 200 s."""
    policy = patient(max_extra_wait=0.0)
    short_jobs(one_board, "a", "b", "c")
    policy(one_board)
    placed(one_board, "a")
    advance(one_board, AttemptFailed(time_s=50.0, job_id="a", attempt=1, reason="lost"))
    assert ShadowRun.going_on(one_board, sjf(), longer=1.0).to_come_s() == 300.0
    placed(one_board, "a", attempt=2)
    short_jobs(one_board, "d")
    assert policy(one_board) == []
    assert ShadowRun.going_on(one_board, sjf(), longer=1.0).to_come_s() == 600.0


def test_a_policy_that_would_move_a_running_job_is_looked_ahead_of_without_that(one_board):
    """Behind "a", which runs on, waits "b" for 100 s."""

    def moving(cluster):
        moved = [Preempt(job_id="a"), Place(job_id="a", gpu_type="A")] if "a" in cluster.active else []
        return [*moved, *sjf()(cluster)]

    short_jobs(one_board, "a", "b")
    placed(one_board, "a")
    assert ShadowRun.going_on(one_board, moving, longer=1.0).to_come_s() == 100.0


def test_those_whose_turn_it_is_not_are_yet_to_come(one_board):
    """Behind "a" waits "b", for 100 s; "child" comes once "a" is over, and is first then by its name."""
    short_jobs(one_board, "a", "b")
    short_jobs(one_board, "a child", after=("a",))
    placed(one_board, "a")
    assert ShadowRun.going_on(one_board, sjf(), longer=1.0).to_come_s() == 100.0


def test_a_job_after_one_that_a_shadow_never_saw_runs_there():
    shadow = ShadowRun(policy=sjf(), nodes={("n", "A"): 1})
    shadow.begin(0.0)
    seen = {"A": Prediction(runtime_s=100, energy_kwh=0.0)}
    job = Job(job_id="child", submit_s=0.0, after=("over long ago",))
    shadow.run_until(0.0, [Waiting(job=job, predictions=seen, whole=seen, attempt=1, gpus={"A": 1})])
    assert list(shadow.cluster.active) == ["child"]


def test_who_asks_for_the_price_in_force_has_nothing_computed(one_board):
    """Of eleven waiting jobs one is new, so that its decision keeps the price; then nine are withdrawn."""
    asked = []

    def planner(price_s):
        asked.append(price_s)
        return patient(wait_s_per_kwh=price_s)

    policy = steered(planner)
    short_jobs(one_board, *(f"{n:02}" for n in range(11)))
    policy(one_board)
    short_jobs(one_board, "new")
    policy(one_board)
    for n in range(9):
        advance(one_board, JobCancelled(time_s=0.0, job_id=f"{n:02}"))
    before = len(asked)
    assert price_in_force(policy) == asked[-1]
    assert len(asked) == before


def test_jobs_that_wait_while_gpus_join_count_once(one_board):
    """Three jobs that cost the same at any price: their weight on 16,000 s, ten's on 1,000 s, before and after."""
    policy = patient(max_extra_wait=0.5)
    short_jobs(one_board, "a", "b", "c")
    policy(one_board)
    expected_s = pytest.approx((1000.0**10 * 16_000.0**3) ** (1 / 13))
    assert price_in_force(policy) == expected_s
    advance(one_board, GpusJoined(time_s=0.0, node="m", gpu_type="A", gpus=1))
    policy(one_board)
    assert price_in_force(policy) == expected_s


def test_who_looks_ahead_sees_the_planner_at_the_price_in_force():
    setting = Setting(jobs=40, types=2, gpus=3, burst_jobs=30)
    jobs, steering = submissions(setting), POLICIES["steered(patient)"]()
    found = [
        simulate(jobs, setting.inventory, policy).placements
        for policy in (at_price(steering, 4000.0), patient(wait_s_per_kwh=4000.0), at_price(steering, None))
    ]
    assert found[0] == found[1]
    assert found[2] == simulate(jobs, setting.inventory, patient(max_extra_wait=0.0)).placements
    assert at_price(value(kappa=0.0), 1.0)(Cluster()) == []


def test_it_is_an_option_instead_of_the_price():
    rule = POLICIES["patient"]
    assert rule.settled({"max_extra_wait": 0.05}).get("wait_s_per_kwh") is None
    assert rule.settled({})["wait_s_per_kwh"] == 1500.0
    assert [part(text) for text in ("5%", "0.05", "-10%")] == [0.05, 0.05, -0.1]
    with pytest.raises(InputError, match="'much' is not a share"):
        part("much")
    with pytest.raises(InputError, match="max_extra_wait must be finite and > -1"):
        patient(max_extra_wait=-1.0)
