"""Wrappers around policies: bounds that hold whatever comes, shares that follow use, limits, and names."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.jobs import Setting, submissions
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.core.over_time.time_text import seconds
from kilowait.policies import POLICIES
from kilowait.policies.easy import easy
from kilowait.policies.parameters import user_groups
from kilowait.policies.patient import patient
from kilowait.policies.simple import simple
from kilowait.policies.sjf import sjf
from kilowait.policies.steering.steered import PRICES_S, price_in_force
from kilowait.policies.value import value
from kilowait.policies.wrappers.aged import aged
from kilowait.policies.wrappers.limited import Limit, limited
from kilowait.policies.wrappers.shared import shared
from kilowait.policies.wrappers.urgent import urgent
from kilowait.policies.wrappers.wrapper import split_names
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from tests.support.examples import examples
from tests.support.random_worlds import worlds

INNER = {"patient": patient, "easy": easy, "sjf": sjf, "value": lambda: value(kappa=1e-3), "simple": simple}


def job(job_id, submit_s, runtime_s, gpus=1, user=None, types=("A",), kwh=1.0):
    truth = {t: Prediction(runtime_s=runtime_s, energy_kwh=kwh) for t in types}
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, gpus=gpus, user=user), truth=truth, seen=truth)


def starts(jobs, inventory, policy):
    return {p.job_id: p.start_s for p in simulate(jobs, inventory, policy).placements}


@pytest.mark.parametrize("name", ["patient", "sjf", "value"])
def test_a_gang_of_the_whole_cluster_starts_within_the_limit_and_the_work_ahead(name):
    """Small jobs of 10 s fill four GPUs for ever; the gang comes at 1 s, ages at 101 s, and the last end by 111 s."""
    stream = [job(f"s{n:03}", n * 2.5, 10) for n in range(400)]
    gang = job("gang", 1.0, 20, gpus=4)
    alone = starts([*stream, gang], {"A": 4}, INNER[name]())["gang"]
    within = starts([*stream, gang], {"A": 4}, aged(INNER[name](), 100))["gang"]
    assert alone > 900
    assert within <= 1 + 100 + 10


@settings(max_examples=examples(150))
@given(worlds(), st.sampled_from(sorted(INNER)), st.integers(0, 6))
def test_no_job_waits_beyond_the_limit_and_the_work_ahead_whatever_is_predicted(world, name, limit_s):
    inventory, jobs = world
    run = simulate(jobs, inventory, aged(INNER[name](), limit_s))
    placed = {p.job_id: p for p in run.placements}
    longest_s = max((p.runtime_s for p in run.placements), default=0)
    for p in run.placements:
        aged_s = p.submit_s + limit_s
        ahead = sum((o.submit_s, o.job_id) < (p.submit_s, p.job_id) and o.start_s >= aged_s for o in placed.values())
        assert p.start_s - p.submit_s <= limit_s + (ahead + 1) * longest_s


@settings(max_examples=examples(60))
@given(worlds(), st.sampled_from(sorted(INNER)))
def test_before_anybody_has_aged_a_policy_decides_as_it_would(world, name):
    inventory, jobs = world
    assert simulate(jobs, inventory, aged(INNER[name](), 1e9)).placements == (
        simulate(jobs, inventory, INNER[name]()).placements
    )


@pytest.mark.parametrize("name", sorted(INNER))
def test_a_user_with_many_jobs_does_not_flood_the_others(name):
    """One user has 300 jobs of 10 s at 0 s on two GPUs; the other submits one of 12 s every 100 s."""
    flood = [job(f"f{n:03}", 0, 10, user="flood") for n in range(300)]
    few = [job(f"g{n}", 5 + 100 * n, 12, user="few") for n in range(5)]
    plain, fair_share = (starts([*flood, *few], {"A": 2}, p) for p in (INNER[name](), shared(INNER[name]())))
    waits_s = [fair_share[s.job.job_id] - s.job.submit_s for s in few]
    assert max(waits_s) <= 10  # until a GPU is free
    assert sum(waits_s) < sum(plain[s.job.job_id] - s.job.submit_s for s in few) / 3


def test_weights_and_use_decide_whose_turn_it_is():
    """Two users with long queues on one GPU: `ada` has twice the weight, and so twice the GPU-seconds."""
    jobs = [job(f"{user}{n:03}", 0, 10, user=user) for user in ("ada", "bob") for n in range(90)]
    run = simulate(jobs, {"A": 1}, shared(simple(), weights={"ada": 2.0}))
    first = [p.job_id[:3] for p in run.placements[:60]]
    assert 36 <= first.count("ada") <= 44


def test_with_slack_shares_differ_by_that_factor_and_no_more():
    """`ada` comes first by name, so that a policy in the order of submission prefers her as far as it may."""
    jobs = [job(f"{user}{n:03}", 0, 10, user=user) for user in ("ada", "bob") for n in range(90)]
    had = {
        slack: sum(
            p.job_id[:3] == "ada" for p in simulate(jobs, {"A": 1}, shared(simple(), slack=slack)).placements[:60]
        )
        for slack in (1.0, 2.0, 3.0)
    }
    assert 29 <= had[1.0] <= 31
    assert 39 <= had[2.0] <= 41
    assert 44 <= had[3.0] <= 46
    assert POLICIES["shared(simple,gpu,2)"].name == "shared(simple,gpu,2)"
    by_name = simulate(jobs, {"A": 1}, POLICIES["shared(simple,gpu,2)"]()).placements
    assert by_name == simulate(jobs, {"A": 1}, shared(simple(), slack=2.0)).placements


def test_energy_counts_where_it_is_asked_for():
    """Both ask for as many GPU-seconds, but the jobs of `hot` use four times the energy."""
    jobs = [job(f"{u}{n:03}", 0, 10, user=u, kwh=k) for u, k in (("hot", 4.0), ("cool", 1.0)) for n in range(90)]
    by_gpu, by_energy = (
        [p.job_id[0] for p in simulate(jobs, {"A": 1}, shared(simple(), resource)).placements[:60]]
        for resource in ("gpu", "energy")
    )
    assert 26 <= by_gpu.count("h") <= 38
    assert by_energy.count("h") <= 24


@settings(max_examples=examples(60))
@given(worlds(), st.sampled_from(sorted(INNER)))
def test_every_job_runs_under_wrappers_within_wrappers(world, name):
    inventory, jobs = world
    plain = simulate(jobs, inventory, INNER[name]())
    run = simulate(jobs, inventory, shared(limited(aged(INNER[name](), 3), 2)))
    assert sorted(p.job_id for p in run.placements) == sorted(p.job_id for p in plain.placements)
    assert run.placements == simulate(jobs, inventory, shared(limited(aged(INNER[name](), 3), 2))).placements


@settings(max_examples=examples(60))
@given(worlds(), st.sampled_from(sorted(INNER)))
def test_no_user_holds_more_than_the_limit_but_for_a_job_that_alone_exceeds_it(world, name):
    inventory, jobs = world
    run = simulate(jobs, inventory, limited(INNER[name](), 2))
    user_of = {s.job.job_id: s.job.user for s in jobs}
    for p in run.placements:
        mine = [o for o in run.placements if user_of[o.job_id] == user_of[p.job_id] is not None]
        held = sum(o.gpus for o in mine if o.start_s <= p.start_s < o.end_s)
        assert held <= max(2, p.gpus) or p.gpus > 2 or user_of[p.job_id] is None or _one_is_wide(mine, p)


def _one_is_wide(mine, at):
    return any(o.gpus > 2 and o.start_s <= at.start_s < o.end_s for o in mine)


def test_of_a_users_waiting_jobs_only_the_first_so_many_are_seen():
    """One GPU; shortest job first would start the short one of 1 s at 10 s, but the long one came first."""
    jobs = [job("a", 0.0, 10, user="u"), job("long", 1.0, 20, user="u"), job("short", 2.0, 1, user="u")]
    assert starts(jobs, {"A": 1}, sjf()) == {"a": 0.0, "short": 10.0, "long": 11.0}
    assert starts(jobs, {"A": 1}, limited(sjf(), Limit.of("1jobs"))) == {"a": 0.0, "long": 10.0, "short": 30.0}


def test_a_months_energy_is_bounded_and_forgotten_thirty_days_after_its_end():
    """Each job uses 1 kWh; two fit into 2 kWh and end at 10 s, so the third of ada waits 30 days beside idle GPUs."""
    jobs = [job(f"ada{n}", 0.0, 10, user="ada") for n in range(3)] + [job("bob", 5.0, 10, user="bob")]
    found = starts(jobs, {"A": 4}, limited(sjf(), Limit.of("2kWh")))
    assert found == {"ada0": 0.0, "ada1": 0.0, "ada2": 10.0 + 30 * 86_400, "bob": 5.0}


def test_a_group_shares_one_limit():
    jobs = [job(name, 0.0, 10, user=name) for name in ("ada", "bob", "cid", "eve")]
    policy = POLICIES["limited(sjf,2gpus/group)"](groups=user_groups("ada=vision,bob=vision,cid=vision"))
    assert starts(jobs, {"A": 4}, policy) == {"ada": 0.0, "bob": 0.0, "cid": 10.0, "eve": 0.0}


def test_waits_that_a_limit_causes_do_not_steer_the_price():
    """One GPU of four may be used, so that five jobs wait; so they would under a limited value, whatever the price: the
    highest is found, with six jobs' weight beside ten of 1,000 s."""
    jobs = [job(f"{n}", 10.0 * n, 100, user="u") for n in range(6)]
    policy = POLICIES["steered(limited(patient,1))"]()
    assert sorted(starts(jobs, {"A": 4}, policy).values()) == [100.0 * n for n in range(6)]
    assert price_in_force(policy) == pytest.approx((1000.0**10 * PRICES_S[-1] ** 6) ** (1 / 16))


