"""python -m pipelines.steps on products whose times follow from a share of the peak, and its scores of other rows."""

import json
from pathlib import Path

import pytest

from kilowait.core.hardware import CATALOGUE
from kilowait.lab.steps import layer_network
from kilowait.lab.steps.step_baselines import STEP_BASELINES
from kilowait.predict.operations import OperationsModel
from pipelines import steps
from pipelines.evaluate import evaluate

PROGRAM = """import sys, torch
side = int(sys.argv[1])
a = torch.empty(side, side, device="cuda")
{body}
"""
HEAD = "source,model,mode,precision,batch,gpu,n_gpus,step_ms,samples_per_s"
TYPES = ("A100", "A6000", "T4", "V100", "H100", "L4")
SHARES = {"one": 0.7, "two": 0.6, "three": 0.8}
"""Of the peak rate that products reach, by source: hosts and versions differ."""


def write_programs(folder: Path) -> Path:
    folder.mkdir()
    (folder / "once.py").write_text(PROGRAM.format(body="a @ a"))
    (folder / "twice.py").write_text(PROGRAM.format(body="(a @ a).relu() @ a"))
    entries = [
        {"match": {"model": [name]}, "files": [f"{name}.py"], "arguments": ["{batch}"]} for name in ("once", "twice")
    ]
    (folder / "steps.json").write_text(json.dumps({"programs": entries}))
    return folder


def write_steps(path: Path, source: str, sides: list[int]) -> Path:
    rows = [HEAD]
    for gpu in TYPES:
        for side in sides:
            for model, products in (("once", 1), ("twice", 2)):
                seconds = products * 2 * side**3 / (SHARES[source] * CATALOGUE[gpu].fp32_flops)
                rows.append(f"{source},{model},infer,fp32,{side},{gpu},1,{1e3 * seconds},")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steps")
    write_programs(folder / "programs")
    tables = [str(write_steps(folder / f"{name}.csv", name, [2048, 3072, 4096])) for name in SHARES]
    command = ["--programs", str(folder / "programs"), "--cache", str(folder / "runs"), "--unsafe"]
    results = ["--out", str(folder / "model"), "--results", str(folder / "steps.json")]
    assert steps.main(["--steps", *tables, *command, *results]) == 0
    return folder


def test_a_fit_writes_a_model_its_card_and_what_left_out_steps_came_to(fitted: Path) -> None:
    model = OperationsModel.load(fitted / "model")
    assert model.measured == set(TYPES)
    assert model.training["by_source"] == dict.fromkeys(SHARES, 36)
    scores = json.loads((fitted / "steps.json").read_text())["scores"]
    by_group = {score["group"]: score for score in scores}
    assert by_group["source left out: one"]["n"] == 36
    assert by_group["type left out: two"]["median_error"] < 0.3
    card = (fitted / "model" / "MODEL_CARD.md").read_text()
    assert "source left out: one" in card
    assert "measured by their sources: one (36), two (36), three (36)" in card


def test_steps_of_any_source_are_scored(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_steps(fitted / "other.csv", "two", [2560, 3584])
    command = ["--steps", str(table), "--programs", str(fitted / "programs"), "--cache", str(fitted / "runs")]
    command += ["--device-model", str(fitted / "model"), "--unsafe"]
    capsys.readouterr()
    assert evaluate.main([*command, "--json"]) == 0
    (kind, source, everything) = json.loads(capsys.readouterr().out)["scores"]
    assert (kind["group"], source["group"], everything["group"]) == ("two | infer fp32", "two", "all")
    assert everything["n"] == 24
    assert everything["median_error"] < 0.1
    assert everything["coverage"] > 0.8
    assert evaluate.main(command) == 0
    assert "two | infer fp32" in capsys.readouterr().out


def test_left_out_steps_stand_beside_baselines(
    fitted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_network, "EPOCHS", 3)
    tables = [str(fitted / f"{name}.csv") for name in SHARES]
    command = ["--steps", *tables, "--programs", str(fitted / "programs"), "--cache", str(fitted / "runs"), "--unsafe"]
    capsys.readouterr()
    assert evaluate.main([*command, "--baselines", "--results", str(fitted / "beside.json"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["scores"]
    assert rows == json.loads((fitted / "beside.json").read_text())["scores"]
    by_predictor = {row["predictor"]: row for row in rows if row["group"] == "type left out"}
    assert {*by_predictor} == {"kilowait", *STEP_BASELINES}
    assert {row["n"] for row in by_predictor.values()} == {108}
    ours, roofline = by_predictor["kilowait"], by_predictor["PyTorch RuntimeEstimator (roofline)"]
    assert (ours["right_order"], ours["a100_a6000_pairs"], roofline["coverage"]) == (1.0, 18, None)
    assert ours["median_error"] < by_predictor["mean"]["median_error"]


def test_steps_without_programs_say_what_is_needed(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--steps", str(fitted / "one.csv")]) == 2
    assert "--steps needs --programs DIR" in capsys.readouterr().err
