"""The backtest: hand-made outcomes compared, and the command end to end on a Ray of its own."""

import json
import math

import numpy as np
import pytest

from kilowait.core.errors import InputError
from kilowait.files import columns, parquet
from kilowait.lab.backtest import backtest_page
from kilowait.lab.backtest.comparison import PAPER, compare, explain, split_worlds, versions
from kilowait.lab.backtest.tables import shares_table
from kilowait.policies import POLICIES
from pipelines import backtest


def outcome(
    policy, sample, *, wait=0.0, energy=10.0, running=36_000.0, gpus=2, classes="paper-like", greenest=8.0, bound=0.0
):
    zero = dict.fromkeys(("delayed_tasks", "makespan_s", "p50_wait_s", "p99_wait_s", "max_wait_s"), 0)
    return zero | {
        "classes": classes,
        "predictions": "oracle",
        "sample": sample,
        "policy": policy,
        "kappa": 0.5 if policy.startswith("value") else None,
        "jobs": 4,
        "gpus": 30,
        "total_wait_s": wait,
        "running_s": running,
        "gpu_running_s": gpus * running,
        "energy_kwh": energy,
        "cluster_energy_kwh": energy + 5,
        "greenest_kwh": greenest,
        "wait_bound_s": bound,
    }


def table(*rows):
    return parquet.table(rows, columns.BACKTEST)


def compared(*rows):
    return compare(table(*rows), np.random.default_rng(0))


class TestComparison:
    def test_watts_are_energy_over_time(self):
        found = compared(outcome("simple", 0), outcome("value", 0, energy=5.0))
        assert found.policy("simple").watts_a_job == pytest.approx(1000)  # 10 kWh in 10 h
        assert found.policy("simple").watts_a_gpu == pytest.approx(500)
        assert found.policy("value").watts_a_job == pytest.approx(500)

    def test_changes_are_paired_by_sample_whatever_the_order_of_rows(self):
        found = compared(
            outcome("simple", 0, energy=10),
            outcome("simple", 1, energy=1000),
            outcome("value", 1, energy=800),
            outcome("value", 0, energy=8),
        )
        saved = found.policy("value").changes["energy_kwh"]
        assert (saved.estimate, saved.low, saved.high) == pytest.approx((-0.2, -0.2, -0.2))
        assert found.policy("simple").changes == {}

    def test_the_bound_is_every_job_on_its_greener_type(self):
        assert compared(outcome("simple", 0)).greenest_change == pytest.approx(-0.2)

    def test_without_waiting_a_change_of_waiting_is_undefined(self):
        found = compared(outcome("simple", 0), outcome("value", 0))
        assert math.isnan(found.policy("value").changes["total_wait_s"].estimate)

    def test_the_share_of_the_way_to_the_bounds_is_of_totals(self):
        """Of 100 + 300 s to 40 + 60 s, value covers 10 + 140; of 10 + 30 kWh to 8 + 8, it covers 1 + 11."""
        found = compared(
            outcome("simple", 0, wait=100, energy=10, bound=40),
            outcome("simple", 1, wait=300, energy=30, bound=60),
            outcome("value", 0, wait=90, energy=9, bound=40),
            outcome("value", 1, wait=160, energy=19, bound=60),
        )
        shares = found.policy("value").shares
        assert shares["total_wait_s"].estimate == pytest.approx(150 / 300)
        assert shares["energy_kwh"].estimate == pytest.approx(12 / 24)
        assert (shares["total_wait_s"].low, shares["total_wait_s"].high) == pytest.approx((10 / 60, 140 / 240))
        assert found.wait_bound_change == pytest.approx(100 / 400 - 1)
        assert found.policy("simple").shares == {}

    def test_worse_than_simple_is_a_share_below_nothing_and_at_the_bound_it_is_undefined(self):
        found = compared(
            outcome("simple", 0, wait=100, energy=8, bound=50), outcome("value", 0, wait=150, energy=9, bound=50)
        )
        assert found.policy("value").shares["total_wait_s"].estimate == pytest.approx(-1)
        assert math.isnan(found.policy("value").shares["energy_kwh"].estimate)

    def test_all_predictions_of_a_world_stand_beside_each_other(self):
        rows = [
            outcome(policy, 0, wait=wait, classes=classes) | {"predictions": seen}
            for classes in ("paper-like", "calibrated")
            for seen, better in (("oracle", 25.0), ("noisy:m", 75.0))
            for policy, wait in (("simple", 100.0), ("value", better))
        ]
        found = versions([compare(world, np.random.default_rng(0)) for world in split_worlds(table(*rows))])
        assert [[c.predictions for c in together] for together in found] == [["oracle", "noisy:m"]] * 2
        view = shares_table(found[0])
        assert view.headings[1:3] == ("change of\nwaiting\noracle", "change of\nwaiting\nnoisy:m")
        ((label, *cells),) = view.rows
        assert label == "value"
        shown = [cell.split("\n")[0] for cell in cells]
        assert shown[:2] == ["-75.0%", "-25.0%"]
        assert shown[4:6] == ["75.0%", "25.0%"]

    def test_policies_on_different_samples_are_not_compared(self):
        with pytest.raises(InputError, match="different samples"):
            compared(outcome("simple", 0), outcome("value", 1))

    def test_worlds_are_told_apart(self):
        both = table(outcome("simple", 0), outcome("simple", 0, classes="calibrated"))
        assert [w["classes"].to_pylist() for w in split_worlds(both)] == [["paper-like"], ["calibrated"]]
        with pytest.raises(InputError, match="exactly one world"):
            compare(both, np.random.default_rng(0))

    def test_the_explanation_names_our_watts_beside_the_papers(self):
        text = " ".join(explain(compared(outcome("simple", 0, wait=1), outcome("value", 0, wait=1, energy=5.0))))
        for part in ("104 W under Simple and 58 W under Value, ours 1000 and 500 W", "-50.0%", "large 0.65"):
            assert part in text

    def test_the_explanation_is_of_value_not_of_its_relative_with_aging(self):
        rows = [outcome("simple", 0, wait=1), outcome("value_aging", 0, wait=1, energy=1.0)]
        assert explain(compared(*rows)) == []
        assert "-50.0%" in explain(compared(*rows, outcome("value", 0, wait=1, energy=5.0)))[0]

    def test_the_papers_claims_imply_longer_running(self):
        assert PAPER.running_change == pytest.approx(0.68 * 104 / 58 - 1)


