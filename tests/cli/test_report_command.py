"""`kilowait report`: sums that one can check in one's head, from a file and a database."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest

from kilowait.cli.main import main
from kilowait.core.jobs import Measurement, Prediction, Provenance
from kilowait.core.submission import Ending
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.live_world import request

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
HOUR, KWH, GIB = 3600.0, 3.6e6, 2**30


def row(job_id, hours=(0, 2), *, gpus=1, gpu_type="A100", labels=None, **more):
    """An attempt that held its GPUs from hour to hour of November and was predicted to draw 300 W for an hour."""
    start_s, end_s = (NOVEMBER + hour * HOUR for hour in hours)
    return {
        "job_id": job_id,
        "attempt": 1,
        "owner": "ada",
        "labels": json.dumps(labels or {}),
        "gpu_type": gpu_type,
        "gpus": gpus,
        "placed_s": start_s,
        "ended_s": end_s,
        "runtime_s": end_s - start_s,
        "predicted_runtime_s": HOUR,
        "predicted_energy_j": 0.3 * KWH,
        **more,
    }


def read(kwh, how="measured"):
    return {"energy_j": kwh * KWH, "energy_provenance": how, "meter": "nvml"}


ROWS = [
    row("job-1", (0, 2), gpus=2, labels={"group": "vision"}, **read(1.0), gpu_memory_bytes=8 * GIB),
    row("job-2", (-1, 3), owner="bob", **read(2.0, "estimated")),  # a quarter of it in October
    row("job-3", (4, 5), labels={"group": "vision", "project": "x"}),  # nothing read it
    row("job-4", (5, 6), **read(0.1, "pretended")),
    row("job-5", (6, 8), reason="torch.OutOfMemoryError: CUDA out of memory", **read(0.5)),
    row("job-6", (0, 10), gpu_type="A6000", gpus=2, **read(1.0)),  # 50 W a board
]


@pytest.fixture
def report(tmp_path, capsys):
    def run(*words, rows=ROWS):
        file = tmp_path / "history.csv"
        columns = ["job_id", *{name for one in rows for name in one} - {"job_id"}]
        with file.open("w", newline="") as out:
            writer = csv.DictWriter(out, columns)
            writer.writeheader()
            writer.writerows(rows)
        code = main(["report", "--history", str(file), *map(str, words)])
        done = capsys.readouterr()
        return done.err if code else done.out

    return run


def as_json(report, *words):
    return json.loads(report("--format", "json", *words))


def test_a_month_s_hours_and_energy_are_kept_apart_by_how_they_were_had(report):
    found = as_json(report, "--month", "2026-11")["total"]
    assert found["gpu_hours"] == pytest.approx(4 + 3 + 1 + 1 + 2 + 20)
    assert found["failed_gpu_hours"] == pytest.approx(2)
    kwh = {"measured": 2.5, "estimated": 1.5, "modelled": 0.3, "pretended": 0.1}
    assert found["energy_kwh"] == pytest.approx(kwh)
    assert as_json(report, "--month", "2026-10")["total"]["energy_kwh"]["estimated"] == pytest.approx(0.5)
    berlin = as_json(report, "--month", "2026-10", "--zone", "Europe/Berlin")["total"]  # begins and ends earlier
    assert berlin["gpu_hours"] == 0


@pytest.mark.parametrize(
    ("words", "jobs"),
    [
        (["--group", "vision"], {"job-1", "job-3"}),
        (["--group", "vision", "--project", "x"], {"job-3"}),
        (["--owner", "bob"], {"job-2"}),
        (["--job", "job-1", "--job", "job-4"], {"job-1", "job-4"}),
        (["--month", "2026-12"], set()),
    ],
)
def test_the_options_say_whose_jobs_are_meant(report, words, jobs):
    assert as_json(report, *words)["by"]["job"].keys() == jobs


def test_carbon_follows_the_signal_and_names_its_source(report, tmp_path):
    (tmp_path / "grid.csv").write_text(
        "datetime_utc,zone,gco2_per_kwh_direct,day_ahead_forecast\n"
        "2026-11-01 00:00:00,DE,100,9\n2026-11-01 01:00:00,DE,300,9\n2026-11-01 04:00:00,DE,500,9\n"
        "2026-11-01 00:00:00,FR,1,9\n2026-11-01 01:00:00,FR,1,9\n"
    )
    words = ["--carbon", f"{tmp_path / 'grid.csv'},zone=DE"]
    found = as_json(report, "--job", "job-1", *words, "--pue", "1.5")
    assert found["total"]["co2_kg"] == pytest.approx(0.2 * 1.0 * 1.5)  # an hour at 100, an hour at 300
    assert any("source: grid.csv" in line for line in found["basis"])
    partly = as_json(report, "--job", "job-2", *words)  # an hour of its four lies before the signal
    assert partly["total"]["co2_kg"] == pytest.approx(0.5 * (0.1 + 0.3 + 0.3))
    assert any("0.5 kWh lie outside" in line for line in partly["basis"])
    assert "values of 2 zones; name one" in report("--carbon", tmp_path / "grid.csv")


def test_water_and_money_are_what_was_given_for_them(report, tmp_path):
    (tmp_path / "prices.csv").write_text("gpu_type,price_per_hour,currency\nA100,2,EUR\n")
    words = ["--water-l-per-kwh", "1.8", "--water-source", "us", "--price-per-kwh", "0.25"]
    found = as_json(report, *words, "--gpu-prices", tmp_path / "prices.csv", "--job", "job-1", "--job", "job-6")
    total = found["total"]
    assert (total["water_l"], total["gpu_cost"], total["energy_cost"]) == pytest.approx((3.6, 8.0, 0.5))
    assert found["currency"] == "EUR"
    assert any("20 GPU-hours are of types without a price" in line for line in found["basis"])
    assert as_json(report)["total"]["co2_kg"] is None


def test_what_was_asked_for_in_vain_is_said_with_the_remedy(report):
    found = {(one["job_id"], one["found"]): one["remedy"] for one in as_json(report)["findings"]}
    by_job = {job_id: (said, remedy) for (job_id, said), remedy in found.items()}
    assert by_job.keys() == {"job-1", "job-5", "job-6"}
    assert "used 8 GiB of" in by_job["job-1"][0]
    assert "larger batch" in by_job["job-1"][1]
    assert "out of memory" in by_job["job-5"][0]
    assert "more memory, such as A6000, or take a smaller batch" in by_job["job-5"][1]
    assert "drew 50 W of 300 W" in by_job["job-6"][0]
    assert "fewer GPUs" in by_job["job-6"][1]


def test_a_training_is_stated_in_the_terms_of_the_act(report):
    found = as_json(report, "--statement", "seer", "--job", "job-1", "--job", "job-3", "--job", "job-4")["statement"]
    assert found["point_2d"]["training_hours"] == pytest.approx(4)  # two hours in which nothing ran are none
    assert found["point_2d"]["gpus"] == {"A100": 2}
    energy = found["point_2e"]
    assert (energy["kind"], energy["energy_kwh"]) == ("estimated", pytest.approx(1.3))  # what is pretended is no energy
    assert {part["provenance"] for part in energy["by_method"]} == {"measured", "modelled", "pretended"}
    known = as_json(report, "--statement", "seer", "--job", "job-1")["statement"]["point_2e"]
    assert (known["kind"], known["by_method"][0]["meters"]) == ("known", ["nvml"])
    assert "Regulation (EU) 2024/1689" in report("--statement", "seer", "--job", "job-1")
    assert "no attempt that ended is meant" in report("--statement", "seer", "--job", "job-9")


def test_csv_has_a_row_a_job_and_text_and_page_say_the_sums(report, tmp_path):
    rows = {one["job_id"]: one for one in csv.DictReader(io.StringIO(report("--format", "csv")))}
    assert rows.keys() == {one["job_id"] for one in ROWS}
    assert (float(rows["job-1"]["measured_kwh"]), rows["job-1"]["co2_kg"]) == (1.0, "")
    assert "By owner" in report()
    evil = [row("job-1", owner="<script>alert(1)</script>\x1b[2J", reason="\x1b[31mno")]
    page = report("--format", "html", rows=evil)
    assert "<script>" not in page
    assert page.count(">All<") == 2  # in the list of sections and above its table, not once more below that
    assert "\x1b" not in report(rows=evil)
    assert report("--format", "html", "--out", tmp_path / "r.html") == f"{tmp_path / 'r.html'}: 6 jobs, 32 GPU-hours\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--month", "2026-13"], "--month 2026-13: no month; write it as 2026-11"),
        (["--month", "2026-11", "--zone", "Mars"], "--zone Mars: no time zone"),
        (["--g-per-kwh", "300"], "say whose figure it is, with --carbon-source"),
        (["--pue", "0.5"], "--pue must be finite and >= 1, got 0.5"),
        (["--water-l-per-kwh", "1"], "say whose figure that is"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_remedy(report, words, said):
    assert said.replace("that is", "it is") in report(*words)


def test_what_is_no_history_is_refused(tmp_path, capsys):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    assert main(["report", "--history", str(tmp_path / "x.csv")]) == 2
    assert main(["report", "--database", str(tmp_path / "none.db")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("column", "value"),
    [("predicted_runtime_s", 0), ("predicted_energy_j", "nan"), ("ended_s", "inf"), ("energy_provenance", "guessed")],
)
def test_a_row_that_would_spoil_every_sum_is_named(report, column, value):
    said = report(rows=[ROWS[0], {**ROWS[0], column: value}])
    assert said.startswith("kilowait: row 2 of the history")
    assert column in said


def test_just_below_a_thousand_is_written_as_a_number(report):
    assert "1,000" in report(rows=[row("job-1", (0, 2), **read(999.7))])


def test_a_database_is_read_as_it_is(tmp_path, capsys):
    url = f"sqlite:///{tmp_path}/k.db"
    live = Controller(Store(url), simple(), order=("A100",))
    live.node_joined("n", "A100", 2, 0.0)
    predictions = {"A100": Prediction(runtime_s=HOUR, energy_kwh=0.3)}
    job_id = live.submit(request(predictions=predictions, gpus=2, labels={"group": "vision"}), NOVEMBER)
    (attempt,) = live.decide(NOVEMBER)
    measured = Measurement(
        job_id=job_id,
        attempt=1,
        gpu_type="A100",
        runtime_s=1800.0,
        energy_j=0.2 * KWH,
        runtime_provenance=Provenance.MEASURED,
        energy_provenance=Provenance.MEASURED,
    )
    ending = Ending(exit_code=0, measurement=measured, meter="nvml")
    live.attempt_finished(job_id, 1, attempt.token, ending, NOVEMBER + 1800)
    live.store.close()
    assert main(["report", "--database", url, "--month", "2026-11", "--group", "vision", "--format", "json"]) == 0
    total = json.loads(capsys.readouterr().out)["total"]
    assert (total["gpu_hours"], total["energy_kwh"]["measured"]) == pytest.approx((1.0, 0.2))
