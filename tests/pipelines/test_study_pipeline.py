"""The study end to end on a Ray of its own: what it writes, that it resumes, and what it says it left out."""

import json

import pyarrow.parquet as pq
import pytest

from kilowait.files import columns, parquet
from kilowait.lab.backtest.backtest import PolicySpec, World, evaluate
from pipelines.study import study
from pipelines.study.cells import CellFiles

SMALL = ["--quick", "--samples", "2", "--classes", "calibrated", "--policies", "value"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Residuals of a model that guesses half of the seconds, and a trace of 200 jobs of two users."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = [
        {"content_hash": "h", "device_type": d, "metric": "runtime_s", "measured": 2.0, "predicted": 1.0, "model": "m"}
        for d in ("cpu-1", "cpu-2")
    ]
    parquet.write_table(parquet.table(rows, columns.RESIDUALS), folder / "residuals.parquet")
    jobs = [f"j{k:03},{60 * k},{1 + k % 3},900,{'uv'[k % 2]}" for k in range(200)]
    (folder / "jobs.csv").write_text("\n".join(["job_id,submit_s,gpus,duration_s,user", *jobs]) + "\n")
    return folder


@pytest.fixture(scope="module")
def out(one_ray, inputs, tmp_path_factory):
    """The whole study, small, with residuals and a trace."""
    folder = tmp_path_factory.mktemp("study")
    trace = ["--trace", f"generic:{inputs / 'jobs.csv'}", "--gpus", "A100=2,A6000=4", "--window-jobs", "40"]
    residuals = ["--residuals", str(inputs / "residuals.parquet")]
    assert study.main([*SMALL, *trace, *residuals, "--parts", "information,error,bias", "--out", str(folder)]) == 0
    return folder


def rows_of(folder):
    return parquet.read_table(folder / "study.parquet", columns.STUDY).to_pylist()


def test_every_place_of_the_study_has_its_samples(out):
    places = {}
    for row in rows_of(out):
        key = (row["part"], row["world"], row["information"], row["x"], row["policy"])
        places.setdefault(key, []).append(row["sample"])
    kinds = ("no prediction", "user estimates", "model (m)", "oracle")
    expected = {("information", "calibrated", "oracle", None, "simple"): [0, 1]}
    expected |= {("information", "calibrated", kind, None, "value"): [0, 1] for kind in kinds}
    tests = [1, 2, 4]  # of five windows the first is for validation, and three of the others are tests
    expected |= {("information", "jobs.csv", "oracle", None, "simple"): tests}
    expected |= {("information", "jobs.csv", kind, None, "value"): tests for kind in kinds}
    for kind in ("independent by job and type", "shared by a job's types"):
        expected |= {("error", "calibrated", kind, x, "value"): [0, 1] for x in (0.0, 0.3, 1.0)}
    for kind in ("every type", "A100 only", "A6000 only"):
        expected |= {("bias", "calibrated", kind, x, "value"): [0, 1] for x in (0.5, 1.0, 2.0)}
    assert places == expected


def test_the_oracle_s_rows_are_those_of_a_backtest(out):
    spec = PolicySpec(label="value", policy="value", parameters={"kappa": 1e-5})
    world = World(classes="calibrated", seed=2024)
    found = [
        r for r in rows_of(out) if (r["world"], r["information"], r["policy"]) == ("calibrated", "oracle", "value")
    ]
    for row in found:
        (outcome,) = evaluate(world, row["sample"], [spec])
        assert row["total_wait_s"] == outcome.scores.total_wait_s
        assert row["energy_kwh"] == outcome.scores.energy_kwh
        assert row["users"] == 0


def test_errors_that_matter_change_what_is_decided_and_the_trace_names_its_users(out):
    rows = rows_of(out)
    energy = {(r["information"], r["x"]): r["energy_kwh"] for r in rows if r["part"] == "error" and r["sample"] == 0}
    assert energy["independent by job and type", 0.0] == energy["shared by a job's types", 0.0]
    assert energy["independent by job and type", 1.0] != energy["independent by job and type", 0.0]
    assert {r["users"] for r in rows if r["world"] == "jobs.csv"} == {2}


