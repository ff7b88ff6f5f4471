"""`kilowait calibrate` without a GPU: a made-up board says so, and what cannot be measured is an error."""

import json
from pathlib import Path

import pytest

from kilowait.cli.main import main
from kilowait.core.gpu_file import read_file
from kilowait.measure import board_steps
from kilowait.measure.board_steps import BoardStep

pytestmark = pytest.mark.torch
STEPS = tuple(BoardStep(*step) for step in (("launches", 50), ("layers", 8), ("copy", 1 << 26), ("product", 2048)))


def test_a_made_up_board_is_written_as_pretended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(board_steps, "STEPS", STEPS)
    out = tmp_path / "gpus.toml"
    command = ["calibrate", "--pretend", "1.5,1.2", "--gpu", "A100", "--out", str(out), "--json"]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["gpu"], report["provenance"], report["programs"]) == ("A100", "pretended", 4)
    table = read_file(out)["A100"]
    assert table["factor_provenance"] == "pretended"
    assert (table["host_factor"], table["device_factor"]) == pytest.approx((1.5, 1.2), rel=0.05)
    assert main(command) == 2
    assert "there is such a file already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pretend", "2,1"], "--gpu TYPE"),
        (["--json"], "--out FILE"),
        (["--python", "/nowhere/python"], "/nowhere/python"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", *words]) in (1, 2)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("factors", ["1.5", "0,1", "a,b", "inf,1"])
def test_factors_are_two_numbers(factors: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["calibrate", "--gpu", "A100", "--pretend", factors])
    assert "two numbers > 0" in capsys.readouterr().err