@pytest.mark.parametrize("name", sorted(INNER))
def test_urgent_jobs_go_first_where_they_fit(name):
    """One GPU is free at 10 s: the short jobs wait for the urgent long one, whatever the policy prefers."""
    jobs = [job("first", 0, 10), *(job(f"short{n}", 1, 2) for n in range(3)), job("last", 2, 9)]
    jobs[-1] = Submission(job=replace(jobs[-1].job, priority=5), truth=jobs[-1].truth, seen=jobs[-1].seen)
    assert starts(jobs, {"A": 1}, urgent(INNER[name]()))["last"] == 10
    alike = [job(f"j{n}", n, 5 - n) for n in range(4)]
    assert starts(alike, {"A": 1}, urgent(INNER[name]())) == starts(alike, {"A": 1}, INNER[name]())


def test_a_name_composes_wrappers_and_policies_with_their_options():
    rule = POLICIES["shared(aged(patient,4h),energy)"]
    assert rule.name == "shared(aged(patient,4h),energy)"
    assert "weights" in rule.takes
    assert "wait_s_per_kwh" in rule.takes
    assert rule.needs == {"users"}
    jobs = [job("a", 0, 10, user="u"), job("b", 0, 5, user="v")]
    assert starts(jobs, {"A": 1}, rule(wait_s_per_kwh=0.0, weights={"u": 2.0})) == {
        "a": 0,
        "b": 10,
    }  # equal use: the earlier
    assert "aged(value)" in POLICIES
    assert POLICIES["aged(value)"].criterion is POLICIES["value"].criterion


