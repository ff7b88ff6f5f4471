"""Deadlines in a simulation: counted, expected, priced, and kept by jobs that wait for cheaper hours."""

import json
from dataclasses import replace

import pytest

from kilowait.cli.by_the_hour.within_text import chance_of, within_lines
from kilowait.cli.main import main
from kilowait.core.jobs import Prediction
from kilowait.core.over_time.price_list import PriceList
from kilowait.simulate.simulation import simulate
from tests.support.hourly_signals import hourly
from tests.support.timelines import job

H = 3600.0
WIDE = Prediction(runtime_s=H, energy_kwh=1.0, runtime_low_s=0.8 * H, runtime_high_s=2 * H)
CARBON = hourly(500.0, *(500.0 - 20 * k for k in range(1, 24)))


def due(job_id, deadline_h, seen=None, **more):
    made = job(job_id, **more)
    return replace(made, job=replace(made.job, deadline_s=deadline_h * H), seen=seen or made.seen)


def test_what_was_missed_is_counted_beside_what_was_to_be_expected():
    jobs = [due("a", 1, {"A": WIDE}, A=(H, 1.0)), due("b", 1.5, {"A": WIDE}, A=(H, 1.0)), job("c", A=(H, 1.0))]
    found = simulate(jobs, {"A": 1}, "simple", prices=PriceList(usd_per_missed_deadline=7.0))
    assert (found.deadlines.jobs, found.deadlines.missed) == (2, 1)  # b runs from 1 h to 2 h
    assert found.deadlines.expected == pytest.approx(0.5 + 1.0, abs=1e-3)  # b has half an hour for it
    assert found.bill.missed_deadlines == found.bill.total == 7
    assert simulate([job("c", A=(H, 1.0))], {"A": 1}, "simple").deadlines is None
    assert simulate([due("a", 1, A=(H, 1.0))], {"A": 1}, "simple").deadlines.expected is None


@pytest.mark.parametrize(
    ("seen", "latest_h"),
    [
        ({"A": WIDE}, 12 - 2.666),  # 99% of such runs take 2.666 h at most
        (None, 12 - 1.5),  # a flat margin where nobody says how sure it is
    ],
)
def test_a_kept_job_starts_early_enough_for_its_deadline(seen, latest_h):
    (placement,) = simulate(
        [due("a", 12, seen, A=(H, 1.0))], {"A": 1}, "flexible(simple,24h)", signals={"carbon": CARBON}
    ).placements
    assert latest_h - 1 < placement.start_s / H <= latest_h + 1e-3


def test_the_command_reads_and_tells_deadlines(tmp_path, capsys):
    (tmp_path / "jobs.csv").write_text("job_id,submit_s,gpus,deadline_s,slack_s,A100_s,A100_kwh\na,0,1,3600,0,7200,3\n")
    assert (
        main(["simulate", "--jobs", str(tmp_path / "jobs.csv"), "--gpus", "A100=1", "--policy", "sjf", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["deadlines"] == {"jobs": 1, "missed": 1, "expected": None}


def test_predict_says_how_likely_it_is_done_in_time():
    devices = {"A40": chance_of(Prediction(runtime_s=H, energy_kwh=0.0), 2 * H), "A100": chance_of(WIDE, 2 * H)}
    assert within_lines(devices) == ["  chance to be done within 2 h, started now: A100 95%, A40 unknown"]
    assert within_lines({"A100": chance_of(WIDE, None)}) == []
