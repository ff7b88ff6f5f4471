"""Nodes that sleep: timelines worked out by hand, and what holds in every world."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.policies.sjf import sjf
from kilowait.policies.srpt import srpt
from kilowait.simulate.loop import simulate
from kilowait.simulate.scores import score
from kilowait.simulate.sleeping import SleepRule
from tests.support.random_worlds import worlds
from tests.support.timelines import job

HOUR_S, IDLE_W = 3600.0, {"A": 100.0, "B": 50.0}
RULE = SleepRule(after_s=HOUR_S, wake_s=600.0, host_w=400.0, asleep_w=10.0)


def ran(rule, nodes, *jobs, policy=sjf):
    inventory = {gpu_type: sum(gpus) for gpu_type, gpus in nodes.items()}
    run = simulate(jobs, inventory, policy(), nodes=nodes, sleep=rule)
    ends_s = max(placement.end_s for placement in run.placements)
    energy = run.sleeping.energy(sum(p.energy_kwh for p in run.placements), ends_s, IDLE_W)
    return [(p.job_id, p.start_s, p.end_s) for p in run.placements], energy


def test_a_node_wakes_for_a_job_and_the_energy_is_that_of_each_hour():
    # One node of two boards: busy for an hour (one board), idle for three, of which it sleeps two; then it wakes.
    first, second = job("a", 0, A=(HOUR_S, 1.0)), job("b", 4 * HOUR_S, A=(HOUR_S, 2.0))
    starts, energy = ran(RULE, {"A": (2,)}, first, second)
    assert starts == [("a", 0.0, HOUR_S), ("b", 4 * HOUR_S + 600, 5 * HOUR_S + 600)]
    awake_h = 1 + 1 + 600 / HOUR_S + 1
    assert energy.jobs_kwh == 3.0
    assert energy.hosts_kwh == pytest.approx((400 * awake_h + 10 * 2) / 1000)
    assert energy.idle_boards_kwh == pytest.approx(100 * (2 * awake_h - 2) / 1000)
    assert (energy.wakes, energy.asleep_share) == (1, pytest.approx(2 / (awake_h + 2)))


def test_nothing_sleeps_before_its_time_or_where_it_is_kept_warm():
    jobs = job("a", 0, A=(HOUR_S, 1.0)), job("b", 2 * HOUR_S, A=(HOUR_S, 1.0))
    for rule in (RULE, replace(RULE, after_s=1.0, warm=1), replace(RULE, after_s=inf)):
        starts, energy = ran(rule, {"A": (2,)}, *jobs)
        assert starts[1][1] == 2 * HOUR_S
        assert (energy.wakes, energy.asleep_share) == (0, 0)
        assert energy.total_kwh == pytest.approx(2 + 0.4 * 3 + 0.1 * (2 * 3 - 2))


def test_a_job_on_two_nodes_waits_for_the_one_that_sleeps():
    small, wide = job("a", 0, A=(3 * HOUR_S, 1.0)), job("b", 2 * HOUR_S, gpus=3, A=(HOUR_S, 1.0))
    starts, energy = ran(RULE, {"A": (2, 2)}, small, wide)
    assert starts[1] == ("b", 2 * HOUR_S + 600, 3 * HOUR_S + 600)
    assert energy.wakes == 1


def test_a_second_job_on_a_waking_node_starts_when_it_is_awake():
    late = [job("b", 2 * HOUR_S, A=(HOUR_S, 1.0)), job("c", 2 * HOUR_S + 400, A=(HOUR_S, 1.0))]
    starts, energy = ran(RULE, {"A": (2,)}, job("a", 0, A=(60.0, 0.1)), *late)
    assert [start for _, start, _ in starts[1:]] == [2 * HOUR_S + 600] * 2
    assert energy.wakes == 1


def test_a_job_that_is_preempted_while_its_node_wakes_has_not_run():
    long, short = job("a", 2 * HOUR_S, checkpoint_s=0.0, A=(HOUR_S, 1.0)), job("b", 2 * HOUR_S + 60, A=(60.0, 0.1))
    run = simulate([job("0", 0, A=(60.0, 0.1)), long, short], {"A": 1}, srpt(), sleep=RULE)
    pieces = [(p.job_id, p.start_s, p.end_s, round(p.energy_kwh, 9)) for p in run.placements]
    assert pieces[1:] == [
        ("a", 2 * HOUR_S + 60, 2 * HOUR_S + 60, 0.0),
        ("b", 2 * HOUR_S + 600, 2 * HOUR_S + 660, 0.1),
        ("a", 2 * HOUR_S + 660, 3 * HOUR_S + 660, 1.0),
    ]


@given(worlds(), st.sampled_from([0.0, 1.0, 5.0, inf]), st.sampled_from([0.0, 1.0, 7.0]))
def test_in_every_world_sleep_costs_at_most_the_wakes_and_only_idle_energy(world, after_s, wake_s):
    inventory, jobs = world
    idle_w = dict.fromkeys(inventory, 1000.0)
    plain, awake = simulate(jobs, inventory, sjf()), simulate(jobs, inventory, sjf(), sleep=SleepRule())
    assert awake.placements == plain.placements
    if not plain.placements:
        return
    watched = score(awake, idle_power_w=idle_w)
    assert watched.cluster_energy_kwh == pytest.approx(score(plain, idle_power_w=idle_w).cluster_energy_kwh)
    run = simulate(jobs, inventory, sjf(), sleep=SleepRule(after_s=after_s, wake_s=wake_s))
    energy = run.sleeping.energy(0.0, max(p.end_s for p in run.placements), idle_w)
    assert {p.job_id for p in run.placements} == {p.job_id for p in plain.placements}
    assert energy.idle_boards_kwh >= -1e-9
    assert 0 <= energy.asleep_share <= 1
    if after_s == inf or wake_s == 0:
        assert [p.start_s for p in run.placements] == [p.start_s for p in plain.placements]
        assert energy.idle_boards_kwh <= watched.cluster_energy_kwh - watched.energy_kwh + 1e-9


@pytest.mark.parametrize("wrong", [{"after_s": -1.0}, {"wake_s": inf}, {"host_w": float("nan")}, {"warm": -1}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be >= 0 and finite"):
        SleepRule(**wrong)


def test_the_compiled_engine_says_that_it_does_not_cover_sleep():
    with pytest.raises(InputError, match="nodes that sleep"):
        simulate([job("a", A=(1.0, 1.0))], {"A": 1}, sjf(), engine="compiled", sleep=RULE)
