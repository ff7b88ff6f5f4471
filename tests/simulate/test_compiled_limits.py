"""Under power limits, a budget and signals the compiled engine does what the loop in Python does, event by event."""

import random
from functools import partial

import pytest

from kilowait.cluster.advance import replay
from kilowait.cluster.events import SignalReported
from kilowait.core.errors import IllegalEvent, InputError
from kilowait.core.jobs import Job, PowerLimit, Prediction
from kilowait.core.over_time.signals import Signal
from kilowait.policies.easy import easy
from kilowait.policies.greedy import greedy
from kilowait.policies.limiting.limit_price import LimitPrice
from kilowait.policies.simple import simple
from kilowait.policies.sjf import sjf
from kilowait.policies.value import value
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from kilowait.simulate.within_power.power_budget import PowerBudget

POLICIES = [simple(), value(kappa=0.125), sjf()]
TYPES = ("A100", "A6000")
compiled, python = partial(simulate, engine="compiled"), partial(simulate, engine="python")


def drawn(rng, gpus, runtime_s):
    """A prediction with a curve, or without one; few numbers, so that costs are often equal."""
    watts = rng.choice((90, 180, 240, 310, 395)) * gpus
    levels = sorted(rng.sample((350, 300, 250, 200, 150, 100), rng.randint(0, 4)), reverse=True)
    slower, curve = 1.0, [PowerLimit(limit_w=400, runtime_s=runtime_s, energy_kwh=watts * runtime_s / 3.6e6)]
    for limit_w in levels:
        slower *= rng.choice((1.0, 1.05, 1.25, 2.0))
        kwh = min(watts, limit_w * gpus) * runtime_s * slower / 3.6e6
        curve.append(PowerLimit(limit_w=limit_w, runtime_s=runtime_s * slower, energy_kwh=kwh))
    limits = tuple(curve) if levels else ()
    return Prediction(runtime_s=runtime_s, energy_kwh=watts * runtime_s / 3.6e6, limits=limits)


def world(rng, unit_s):
    """Some jobs can never run, for want of boards or of watts; a third of them draw what nobody foresaw."""
    inventory, submissions = {t: rng.randint(1, 6) for t in rng.sample(TYPES, rng.randint(1, 2))}, []
    for job_id in rng.sample(range(1, 40), rng.randint(0, 22)):
        gpus, known = rng.randint(1, 4), rng.sample(TYPES, rng.randint(1, 2))
        asked = Job(
            job_id=str(job_id),
            submit_s=rng.choice((0, 0, 1, 2, 3, 4, 6, 8)) * unit_s,
            priority=rng.choice((0, 0, 0, 1)),
            gpus=gpus,
            gpus_by_type={t: rng.randint(1, 6) for t in TYPES if rng.random() < 0.1},
            allowed=frozenset(["A6000"]) if rng.random() < 0.1 else None,
        )
        truth = {t: drawn(rng, asked.gpus_on(t), rng.choice((1, 2, 3, 5)) * unit_s) for t in known}
        seen = truth
        if rng.random() < 1 / 3:
            seen = {t: drawn(rng, asked.gpus_on(t), rng.choice((1, 2, 3, 5)) * unit_s) for t in reversed(known)}
        submissions.append(Submission(job=asked, truth=truth, seen=seen))
    return submissions, inventory


def power(rng, inventory):
    """A price, a budget, or both."""
    rules, which = {}, rng.randrange(3)
    price = LimitPrice(s_per_kwh=rng.choice((0, 500, 1500, 20_000)), congestion=rng.choice((0, 0.3)))
    if which != 1:
        rules["limits"] = price
    if which != 0:
        idle_w = 70 * sum(inventory.values())
        rules["budget"] = PowerBudget(watts=idle_w + rng.uniform(0.2, 1) * 350 * sum(inventory.values()), price=price)
    return rules


def told(rng, unit_s):
    """Reports of a signal by time, some of them when something else happens."""
    times_s = sorted(rng.choice((0, 0.5, 1, 2, 2.5, 4, 7, 20, 1000)) * unit_s for _ in range(rng.randint(1, 6)))
    of = Signal(name="carbon", times_s=(0.0,), values=(300.0,), ends_s=1e6)
    return [SignalReported(time_s=float(time_s), signal=of) for time_s in times_s]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.__name__)
