"""A price list in a simulation: by it a policy weighs energy, what it costs is told, and only its proportions count."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.cli.main import main
from kilowait.core.over_time.price_list import PriceList
from kilowait.core.over_time.signals import Signal
from kilowait.simulate.simulation import simulate
from tests.support.random_worlds import worlds
from tests.support.timelines import job

PRICES = PriceList(usd_per_kwh=0.25, usd_per_kg_co2=0.1, usd_per_l=0.02, usd_per_h_waiting=0.3, usd_per_h_running=1.5)
CARBON = Signal(name="carbon", times_s=(0.0,), values=(500.0,), ends_s=1e7)


def placed(submissions, gpus, policy, **more):
    return [(p.job_id, p.gpu_type, p.start_s) for p in simulate(submissions, gpus, policy, **more).placements]


@settings(max_examples=15, deadline=None)
@given(worlds(), st.floats(1e-3, 1e3), st.sampled_from(["patient", "value"]))
def test_scaling_all_prices_changes_no_placement(world, factor, policy):
    inventory, submissions = world
    names = ("usd_per_kwh", "usd_per_kg_co2", "usd_per_l", "usd_per_h_waiting", "usd_per_h_running")
    scaled = replace(PRICES, **{name: factor * getattr(PRICES, name) for name in names})
    before, after = (
        placed(submissions, inventory, policy, prices=p, signals={"carbon": CARBON}) for p in (PRICES, scaled)
    )
    assert before == after


def test_the_weights_of_policies_are_special_cases():
    jobs = [job("a", 0, A=(7200, 3.0), B=(7200, 2.0)), job("b", 0, A=(7200, 3.0), B=(7200, 2.0))]
    found = simulate(jobs, {"A": 1, "B": 1}, "patient", prices=PRICES, signals={"carbon": CARBON})
    assert found.parameters["wait_s_per_kwh"] == pytest.approx(0.3 / 0.3 * 3600)  # 0.25 + 0.5 kg at 0.1
    found = simulate(jobs, {"A": 1, "B": 1}, "patient", prices=PRICES, wait_s_per_kwh=5.0)
    assert found.parameters["wait_s_per_kwh"] == 5.0
    found = simulate(jobs, {"A": 1, "B": 1}, "value", prices=PRICES)
    assert found.parameters["kappa"] == pytest.approx(0.25 / (1.5 / 3600 * 7200**2))


def test_a_run_is_priced():
    jobs = [job("a", 0, A=(7200, 3.0)), job("b", 0, A=(7200, 3.0))]
    bill = simulate(jobs, {"A": 1}, "sjf", prices=PRICES, signals={"carbon": CARBON}).bill
    assert (bill.energy, bill.carbon, bill.water) == (pytest.approx(6 * 0.25), pytest.approx(6 * 0.5 * 0.1), 0.0)
    assert (bill.waiting, bill.running) == (pytest.approx(2 * 0.3), pytest.approx(4 * 1.5))
    assert bill.total == pytest.approx(1.5 + 0.3 + 0.6 + 6)


def test_the_command_takes_the_list(tmp_path, capsys):
    (tmp_path / "jobs.csv").write_text("job_id,submit_s,gpus,A100_s,A100_kwh\na,0,1,7200,3\n")
    (tmp_path / "prices.toml").write_text("usd_per_kwh = 0.25\nusd_per_h_waiting = 0.6\n")
    words = ["simulate", "--jobs", str(tmp_path / "jobs.csv"), "--gpus", "A100=1", "--policy", "patient"]
    assert main([*words, "--prices", str(tmp_path / "prices.toml"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parameters"]["wait_s_per_kwh"] == 1500
    assert told["cost_usd"]["energy"] == told["cost_usd"]["total"] == 0.75