def test_the_page_and_its_numbers_agree_with_the_rows(out):
    body = json.loads((out / "study.json").read_text())
    numbers = {
        (n["world"], n["information"], n["policy"]): n
        for n in body["sections"]["information"]
        if n["policy"] == "value"
    }
    rows = [r for r in rows_of(out) if r["part"] == "information" and r["world"] == "calibrated"]
    total = {
        p: sum(r["energy_kwh"] for r in rows if (r["policy"], r["information"]) == (p, "oracle"))
        for p in ("simple", "value")
    }
    change = numbers["calibrated", "oracle", "value"]["change"]["jobs' energy"]
    assert change["estimate"] == pytest.approx(total["value"] / total["simple"] - 1)
    assert change["low"] <= change["estimate"] <= change["high"]
    page = (out / "study.html").read_text()
    for part in (
        "What of the best gain is policy",
        "Fairness, jobs.csv",
        "users&#x27; mean slowdowns",
        "Robust to bias",
    ):
        assert part in page
    assert page.count('class="badge"') >= page.count("<figure>") + page.count("<table>")
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_finished_study_computes_nothing_and_a_torn_cell_alone_again(out, inputs, monkeypatch, capsys):
    trace = ["--trace", f"generic:{inputs / 'jobs.csv'}", "--gpus", "A100=2,A6000=4", "--window-jobs", "40"]
    command = [*SMALL, *trace, "--residuals", str(inputs / "residuals.parquet"), "--out", str(out)]
    command += ["--parts", "information,error,bias"]
    before, cells = rows_of(out), sorted((out / "cells").iterdir())
    untouched = {path: path.stat().st_mtime_ns for path in cells}
    assert study.main(command) == 0
    assert f"{len(cells)} of {len(cells)} cells are already there" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == untouched

    whole = cells[3].read_bytes()
    cells[3].write_bytes(whole[: len(whole) // 2])
    cells[5].unlink()
    saved = []
    save = CellFiles.save
    monkeypatch.setattr(CellFiles, "save", lambda self, key, rows: (saved.append(key), save(self, key, rows)))
    assert study.main(command) == 0
    said = capsys.readouterr().err
    assert f"{len(cells) - 2} of {len(cells)} cells are already there" in said
    assert f"{cells[3]}: not a readable Parquet file" in said
    assert sorted(saved) == sorted([cells[3].stem, cells[5].stem])
    drop = {"policy_s"}  # a measured time; all else is the same again
    assert [{k: v for k, v in r.items() if k not in drop} for r in rows_of(out)] == [
        {k: v for k, v in r.items() if k not in drop} for r in before
    ]


def test_another_setting_is_another_cell_and_kept_cells_are_what_is_shown(one_ray, tmp_path, capsys):
    common = ["--parts", "information", "--out", str(tmp_path)]
    assert study.main([*SMALL, *common]) == 0
    said = capsys.readouterr().err
    assert "kilowait lab train" in said
    assert "the scenario alone" in said
    first = sorted((tmp_path / "cells").iterdir())
    assert len(first) == 4  # simple, and value with three kinds of information
    assert (
        study.main(["--quick", "--samples", "2", "--classes", "calibrated", "--policies", "value:kappa=0.001", *common])
        == 0
    )
    assert "1 of 4 cells are already there" in capsys.readouterr().err
    data = pq.read_table(first[0])
    energy = data.column_names.index("energy_kwh")
    pq.write_table(data.set_column(energy, "energy_kwh", [[4321.0, 4321.0]]), first[0])
    assert study.main([*SMALL, *common]) == 0
    assert 4321.0 in {row["energy_kwh"] for row in rows_of(tmp_path)}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--policies", "none"], "unknown policy 'none'"),
        (["--policies", "value:kapa=1"], "value has no parameter 'kapa'"),
        (["--policies", "patient:tries=x"], "'tries=x' is not PARAMETER=NUMBER"),
        (["--policies", "value:kappa=-1"], "kappa must be finite and >= 0"),
        (["--parts", "all"], "unknown part 'all'"),
        (["--parts", ","], "--parts names none"),
        (["--scheduler-w", "0"], "--scheduler-w must be finite and > 0, got 0.0"),
        (["--samples", "0"], "--samples must be >= 1, got 0"),
        (["--classes", "none"], "unknown class table 'none'"),
        (["--residuals", "missing.parquet"], "missing.parquet: not a readable Parquet file"),
        (["--trace", "generic:missing.csv"], "missing.csv"),
    ],
)
def test_wrong_options_exit_with_2_and_say_why(extra, message, tmp_path, capsys):
    assert study.main(["--quick", *extra, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--vc", "v"], "give --trace FORMAT:PATH before it"),
        (["--trace", "jobs.csv"], "give FORMAT:PATH with a format among"),
        (["--trace", "philly:a.csv", "--vc", "v", "--vc", "w"], "--vc stands twice for the trace a.csv"),
    ],
)
def test_options_of_a_trace_follow_it(extra, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        study.main(["--out", str(tmp_path), *extra])
    assert message in capsys.readouterr().err
