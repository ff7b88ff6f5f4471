"""The compiled plans decide as the Python ones do, and a budget counts work, not time."""

import pytest
from hypothesis import given, settings

from benchmarks.jobs import Setting, submissions
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.policies.anticipatory import anticipatory
from kilowait.policies.conservative import conservative
from kilowait.policies.patient import patient
from kilowait.policies.planning import compiled_plans
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from tests.support.examples import examples
from tests.support.random_worlds import worlds

LONG = Setting(jobs=250, types=5, gpus=4, burst_jobs=120, load=1.2, seed=1)
WIDE = Setting(jobs=250, types=1, gpus=3, burst_jobs=80, sizes=(1, 2, 3), seed=2)


def placements(monkeypatch, jobs, inventory, make, from_options):
    """What a policy does where compiling pays from so many priced options on."""
    monkeypatch.setattr(compiled_plans, "LOADING_OPTIONS", from_options)
    monkeypatch.setattr(compiled_plans, "_priced_options", 0)
    return simulate(jobs, inventory, make(), engine="python").placements


MAKERS = [patient, lambda: patient(error_sd=0.3, effort=300, horizon=20), lambda: patient(congestion=0), conservative]
NAMES = ["patient", "errors", "no congestion", "conservative"]


@pytest.mark.parametrize("make", MAKERS, ids=NAMES)
@pytest.mark.parametrize("setting", [LONG, WIDE], ids=["five types", "gangs"])
def test_on_long_queues_both_decide_alike(monkeypatch, make, setting):
    jobs = submissions(setting)
    python, compiled = (placements(monkeypatch, jobs, setting.inventory, make, n) for n in (10**12, 0))
    assert compiled == python


@settings(max_examples=examples(60))
@given(worlds())
def test_where_ties_and_overruns_abound_both_decide_alike(world):
    inventory, jobs = world
    with pytest.MonkeyPatch.context() as patched:
        for make in (patient, conservative):
            python, compiled = (placements(patched, jobs, inventory, make, n) for n in (10**12, 0))
            assert compiled == python


def test_shares_and_jobs_of_one_node_are_planned_alike(monkeypatch):
    truth = {t: Prediction(runtime_s=s, energy_kwh=e) for t, s, e in (("A", 5, 1), ("B", 7, 0.5))}
    jobs = [
        Submission(
            job=Job(job_id=f"{i:02}", submit_s=i // 4, gpus=g, gpu_milli=m, one_node=True), truth=truth, seen=truth
        )
        for i, (g, m) in enumerate([(1, 300), (2, 1000), (1, 600), (3, 1000), (1, 1000)] * 6)
    ]
    runs = []
    for pays_from in (10**12, 0):
        monkeypatch.setattr(compiled_plans, "LOADING_OPTIONS", pays_from)
        monkeypatch.setattr(compiled_plans, "_priced_options", 0)
        runs.append(simulate(jobs, {"A": 4, "B": 4}, patient(), nodes={"A": (2, 2), "B": (4,)}).placements)
    assert runs[0] == runs[1]


def test_what_was_reserved_within_the_budget_counts_and_the_others_wait(caplog):
    """Two of the three jobs on one type are planned at 0 s; the third is first planned when the small one ends."""
    seconds = {"first": 9, "small": 2, "third": 1}
    jobs = [
        Submission(job=Job(job_id=name, submit_s=0), truth=(t := {"A": Prediction(runtime_s=s, energy_kwh=1)}), seen=t)
        for name, s in seconds.items()
    ]
    assert {p.job_id: p.start_s for p in simulate(jobs, {"A": 3}, conservative(budget=2)).placements} == {
        "first": 0,
        "small": 0,
        "third": 2,
    }
    assert "2 of 3 waiting jobs are planned: the budget is 2" in caplog.text
    assert all(p.start_s == 0 for p in simulate(jobs, {"A": 3}, conservative(budget=3)).placements)


def test_a_budget_decides_alike_each_time_and_with_two_types_it_changes_nothing():
    setting = Setting(jobs=40, types=2, gpus=4, burst_jobs=20)
    jobs = submissions(setting)
    whole, again, narrow = (
        simulate(jobs, setting.inventory, anticipatory(budget=budget)).placements for budget in (10**9, 500_000, 1)
    )
    assert whole == again
    assert narrow == simulate(jobs, setting.inventory, anticipatory(budget=1)).placements


@pytest.mark.parametrize("make", [conservative, anticipatory])
def test_a_budget_of_nothing_is_refused(make):
    with pytest.raises(InputError, match="budget must be >= 1, got 0"):
        make(budget=0)