def run(out, *extra):
    return backtest.main(["--scenario", "paper", "--samples", "3", "--out", str(out), *extra])


def test_the_command_end_to_end(one_ray, tmp_path, capsys):
    kappa = tmp_path / "kappa.json"
    entries = {"waiting": {"kappa": 0.0}, "energy": {"kappa": 1e-4}}
    kappa.write_text(json.dumps({"version": 1, "classes": {"paper-like": entries, "calibrated": entries}}))
    assert run(tmp_path / "a", "--kappa", str(kappa)) == 0
    printed = capsys.readouterr().out
    rows = parquet.read_table(tmp_path / "a" / "scores.parquet", columns.BACKTEST).to_pylist()
    labels = ["simple", "greedy", "value (waiting)", "value (energy)"]
    assert [(r["classes"], r["sample"], r["policy"]) for r in rows] == [
        (classes, sample, label) for classes in ("paper-like", "calibrated") for sample in range(3) for label in labels
    ]
    for row in rows:
        assert row["cluster_energy_kwh"] > row["energy_kwh"] >= row["greenest_kwh"]
        assert row["total_wait_s"] >= row["wait_bound_s"] >= 0
    for part in ("value (energy)", "cluster", "104 W under Simple and 58 W under Value", "-32%", "(modelled)"):
        assert part in printed
    assert (tmp_path / "a" / "report.html").exists()
    path = json.loads((tmp_path / "a" / "world.json").read_text())["path"]
    assert list(path["policies"]) == labels

    assert run(tmp_path / "b", "--kappa", str(kappa)) == 0
    again = parquet.read_table(tmp_path / "b" / "scores.parquet", columns.BACKTEST)
    assert again.to_pylist() == rows


