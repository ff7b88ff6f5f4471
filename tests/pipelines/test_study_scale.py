"""The parts of the study about scale, end to end: many GPU types, and many jobs a second."""

import json

import pytest

from kilowait.files import columns, parquet
from kilowait.lab.backtest.backtest import PolicySpec
from kilowait.lab.backtest.scenario.job_classes import CALIBRATED
from kilowait.lab.study.many_types import inventory
from pipelines.study import cells, study, study_options

COMMAND = ["--quick", "--classes", "calibrated", "--policies", "value,sjf", "--parts", "types,rates"]
QUICK = study_options.Size(
    samples=1, windows=1, type_samples=1, levels=(), factors=(), types=(2, 12), rates=(50.0, 2.0), budget_s=3600.0
)


@pytest.fixture(scope="module")
def out(one_ray, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scale")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_options, "QUICK", QUICK)
        assert study.main([*COMMAND, "--out", str(folder)]) == 0
        assert study.main([*COMMAND, "--out", str(folder)]) == 0  # what is kept serves the page as well
    return folder


def test_every_policy_ran_on_every_number_of_types(out):
    rows = parquet.read_table(out / "study.parquet", columns.STUDY).to_pylist()
    types = [row for row in rows if row["part"] == "types"]
    assert {(r["x"], r["policy"]) for r in types} == {(x, p) for x in (2.0, 12.0) for p in ("simple", "value", "sjf")}
    for row in types:
        assert row["gpus"] == sum(inventory(int(row["x"]), CALIBRATED).values())
        assert row["policy_s"] > 0
        assert row["energy_kwh"] >= row["greenest_kwh"] > 0
    assert len({row["jobs"] for row in types}) == 1


def test_every_policy_ran_at_every_rate_and_the_slowest_first(out):
    rows = parquet.read_table(out / "rates.parquet", columns.RATES).to_pylist()
    assert [(r["policy"], r["rate"]) for r in rows] == [(p, x) for p in ("simple", "value", "sjf") for x in (2.0, 50.0)]
    for row in rows:
        assert (row["placed"], row["finished"]) == (row["jobs"], True)
        assert 0 < row["p50_s"] <= row["p99_s"] <= row["policy_s"] < row["scheduler_s"]


def test_the_page_says_how_each_number_was_had(out):
    sections = json.loads((out / "study.json").read_text())["sections"]
    assert set(sections) == {"types", "rates"}
    assert {row["provenance"] for row in sections["rates"]["rates"]} == {"measured"}
    for cost in sections["rates"]["overhead"]:
        assert cost["scheduler_s"]["provenance"] == "measured"
        assert cost["cost_j"]["value"] == pytest.approx(10 * cost["scheduler_s"]["value"])
        assert (cost["cost_j"]["provenance"], cost["saved_j"]["provenance"]) == ("estimated", "modelled")
    page = (out / "study.html").read_text()
    for part in (
        "changes modelled, time to decide measured",
        "an assumed draw of one busy core",
        "Decisions under load",
    ):
        assert part in page


def test_a_policy_that_falls_behind_goes_no_further(tmp_path, monkeypatch):
    ran = []

    def pretended(world, *_):
        ran.append(world.rate)
        return {"rate": world.rate, "sustained": 7.0}

    monkeypatch.setattr(cells, "_finished_rate", pretended)
    spec = PolicySpec(label="simple", policy="simple")
    store = cells.CellFiles(tmp_path, columns.RATES)
    cells.finish_rates([500.0, 50.0, 5.0], "calibrated", 1, [spec], 1.0, store)
    assert ran == [5.0, 50.0]
