"""Training sets of growing size: nested, of whole programs, and never of the tested fold."""

import json
import re

import numpy as np
import pytest

from kilowait.core.errors import InputError
from kilowait.lab.evaluate.dataset import Dataset
from pipelines import curve
from pipelines.curve import training


def study() -> Dataset:
    """Twenty programs on two types, ten folds of two programs."""
    names = tuple(f"p{i:02}" for i in range(20))
    script, device = (index.ravel() for index in np.indices((20, 2)))
    return Dataset(
        scripts=names,
        families=names,
        groups=names,
        device_types=("A100", "T4"),
        script=script,
        device=device,
        metrics={"runtime_s": np.ones(40)},
        provenance={},
        measured={"runtime_s": np.ones(40, dtype=np.bool_)},
        spread=np.zeros(40),
        flagged=np.zeros(40, dtype=np.bool_),
        digest="",
    )


def test_more_programs_include_the_fewer() -> None:
    one = study()
    fold = one.script // 2
    few, many = training(one, fold, 3, seed=0), training(one, fold, 18, seed=0)
    for k, (small, large) in enumerate(zip(few, many, strict=True)):
        assert small.sum() == 2 * 3
        assert large.sum() == 2 * 18
        assert not (small & ~large).any()
        assert not (large & (fold == k)).any()


def test_more_programs_than_there_are() -> None:
    with pytest.raises(InputError, match="--sizes: 19 programs, but the folds that train have 2 to 18"):
        training(study(), study().script // 2, 19, seed=0)


def test_errors_fall_with_programs_and_a_second_run_trains_nothing(corpus, tmp_path, capsys, monkeypatch) -> None:
    command = [
        "--corpus",
        str(corpus),
        "--recipes",
        "mean,default",
        "--folds",
        "3",
        "--by",
        "program",
        "--out",
    ]
    assert curve.main([*command, str(tmp_path), "--sizes", "5,40", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["programs"], row["recipe"]) for row in rows] == [
        (5, "mean"),
        (5, "default"),
        (40, "mean"),
        (40, "default"),
    ]
    assert all(row["n"] == 180 and row["low"] <= row["mdape"] <= row["high"] for row in rows)
    assert rows[3]["r2_log"] > rows[1]["r2_log"]
    written = json.loads((tmp_path / "curve.json").read_text())
    assert written["rows"] == rows
    assert written["split"].startswith("3-fold by program, 60 programs on A100, A6000, T4")
    drawing = (tmp_path / "curve.svg").read_text()
    assert drawing.startswith("<svg")
    assert re.search(r"predictions modelled, labels measured", drawing)
    monkeypatch.setattr("kilowait.predict.probe.probe.fit_probes", None)  # nothing may be trained any more
    assert curve.main([*command, str(tmp_path), "--sizes", "5,40"]) == 0
    table = capsys.readouterr().out
    assert table.count("*") == 3  # the best of each size, and what the star means
    assert f"{rows[3]['mdape']:.1%}" in table


def test_a_device_type_can_be_scored_alone(corpus, capsys) -> None:
    command = ["--corpus", str(corpus), "--recipes", "mean", "--folds", "3", "--sizes", "20", "--device"]
    assert curve.main([*command, "T4"]) == 0
    assert re.search(r"20 +mean +60 ", capsys.readouterr().out)
    assert curve.main([*command, "H100"]) == 2
    assert "there are A100, A6000, T4" in capsys.readouterr().err


def test_the_interval_is_that_of_whole_programs() -> None:
    """Two programs of one error each: medians of draws are 0.1, 0.3 or, when both are drawn, what lies between."""
    low, high = curve._interval(np.array([0.1, 0.1, 0.3, 0.3]), np.array([0, 0, 1, 1]), 0)
    assert (low, high) == (0.1, 0.3)
    assert curve._interval(np.array([0.2, 0.2]), np.array([4, 9]), 0) == (0.2, 0.2)