def test_each_world_is_compared_once_for_terminal_page_and_json(one_ray, tmp_path, monkeypatch):
    worlds = []

    def counting(outcomes, *args, **options):
        worlds.append(set(outcomes["classes"].to_pylist()))
        return compare(outcomes, *args, **options)

    monkeypatch.setattr(backtest_page, "compare", counting)
    assert run(tmp_path / "out") == 0
    assert worlds == [{"paper-like"}, {"calibrated"}]
    alone = backtest_page.write_report(
        tmp_path / "alone", backtest_page.ReportInputs(title="kilowait backtest", backtest=tmp_path / "out")
    )
    assert len(worlds) == 4
    for ending in (".html", ".json"):
        assert alone.with_suffix(ending).read_text() == (tmp_path / "out" / f"report{ending}").read_text()


@pytest.fixture
def residuals(tmp_path):
    """Errors of five scripts, from none to five times too long."""
    rows = [
        {"content_hash": str(k), "device_type": "cpu-1", "metric": "runtime_s", "model": "default", "measured": 1.0}
        | {"predicted": 1.0 + k}
        for k in range(5)
    ]
    parquet.write_table(parquet.table(rows, columns.RESIDUALS), tmp_path / "residuals.parquet")
    return ["--residuals", str(tmp_path / "residuals.parquet")]


@pytest.mark.parametrize("kinds", ["both", "oracle,noisy"])
def test_the_oracle_runs_beside_noisy_predictions_on_the_same_samples(one_ray, tmp_path, capsys, residuals, kinds):
    common = ["--classes", "paper-like", "--policies", "greedy,value"]
    assert run(tmp_path, *common, "--predictions", kinds, *residuals) == 0
    rows = parquet.read_table(tmp_path / "scores.parquet", columns.BACKTEST).to_pylist()
    by_kind = {
        kind: {(r["policy"], r["sample"]): r for r in rows if r["predictions"] == kind}
        for kind in ("oracle", "noisy:default")
    }
    assert by_kind["oracle"].keys() == by_kind["noisy:default"].keys()
    pairs = [(row, by_kind["noisy:default"][key]) for key, row in by_kind["oracle"].items()]
    for oracle, noisy in pairs:
        for column in ("wait_bound_s", "greenest_kwh", "jobs"):
            assert oracle[column] == noisy[column]
        if oracle["policy"] == "simple":  # it looks at no prediction
            assert oracle["total_wait_s"] == noisy["total_wait_s"]
    assert any(a["total_wait_s"] != b["total_wait_s"] for a, b in pairs)
    printed = capsys.readouterr().out
    assert "From Simple (0%) to the bound (100%), classes paper-like" in printed
    assert "noisy:default" in printed.split("From Simple")[1]
    sections = json.loads((tmp_path / "report.json").read_text())["sections"]
    found = [c for c in sections["comparison"] if "predictions" in c]
    assert [c["predictions"] for c in found] == ["oracle", "noisy:default"]
    for comparison in found:
        greedy = next(p for p in comparison["policies"] if p["policy"] == "greedy")
        assert set(greedy["shares"]) == {"total_wait_s", "energy_kwh"}


def test_every_policy_can_be_compared_with_the_options_that_it_has(tmp_path):
    kappa = tmp_path / "kappa.json"
    entries = {"waiting": {"kappa": 0.5}, "energy": {"kappa": 2.0}}
    kappa.write_text(json.dumps({"version": 1, "classes": {"paper-like": entries}}))
    words = ["--out", "x", "--policies", ",".join(POLICIES), "--kappa", str(kappa), "--alpha", "3", "--limit-s", "60"]
    words += ["--wait-s-per-kwh", "5", "--risk", "0.25", "--objective", "energy"]
    words += ["--hysteresis", "3", "--error-sd", "0.5"]
    found = backtest.specs(backtest.parser().parse_args(words), "paper-like")
    assert {spec.label: dict(spec.parameters) for spec in found} == {
        "simple": {},
        "greedy": {"alpha": 3, "gamma": 3600},
        "value (waiting)": {"kappa": 0.5},
        "value (energy)": {"kappa": 2},
        "sjf": {},
        "easy": {},
        "conservative": {},
        "value_aging (waiting)": {"kappa": 0.5, "limit_s": 60},
        "value_aging (energy)": {"kappa": 2, "limit_s": 60},
        "fair": {},
        "patient": {"wait_s_per_kwh": 5, "error_sd": 0.5},
        "anticipatory": {"wait_s_per_kwh": 5, "error_sd": 0.5},
        "value_cvar (waiting)": {"kappa": 0.5, "risk": 0.25},
        "value_cvar (energy)": {"kappa": 2, "risk": 0.25},
        "gavel": {"objective": "energy"},
        "srpt": {"hysteresis": 3, "quantum_s": 0},
        "milp": {"wait_s_per_kwh": 5},
    }


