"""A power budget: never passed at any instant, jobs in line for watts as for GPUs, what cannot ever run refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import Job, PowerLimit, Prediction
from kilowait.policies import POLICIES
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from kilowait.simulate.within_power.power_budget import PowerBudget

IDLE_W = {name: GPU_TYPES[name].assumed_idle_w for name in ("A100", "A6000")}
HOUR_S = 3600.0


def at_watts(watts, gpus=1, runtime_s=HOUR_S, curve=True):
    """An hour at these watts a board; 100 W less take a fifth longer and draw what they may."""
    kwh = watts * gpus * runtime_s / 3.6e6
    lower = watts - 100
    limits = (
        PowerLimit(limit_w=400, runtime_s=runtime_s, energy_kwh=kwh),
        PowerLimit(limit_w=lower, runtime_s=1.2 * runtime_s, energy_kwh=lower * gpus * 1.2 * runtime_s / 3.6e6),
    )
    return Prediction(runtime_s=runtime_s, energy_kwh=kwh, limits=limits if curve and lower > 100 else ())


def run(jobs, budget_w, inventory, policy="simple"):
    rule = POLICIES[policy]
    return simulate(jobs, inventory, rule(**rule.settled({})), budget=PowerBudget(watts=budget_w))


def most_watts(found, inventory):
    """The highest draw of all boards at any instant: running ones by their energy and time, the others idle."""
    most = 0.0
    for now in {p.start_s for p in found.placements}:
        free, watts = dict(inventory), 0.0
        for p in found.placements:
            if p.start_s <= now < p.end_s:
                free[p.gpu_type] -= p.gpus
                watts += p.energy_kwh * 3.6e6 / p.runtime_s
        most = max(most, watts + sum(IDLE_W[name] * count for name, count in free.items()))
    return most


def job(job_id, seen, truth=None, gpus=1, submit_s=0.0, **of_job):
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, gpus=gpus, **of_job), truth=truth or seen, seen=seen)


def test_a_job_gets_hardly_more_than_it_draws_and_the_next_what_is_left():
    jobs = [job(str(k), {"A100": at_watts(300)}, submit_s=min(k, 1)) for k in range(3)]
    first, second, third = run(jobs, 330 + 210 + IDLE_W["A100"], {"A100": 3}).placements
    assert (first.limit_w, first.start_s) == (330, 0)  # 300 W and a tenth
    assert (second.limit_w, second.start_s, second.runtime_s) == (200, 1, pytest.approx(1.2 * HOUR_S))
    assert third.start_s == first.end_s  # no room for a third one's 200 W


def test_while_others_wait_a_job_leaves_them_the_watts_that_speed_them_up_more():
    """Both at 200 W are done after 1.2 h; one at 330 W and the other behind it after 2 h."""
    jobs = [job(str(k), {"A100": at_watts(300)}) for k in range(2)]
    assert [(p.limit_w, p.start_s) for p in run(jobs, 400, {"A100": 2}).placements] == [(200, 0), (200, 0)]


def test_watts_go_where_they_speed_a_job_up_most():
    """100 W less slow the one down by a fifth and the other tenfold; there is room for one at its full draw."""
    hurt = Prediction(
        runtime_s=HOUR_S,
        energy_kwh=0.3,
        limits=(
            PowerLimit(limit_w=400, runtime_s=HOUR_S, energy_kwh=0.3),
            PowerLimit(limit_w=200, runtime_s=10 * HOUR_S, energy_kwh=2.0),
        ),
    )
    jobs = [job("a", {"A100": at_watts(300)}), job("b", {"A100": hurt})]
    found = {p.job_id: (p.limit_w, p.start_s) for p in run(jobs, 530, {"A100": 2}).placements}
    assert found == {"a": (200, 0), "b": (330, 0)}


def test_a_job_that_draws_more_than_it_was_given_is_slowed():
    (placement,) = run(
        [job("a", {"A100": at_watts(200, curve=False)}, {"A100": at_watts(330, curve=False)})], 1000, {"A100": 1}
    ).placements
    assert placement.limit_w == 220
    assert placement.runtime_s == pytest.approx(HOUR_S * 330 / 220)


def test_a_type_that_could_never_be_powered_is_not_used():
    both = {"A100": at_watts(380, gpus=4), "A6000": at_watts(150, gpus=4, runtime_s=2 * HOUR_S)}
    inventory = {"A100": 4, "A6000": 4}
    (placement,) = run([job("a", both, gpus=4)], 1100, inventory).placements
    assert placement.gpu_type == "A6000"
    refused = run([job("a", {"A100": both["A100"]}, gpus=4)], 1100, inventory).refused
    assert refused["a"] == (
        "job a: can never run here: the power budget of 1,100 W leaves less than its 4 boards of A100 need at the "
        "lowest limit, 280 W each; raise the budget"
    )


def test_a_board_counts_with_no_more_than_its_own_limit():
    """That of a T4 is below the lowest limit that larger boards take."""
    (placement,) = run([job("a", {"T4": at_watts(60, curve=False)})], 85, {"T4": 1}).placements
    assert (placement.limit_w, placement.runtime_s) == (GPU_TYPES["T4"].peak_w, HOUR_S)


@pytest.mark.parametrize(
    ("budget_w", "of_job", "said"),
    [(50, {}, "above the 60 W of idle boards"), (500, {"gpu_milli": 500}, "whole boards, not shares")],
)
def test_a_budget_that_cannot_be_kept_is_refused(budget_w, of_job, said):
    inventory = {"A100": 1} if IDLE_W["A100"] >= 55 else {"A100": 2}
    with pytest.raises(InputError, match=said if "idle" not in said else "W of idle boards"):
        run([job("a", {"A100": at_watts(300)}, **of_job)], budget_w, inventory)


jobs_of = st.lists(
    st.tuples(
        st.integers(60, 390),
        st.floats(0.5, 2.0),
        st.integers(1, 3),
        st.floats(60, 9000),
        st.floats(0, 5000),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=20, deadline=None)
@given(drawn=jobs_of, share=st.floats(0.05, 1.0), policy=st.sampled_from(["simple", "value", "easy"]))
def test_the_budget_is_never_passed_whatever_jobs_really_draw(drawn, share, policy):
    inventory = {"A100": 3, "A6000": 3}
    idle_w = sum(IDLE_W[name] * count for name, count in inventory.items())
    budget_w = idle_w + share * 3 * (400 + 300)
    jobs = []
    for k, (watts, wrong, gpus, runtime_s, submit_s, curve) in enumerate(drawn):
        seen = {name: at_watts(watts * part, gpus, runtime_s, curve) for name, part in (("A100", 1.0), ("A6000", 0.7))}
        true = {
            name: at_watts(watts * part * wrong, gpus, runtime_s, curve)
            for name, part in (("A100", 1.0), ("A6000", 0.7))
        }
        jobs.append(job(str(k), seen, true, gpus, submit_s))
    found = run(jobs, budget_w, inventory, policy)
    assert most_watts(found, inventory) <= budget_w * (1 + 1e-9)
    assert len(found.placements) + len(found.refused) == len(jobs)
