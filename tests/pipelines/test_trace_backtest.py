"""The backtest command on a trace, end to end on a Ray of its own, and its wrong options."""

import json

import pytest

from kilowait.files import columns, parquet
from pipelines import backtest

HEADER = "job_id,submit_s,gpus,duration_s,vc,allowed,A100_s,A100_kwh"


@pytest.fixture
def small(tmp_path):
    """60 jobs, one a minute: every third measured on an A100, every fifth half a GPU; two rows that are no jobs."""
    rows = [
        f"j{k:02},{60 * k},{0.5 if k % 5 == 0 else 1},600,v,,{'500,0.04' if k % 3 == 0 else ','}" for k in range(60)
    ]
    rows += ["late,30,1,600,v,H100|A6000,,", "none,40,0,600,v,,,", "j00,50,1,600,v,,,"]
    path = tmp_path / "small.csv"
    path.write_text("\n".join((HEADER, *rows)) + "\n")
    return path


def run(out, path, *extra):
    common = ["--trace", str(path), "--format", "generic", "--gpus", "A100=1,RTX A6000=2", "--load", "1.5"]
    return backtest.main([*common, "--out", str(out), *extra])


def test_the_command_end_to_end(one_ray, small, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(out, small, "--window-jobs", "20") == 0
    printed = capsys.readouterr().out
    rows = parquet.read_table(out / "scores.parquet", columns.BACKTEST).to_pylist()
    assert [(r["sample"], r["policy"], r["jobs"]) for r in rows] == [
        (sample, policy, 20) for sample in range(3) for policy in ("simple", "greedy", "value")
    ]
    for row in rows:
        assert row["cluster_energy_kwh"] > row["energy_kwh"] >= row["greenest_kwh"] > 0
        assert row["makespan_s"] > row["max_wait_s"]

    report = json.loads((out / "report.json").read_text())["sections"]["trace"]
    assert report["report"]["rows_read"] == 63
    assert report["report"]["set_aside"] == {"asks for no GPU": 1, "job id seen before": 1}
    assert (report["report"]["used"], report["report"]["unsorted"]) == (61, 1)
    planned = report["planned"]
    assert (planned["shares"], planned["rounded_up"], planned["narrowed"]) == (12, 0, 1)
    assert report["planned"]["seconds"]["A100"] == {"measured": 20, "modelled": 40}
    assert report["planned"]["seconds"]["A6000"] == {"measured": 0, "modelled": 61}
    assert (report["windows"]["count"], report["windows"]["left_over"]) == (3, 1)
    jobs = parquet.read_table(out / "trace_jobs.parquet", columns.TRACE_JOBS).to_pylist()
    assert len(jobs) == 60 * 2 + 1
    assert {(j["runtime_s"], j["energy_kwh"]) for j in jobs if j["energy_provenance"] == "measured"} == {(500, 0.04)}

    page = (out / "report.html").read_text()
    for part in ("small.csv (generic)", "set aside: asks for no GPU", "window of 20 consecutive jobs"):
        assert part in page
        assert part in printed
    assert "paper" not in printed.split("Totals a sample")[1]

    assert run(tmp_path / "again", small, "--window-jobs", "20") == 0
    again = parquet.read_table(tmp_path / "again" / "scores.parquet", columns.BACKTEST)
    assert again.to_pylist() == rows


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--gpus", "A100=1,A100-40GB=2"], "'A100-40GB' is another name of A100"),
        (["--gpus", "A100=none"], "--gpus A100=none: 'A100=none' is not TYPE=N"),
        (["--gpus", "G2=1"], "GPU type 'G2' is not in the catalogue"),
        (["--load", "0"], "--load must be finite and > 0, got 0.0"),
        (["--limit", "0"], "--limit must be >= 1, got 0"),
        (["--vc", "w"], "virtual clusters here: v"),
        (["--window-jobs", "62"], "--window-jobs must be between 1 and the trace's 61 usable jobs, got 62"),
        (["--burstiness", "2"], "--burstiness is about the scenario's arrivals"),
        (["--classes", "none"], "unknown class table 'none'"),
        (["--side-table", "x.csv"], "the format generic has no second file"),
    ],
)
def test_wrong_options_exit_with_2_and_say_why(small, tmp_path, capsys, extra, message):
    assert run(tmp_path / "out", small, *extra) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gpus", "A100=1"], "--gpus is given, but no --trace"),
        (["--window-jobs", "5"], "--window-jobs is given, but no --trace"),
        (["--trace", "t.csv", "--gpus", "A100=1"], "--trace t.csv needs --format"),
        (["--trace", "t.csv", "--format", "swf"], "--trace t.csv needs --gpus"),
    ],
)
def test_options_that_need_each_other(words, message, tmp_path, capsys):
    assert backtest.main([*words, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