def test_relative_kappa_is_named_in_the_label():
    words = ["--out", "x", "--policies", "greedy,value,value_aging", "--kappa-relative", "0.5", "--limit-s", "60"]
    found = backtest.specs(backtest.parser().parse_args(words), "paper-like")
    assert {spec.label: dict(spec.parameters) for spec in found[2:]} == {
        "value (relative 0.5)": {"kappa_relative": 0.5},
        "value_aging (relative 0.5)": {"kappa_relative": 0.5, "limit_s": 60},
    }


def test_both_kappas_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        backtest.main(["--out", "x", "--kappa", "1", "--kappa-relative", "1"])
    assert "--kappa-relative: not allowed with argument --kappa" in capsys.readouterr().err


def test_a_sample_runs_under_every_policy(one_ray, tmp_path):
    assert run(tmp_path, "--classes", "paper-like", "--policies", "sjf,easy,conservative,value_aging,fair") == 0
    rows = parquet.read_table(tmp_path / "scores.parquet", columns.BACKTEST).to_pylist()
    assert {row["policy"] for row in rows} == {"simple", "sjf", "easy", "conservative", "value_aging", "fair"}
    assert len({row["jobs"] for row in rows if row["sample"] == 0}) == 1


def test_a_backtest_with_relative_kappa_has_no_kappa_per_kwh(one_ray, tmp_path, capsys):
    assert run(tmp_path, "--classes", "paper-like", "--policies", "value", "--kappa-relative", "0.5") == 0
    rows = parquet.read_table(tmp_path / "scores.parquet", columns.BACKTEST).to_pylist()
    assert {(row["policy"], row["kappa"]) for row in rows} == {("simple", None), ("value (relative 0.5)", None)}
    assert "The paper claims" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--policies", "value_aging", "--limit-s", "-1"], "limit_s must be finite and >= 0, got -1.0"),
        (["--policies", "value_cvar", "--risk", "1"], "risk must be >= 0 and < 1, got 1.0"),
        (["--policies", "gavel", "--objective", "cost"], "objective must be one of max_min, throughput, energy, got"),
        (["--policies", "fifo"], "unknown policy 'fifo'"),
        (["--kappa", "nowhere.json"], "nowhere.json"),
        (["--kappa", "-1"], "kappa must be finite and >= 0"),
        (["--kappa-relative", "-1"], "kappa_relative must be finite and >= 0, got -1.0"),
        (["--checkpoint-s", "-1"], "--checkpoint-s must be finite and >= 0, got -1.0"),
        (["--policies", "srpt", "--hysteresis", "0.5"], "hysteresis must be finite and >= 1, got 0.5"),
        (["--samples", "0"], "--samples must be >= 1, got 0"),
        (["--classes", ","], "--classes names no table"),
        (["--residuals", "r.parquet"], "--predictions is oracle"),
    ],
)
def test_wrong_options_exit_with_2_and_say_why(extra, message, tmp_path, capsys):
    assert run(tmp_path, *extra) == 2
    assert message in capsys.readouterr().err


def test_a_kappa_file_without_the_classes_is_refused(tmp_path, capsys):
    kappa = tmp_path / "kappa.json"
    kappa.write_text(json.dumps({"version": 1, "classes": {"calibrated": {"energy": {"kappa": 1e-4}}}}))
    assert run(tmp_path, "--kappa", str(kappa), "--classes", "paper-like") == 2
    assert "no kappa for the classes 'paper-like'; it has calibrated" in capsys.readouterr().err
