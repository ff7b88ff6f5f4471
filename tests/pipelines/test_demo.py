"""The demo's commands are ones its pipelines take, and its steps hand files on that the next ones read."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import demo

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan(tmp_path: Path) -> list[demo.DemoStep]:
    return demo.steps(demo.parser().parse_args(["--out", str(tmp_path)]))


def test_every_step_is_a_command_its_module_takes(plan: list[demo.DemoStep]) -> None:
    for step in plan:
        flag, module, *options = step.arguments
        assert flag == "-m"
        command = importlib.import_module(module)
        if hasattr(command, "__path__"):  # a package: its command is the module of the same name
            command = importlib.import_module(f"{module}.{module.rpartition('.')[2]}")
        parser = getattr(command, "parser", None) or command._parser
        parser().parse_args(options)  # an unknown option ends the test with SystemExit


def test_steps_run_from_source_to_backtest(plan: list[demo.DemoStep]) -> None:
    names = [step.arguments[1].rsplit(".", 1)[1] for step in plan]
    assert names == ["corpus", "label", "embed", "train", "kappa", "backtest"]


def test_a_missing_label_table_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.demo", "--out", str(tmp_path), "--labels", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "none: no such table; kilowait lab label makes one" in done.stderr
    assert done.stdout == ""


def test_a_step_that_fails_ends_the_demo_with_its_number(tmp_path: Path) -> None:
    labels = tmp_path / "labels.parquet"
    labels.write_text("not a table")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "mine.txt").write_text("keep me")
    command = [sys.executable, "-m", "pipelines.demo", "--out", str(tmp_path), "--labels", str(labels)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert "step 1 ended with exit code 2" in done.stderr
    assert (tmp_path / "corpus" / "mine.txt").read_text() == "keep me"


@pytest.mark.parametrize("prefix", ["", "kilowait."])
def test_steps_are_started_under_the_name_that_the_demo_was_loaded_by(prefix: str) -> None:
    code = f"from {prefix}pipelines import demo; "
    code += "print(*(step.arguments[1] for step in demo.steps(demo.parser().parse_args([]))), demo.COMMITTED_LABELS)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    *modules, labels = done.stdout.split()
    expected = ["pipelines.corpus", "pipelines.label", "pipelines.embed", "pipelines.train", "tuning.kappa"]
    assert modules == [f"{prefix}{name}" for name in [*expected, "pipelines.backtest"]]
    assert Path(labels) == ROOT / "data" / "cpu" / "labels.parquet"
