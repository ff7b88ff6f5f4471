"""The benchmark of optimality end to end on a tiny sample."""

import json

import pytest

from benchmarks import optimality


@pytest.mark.slow
def test_policies_cost_no_less_than_the_optimum_and_it_no_less_than_the_bound(tmp_path, capsys):
    words = ["--samples", "1", "--days", "1", "--classes", "calibrated", "--json", str(tmp_path / "o.json")]
    assert optimality.main(words) == 0
    body = json.loads((tmp_path / "o.json").read_text())
    assert body["provenance"] == "modelled"
    cost = {row["schedule"]: row["cost_s"] for row in body["rows"]}
    policies = ["simple", "sjf", "value", "patient", "anticipatory", "milp"]
    assert list(cost) == ["proved bound", "offline optimum", *policies]
    assert cost["proved bound"] == pytest.approx(cost["offline optimum"], rel=2e-4)  # so few jobs are solved
    assert min(cost.values()) == cost["proved bound"]
    assert min(cost[name] for name in list(cost)[2:]) >= cost["offline optimum"] * (1 - 1e-4)
    assert "Distance from the offline optimum, classes calibrated (modelled)" in capsys.readouterr().out


def test_an_unknown_table_of_classes_exits_with_2(capsys):
    assert optimality.main(["--classes", "papyrus"]) == 2
    assert "papyrus" in capsys.readouterr().err