def test_a_price_steers_itself_around_all_wrappers():
    """Where nobody ages and all jobs are one user's, wrappers change nothing, so that the shadows see the same."""
    setting = Setting(jobs=80, types=2, gpus=3, burst_jobs=40)
    jobs = submissions(setting)
    plain = POLICIES["patient"](max_extra_wait=0.0)
    for wrapped in (
        POLICIES["shared(aged(patient,1000d))"](max_extra_wait=0.0),
        POLICIES["steered(shared(aged(patient,1000d)))"](),
    ):
        assert starts(jobs, setting.inventory, wrapped) == starts(jobs, setting.inventory, plain)
    assert starts(jobs, setting.inventory, plain) != starts(jobs, setting.inventory, patient())


def test_a_wrapper_around_a_steered_price_leaves_it_the_whole_queue():
    setting = Setting(jobs=60, types=2, gpus=3, burst_jobs=30)
    jobs = [replace(s, job=replace(s.job, user="uv"[n % 2])) for n, s in enumerate(submissions(setting))]
    assert starts(jobs, setting.inventory, POLICIES["shared(steered(patient,10%))"]()) == (
        starts(jobs, setting.inventory, POLICIES["steered(shared(patient),10%)"]())
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "older(patient)",
            "'older' wraps no policy; aged, defragmenting, flexible, important, limited, preempting, provisioned, "
            "steered, shared, urgent do",
        ),
        ("aged(nobody)", "unknown policy 'nobody'"),
        ("steered(patient,0%,5%)", "too many or too few words"),
        ("steered(value)", "value has no price to steer; write steered\\(patient,P%\\)"),
        ("aged(patient", "a bracket is not closed"),
        ("aged(patient,soon)", "'soon' is not a time"),
        ("aged(patient,1h,2h)", "too many or too few words"),
        ("flexible(aged(provisioned(sjf,0.2),1h),4h)", "write provisioned\\(flexible\\(POLICY,TIME"),
        ("limited(patient)", "write limited\\(patient,GPUS"),
        ("limited(patient,few)", "'few' is not a number of GPUs"),
    ],
)
def test_a_name_that_makes_no_sense_is_refused_with_the_remedy(name, message):
    with pytest.raises(InputError, match=message):
        POLICIES[name]


@pytest.mark.parametrize(("make", "message"), [
    (lambda: aged(simple(), -1.0), "limit_s must be finite and >= 0"),
    (lambda: limited(simple(), 0), "must be >= 1"),
    (lambda: shared(simple(), "water"), "gpu or energy, got 'water'"),
    (lambda: shared(simple(), weights={"u": 0.0}), "user u: must be > 0"),
    (lambda: shared(simple(), slack=0.5), "slack of fair share must be finite and >= 1, got 0.5"),
])  # fmt: skip
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_times_and_names_are_read():
    assert [seconds(text) for text in ("4h", "90m", "30s", "2d", "7.5")] == [14_400, 5_400, 30, 172_800, 7.5]
    assert split_names("simple, shared(aged(patient,4h),gpu),value") == [
        "simple",
        "shared(aged(patient,4h),gpu)",
        "value",
    ]
    with pytest.raises(InputError, match="brackets do not match"):
        split_names("aged(value")
