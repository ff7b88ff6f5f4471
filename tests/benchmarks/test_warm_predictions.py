"""Asked twice, the second time with another source at the same path."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks import warm_predictions
from benchmarks.asked_predictions import Answer

SCRIPT = "import torch\nprint(torch.ones(2))\n"


@pytest.fixture
def checkouts(tmp_path: Path) -> Path:
    folder = tmp_path / "checkouts" / "someone" / "thing" / "examples"
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(SCRIPT)
    (folder / "other.py").write_text("import jax\n")
    return tmp_path / "checkouts"


def test_the_second_answer_is_for_a_changed_script_at_the_same_path(
    checkouts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    asked: list[tuple[Path, str, str]] = []

    def ask(folder: Path, entrypoint: str, *_: Any, warm: bool) -> Answer:
        assert warm
        asked.append((folder, (folder / entrypoint).read_text(), os.environ["XDG_RUNTIME_DIR"]))
        return Answer(state="whole", steps=5, flops=float(len(asked)), seconds=9.0 / len(asked))

    monkeypatch.setattr(warm_predictions, "ask", ask)
    monkeypatch.setattr(warm_predictions, "_standing_by", lambda _: None)
    row = {"repository": "someone/thing", "folder": "examples", "arguments": []}
    jobs = tmp_path / "jobs.json"
    jobs.write_text(json.dumps([{**row, "name": name, "entrypoint": f"{name}.py"} for name in ("train", "other")]))
    words = ["--jobs", str(jobs), "--checkouts", str(checkouts), "--json", str(tmp_path / "out.json")]
    assert warm_predictions.main(words) == 0
    (first, text, runtime), (again, changed, runtime_again) = asked
    assert (first, runtime) == (again, runtime_again)
    assert (text, changed) == (SCRIPT, SCRIPT + "\n# changed\n")
    assert (checkouts / "someone/thing/examples/train.py").read_text() == text
    record = json.loads((tmp_path / "out.json").read_text())
    assert (record["jobs"], record["medians"]["cold_s"], record["medians"]["second_s"]) == (1, 9.0, 4.5)
    assert record["rows"][0]["same"] is False
    assert "differs" in capsys.readouterr().out