def test_runs_under_power_limits_are_equal_to_the_last_event(policy):
    rng, refused, slowed, limited = random.Random(20261201), 0, 0, 0
    for serial in range(60):
        unit_s = (600, 1000.1, 100 / 3)[serial % 3]
        submissions, inventory = world(rng, unit_s)
        state = rng.getstate()
        run = compiled(submissions, inventory, policy, **power(rng, inventory), reports=told(rng, unit_s))
        rng.setstate(state)
        expected = python(submissions, inventory, policy, **power(rng, inventory), reports=told(rng, unit_s))
        assert run.placements == expected.placements
        assert run.events == expected.events
        assert list(run.refused.items()) == list(expected.refused.items())
        assert run == expected
        refused += sum("power budget" in why for why in run.refused.values())
        limited += sum(p.limit_w is not None and p.limit_w < 300 for p in run.placements)
        truth = {one.job.job_id: one.truth for one in submissions}
        slowed += sum(p.runtime_s > truth[p.job_id][p.gpu_type].runtime_s for p in run.placements)
    assert min(refused, limited, slowed) > 20


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.__name__)
def test_long_queues_under_a_budget_are_equal_too(policy):
    """So long that the price of a watt is found again and again."""
    rng, submissions = random.Random(2), []
    for serial in range(500):
        gpus = rng.choice((1, 1, 2, 4))
        truth = {t: drawn(rng, gpus, rng.uniform(100, 3000)) for t in TYPES}
        asked = Job(job_id=str(serial), submit_s=rng.uniform(0, 10_000), gpus=gpus)
        submissions.append(Submission(job=asked, truth=truth, seen=truth))
    inventory, ours, theirs = dict.fromkeys(TYPES, 12), PowerBudget(watts=5000), PowerBudget(watts=5000)
    run = compiled(submissions, inventory, policy, budget=ours)
    assert run == python(submissions, inventory, policy, budget=theirs)
    assert ours.committed_w == theirs.committed_w
    assert len({p.limit_w for p in run.placements}) > 5
    replay(run.events)


def test_what_the_kernels_do_not_know_under_limits_is_named():
    of = [Submission(job=Job(job_id="a", submit_s=0), truth={"A100": drawn(random.Random(0), 1, 60)}, seen={})]
    for policy in (easy(), greedy(alpha=1, gamma=0)):
        with pytest.raises(InputError, match=r"power limits under .*; use engine 'python'"):
            compiled(of, {"A100": 1}, policy, limits=LimitPrice())
    with pytest.raises(InputError, match="signals under easy; use engine 'python'"):
        compiled(of, {"A100": 1}, easy(), reports=told(random.Random(0), 1))


def test_a_limit_that_does_not_fall_is_left_to_python():
    curve = tuple(PowerLimit(limit_w=watts, runtime_s=60, energy_kwh=0.01) for watts in (400, 300, 300))
    told_of = {"A100": Prediction(runtime_s=60, energy_kwh=0.01, limits=curve)}
    of = [Submission(job=Job(job_id="a", submit_s=0), truth=told_of, seen=told_of)]
    with pytest.raises(InputError, match="limits of a prediction do not fall"):
        compiled(of, {"A100": 1}, simple(), limits=LimitPrice())


@pytest.mark.parametrize("run", [compiled, python])
def test_reports_out_of_order_are_refused(run):
    of = Signal(name="carbon", times_s=(0.0,), values=(300.0,), ends_s=1e6)
    told_of = {"A100": Prediction(runtime_s=60, energy_kwh=0.01)}
    jobs = [Submission(job=Job(job_id="a", submit_s=0), truth=told_of, seen=told_of)]
    with pytest.raises(IllegalEvent, match="not before the present"):
        run(jobs, {"A100": 1}, simple(), reports=[SignalReported(time_s=t, signal=of) for t in (30.0, 20.0)])
