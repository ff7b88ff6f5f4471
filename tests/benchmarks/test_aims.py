"""Aims beside the records: each row has a figure of its record, and is met where it lies between the bounds."""

import json
from pathlib import Path

import pytest

from benchmarks import aims
from benchmarks.aims import RESULTS, Aim


@pytest.mark.parametrize(("share", "met"), [(0.0859, "no"), (0.86, "yes"), (0.94, "yes"), (0.95, "no")])
def test_a_figure_between_the_bounds_meets_its_aim(
    share: float, met: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"result": {"x": share}, "provenance": "modelled", "command": "python -m one"}
    (tmp_path / "one.json").write_text(json.dumps(record))
    aim = Aim(what="coverage", record="one", found=lambda result: result["x"], at_least=0.86, at_most=0.94)
    monkeypatch.setattr(aims, "AIMS", (aim, Aim(what="kept back", at_most=3.0, unit=" s", why="nobody knows")))
    found, kept_back = aims.rows(tmp_path)
    assert (found["wanted"], found["met"], found["command"]) == ("86% to 94%", met, "python -m one")
    assert (kept_back["wanted"], kept_back["shown"], kept_back["from"]) == ("≤ 3 s", "-", "nobody knows")


def test_every_aim_with_a_record_has_a_figure_there() -> None:
    rows = aims.rows(RESULTS)
    assert [
        row["aim"] for row in rows if row["met"] == "not shown" and row["from"].endswith(("measured", "modelled"))
    ] == []
    assert len({row["aim"] for row in rows}) == len(rows)
    written = json.loads((RESULTS / "aims.json").read_text(encoding="utf-8"))["result"]["rows"]
    assert written == rows, "records changed: python docs/record.py aims ..."
