"""What the energy of a run comes to by signals: timelines worked out by hand."""

import json

import pytest

from kilowait.cli.main import main
from kilowait.core.over_time.signals import Signal
from kilowait.policies.sjf import sjf
from kilowait.simulate.loop import simulate
from kilowait.simulate.scores import score
from kilowait.simulate.signal_totals import signal_totals
from kilowait.simulate.sleeping import SleepRule
from tests.support.timelines import job

HOUR_S, IDLE_W = 3600.0, {"A": 100.0}
CARBON = Signal(name="carbon", times_s=(0.0, HOUR_S), values=(500.0, 100.0), ends_s=24 * HOUR_S)


def total(jobs, signal=CARBON, gpus=2, **more):
    run = simulate(jobs, {"A": gpus}, sjf(), **more)
    return signal_totals(run, [signal], IDLE_W)["carbon"], run


def test_every_hour_counts_with_its_own_carbon():
    found, _ = total([job("a", 0, A=(2 * HOUR_S, 3.0)), job("b", HOUR_S, A=(HOUR_S, 1.0))])
    assert found.jobs == pytest.approx(3.0 * 0.3 + 1.0 * 0.1)  # kg: a has half of its energy in each hour
    assert found.idle_boards == pytest.approx(0.1 * 0.5)  # one board idles through the first hour
    assert (found.hosts, found.unit, found.provenance) == (0.0, "kg", "modelled")
    assert found.cluster == pytest.approx(1.0 + 0.05)


def test_hosts_and_sleep_count_by_the_hour():
    rule = SleepRule(after_s=HOUR_S, wake_s=0.0, host_w=400.0, asleep_w=10.0)
    jobs = [job("a", 0, A=(HOUR_S, 1.0)), job("b", 4 * HOUR_S, A=(HOUR_S, 1.0))]
    found, run = total(jobs, gpus=1, sleep=rule)
    assert found.jobs == pytest.approx(0.5 + 0.1)
    assert found.idle_boards == pytest.approx(0.1 * 0.1)  # the second hour; then it sleeps for two
    assert found.hosts == pytest.approx(0.4 * 0.5 + 0.4 * 0.1 + 2 * 0.01 * 0.1 + 0.4 * 0.1)
    flat = Signal(name="carbon", times_s=(0.0,), values=(250.0,), ends_s=24 * HOUR_S)
    energy = run.sleeping.energy(2.0, 5 * HOUR_S, IDLE_W)
    assert signal_totals(run, [flat], IDLE_W)["carbon"].cluster == pytest.approx(0.25 * energy.total_kwh)


def test_by_a_constant_signal_carbon_is_energy_times_it():
    jobs = [job(str(k), 700 * k, gpus=1 + k % 2, A=(1000 + 300 * k, 0.5)) for k in range(6)]
    flat = Signal(name="carbon", times_s=(0.0,), values=(250.0,), ends_s=24 * HOUR_S)
    found, run = total(jobs, flat)
    scores = score(run, idle_power_w=IDLE_W)
    assert found.jobs == pytest.approx(0.25 * scores.energy_kwh)
    assert found.cluster == pytest.approx(0.25 * scores.cluster_energy_kwh)


JOBS = "job_id,submit_s,gpus,A100_s,A100_kwh\na,0,1,7200,3\n"


@pytest.fixture
def words(tmp_path):
    (tmp_path / "jobs.csv").write_text(JOBS)
    hours = "\n".join(f"2022-01-01T{k:02}:00Z,{value}" for k, value in enumerate((500, 100, 100, 900)))
    (tmp_path / "grid.csv").write_text(f"datetime,gco2_per_kwh\n{hours}\n")
    jobs, grid = str(tmp_path / "jobs.csv"), tmp_path / "grid.csv"
    return ["simulate", "--jobs", jobs, "--gpus", "A100=1", "--policy", "simple", "--signal", f"carbon={grid}"]


def test_the_command_prints_carbon_beside_energy(words, capsys):
    assert main(words) == 0
    assert "cluster carbon  0.900 kg  (modelled: jobs 0.900, idle boards 0.000, hosts 0.000)" in (
        capsys.readouterr().out
    )
    assert main([*words, "--signals-from", "2022-01-01T02:00+01:00", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signals"]["carbon"]["cluster"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--signals-from", "2022-01-01T03:00Z"], "signal carbon: it is known from -10,800 s to 3,600 s of the clock"),
        (["--signals-from", "noon"], "must be a date and time"),
        (["--signal", "heat=x"], "must be NAME=FILE, NAME one of carbon, water, price, power_budget, quota"),
        (["--signal", "carbon=x"], "carbon is given twice"),
        (["--signal", "water=x,zoned=1"], "'zoned=1' is neither zone=NAME nor column=NAME"),
    ],
)
def test_the_command_names_the_fault(words, capsys, more, told):
    assert main([*words, *more]) != 0
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "start", "name"),
    [
        (["--flexible", "3h"], "3600.0", "flexible(simple,3h)"),
        (["--flexible", "3h", "--forecast", "yesterday"], "0.0", "flexible(simple,3h)"),
        (["--policy", "flexible(sjf,30m)"], "1800.0", "flexible(sjf,30m)"),
    ],
)
def test_flexible_jobs_wait_for_cheaper_hours(words, capsys, tmp_path, more, start, name):
    assert main([*words, "--placements", str(tmp_path / "out.csv"), "--json", *more]) == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == f"a,{start},A100"
    assert json.loads(capsys.readouterr().out)["policy"] == name


def test_a_forecast_may_be_wrong(words, capsys, tmp_path):
    rows = "".join(f"2022-01-01T{k:02}:00Z,{value}\n" for k, value in enumerate((500, 900, 50, 50, 900)))
    (tmp_path / "seen.csv").write_text("datetime,co2\n" + rows)
    forecast = ["--flexible", "2h", "--forecast", f"carbon={tmp_path / 'seen.csv'}"]
    assert main([*words, *forecast, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signals"]["carbon"]["jobs"] == pytest.approx(3 * 0.5)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--forecast", "tomorrow"], "--forecast tomorrow: must be perfect or yesterday, alone, or NAME=FILE"),
        (["--forecast", "perfect", "--forecast", "yesterday"], "alone, or NAME=FILE"),
        (["--flexible", "soon"], "'soon' is not a time; write 4h, 90m, 30s, 2d or a number of seconds"),
    ],
)
def test_what_is_foreseen_wrongly_is_refused(words, capsys, more, told):
    assert main([*words, *more]) != 0
    assert told in capsys.readouterr().err


def test_flexible_jobs_need_a_signal(words, capsys):
    assert main([*words[:-2], "--flexible", "3h"]) != 0
    assert "--flexible needs a --signal: by what should an hour be cheaper?" in capsys.readouterr().err
