"""Predictions side by side, and what they cost."""

import json

import pytest

from kilowait.cli import main
from kilowait.cli.compare import as_text, compare
from kilowait.cli.costs import cost_lines, cost_of
from kilowait.cli.gpu_prices import GpuPrice, GpuPrices
from kilowait.core.jobs import Prediction

GIB = 2**30
PRICES = GpuPrices(by_type={"A100": GpuPrice(per_hour=2.0), "T4": GpuPrice(per_hour=0.5)})


def entry(file, **types):
    """Run time with its ends in seconds, joules, GiB; by type."""
    return {"file": file, "devices": {name: numbers(*of) for name, of in types.items()}}


def numbers(runtime_s, low_s, high_s, energy_j, gib):
    need = {"memory_need": {"expected_bytes": gib * GIB}} if gib else {}
    return {"runtime_s": runtime_s, "runtime_low_s": low_s, "runtime_high_s": high_s, "energy_j": energy_j, **need}


FIRST = entry("a.py", A100=(100.0, 80.0, 120.0, 3.6e6, 8), T4=(400.0, 300.0, 500.0, 7.2e6, 8))
SECOND = entry("b.py", A100=(50.0, 40.0, 79.0, 1.8e6, 16), T4=(350.0, 250.0, 450.0, 7.2e6, None))


def test_ratios_are_to_the_first_and_overlap_is_of_the_run_times():
    a100, t4 = (compare([FIRST, SECOND])[name] for name in ("A100", "T4"))
    assert a100[0]["ratios"] == {"runtime_s": 1, "energy_kwh": 1, "memory_gib": 1}
    assert a100[1]["ratios"] == {"runtime_s": 0.5, "energy_kwh": 0.5, "memory_gib": 2}
    assert (a100[1]["overlap"], t4[1]["overlap"]) == (False, True)
    assert t4[1]["ratios"] == {"runtime_s": 0.875, "energy_kwh": 1}


def test_a_type_or_an_end_that_is_not_known_stays_unknown():
    found = compare([FIRST, entry("c.py", H100=(1.0, None, None, 1.0, None))])
    assert [row["ratios"] for row in found["A100"]] == [{"runtime_s": 1, "energy_kwh": 1, "memory_gib": 1}, {}]
    assert [row["overlap"] for row in found["H100"]] == [None, None]
    assert "c.py" in as_text({"devices": found})


def test_the_text_has_a_row_a_program_and_says_what_is_apart():
    blocks = as_text({"devices": compare([FIRST, SECOND])}).split("\n\n")
    rows = [line.split() for line in blocks[0].splitlines()]
    assert rows[0][:4] == ["A100", "s", "ratio", "kWh"]
    assert rows[2][:5] == ["b.py", "50", "0.5", "0.5", "0.5"]
    assert (rows[2][-1], blocks[1].split()[-1]) == ("apart", "overlap")


def test_one_program_is_nothing_to_compare(capsys):
    assert main.main(["compare", "a.py"]) == 2
    assert "two programs or more" in capsys.readouterr().err


def test_a_job_costs_its_gpus_for_its_time():
    prediction = Prediction(
        runtime_s=3600.0, runtime_low_s=1800.0, runtime_high_s=7200.0, energy_kwh=1.0, probe_version="v", features="f"
    )
    cost = cost_of(prediction, "A100", 4, PRICES)["cost"]
    assert cost == {"amount": 8.0, "low": 4.0, "high": 16.0, "currency": "USD", "price_per_hour": 2.0}
    assert cost_of(prediction, "H100", 4, PRICES) == {}


def test_types_are_ranked_by_what_the_job_costs_there():
    devices = {
        "A100": {"cost": {"amount": 8.0, "low": 4.0, "high": 16.0, "currency": "USD"}},
        "H100": {},
        "T4": {"cost": {"amount": 0.5, "low": None, "high": None, "currency": "USD"}},
    }
    assert cost_lines(devices) == ["  cost in USD, cheapest first: T4 0.5, A100 8 (4 to 16); no price for H100"]
    assert cost_lines({"H100": {}}) == []


@pytest.mark.parametrize(("prices", "cost"), [("A100 = 3\n", 1.5), ("H100 = 3\n", None)])
def test_a_simulation_says_what_all_jobs_cost_where_every_type_has_a_price(tmp_path, capsys, prices, cost):
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("job_id,submit_s,gpus,A100_s,A100_kwh\na,0,1,600,1\nb,0,2,600,1\n")  # 1800 GPU seconds
    (tmp_path / "prices.toml").write_text(prices)
    words = ["simulate", "--jobs", str(jobs), "--gpus", "A100=2", "--policy", "simple", "--json"]
    assert main.main([*words, "--gpu-prices", str(tmp_path / "prices.toml")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result.get("cost") == cost
    assert result.get("currency") == ("USD" if cost else None)
