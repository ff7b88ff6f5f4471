"""python -m pipelines.evaluate on a small corpus whose truth is known."""

import csv
import json
import shutil

import numpy as np
import pytest

from kilowait.core.errors import InputError
from kilowait.files.columns import HELD_OUT, LABELS
from kilowait.files.parquet import read_table, table, write_table
from pipelines.evaluate import evaluate
from pipelines.evaluate.error_summary import KEYS
from pipelines.evaluate.inputs import load, read_corpus
from pipelines.evaluate.recipes import parse_recipes
from tests.support.probe_world import RELATIVE_TIME


def scores(capsys, *arguments):
    assert evaluate.main([*map(str, arguments), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    return json.loads(captured.out)


def test_json_is_one_object_with_every_key_for_every_device_type(corpus, capsys):
    found = scores(capsys, "--dataset", "kernelbench", "--corpus", corpus, "--recipes", "default")
    assert found.keys() == {"devices", "overall"}
    assert found["devices"].keys() == RELATIVE_TIME.keys()
    for cell in (*found["devices"].values(), found["overall"]):
        assert cell.keys() == {*KEYS, "over_1ms"}
        assert cell["over_1ms"].keys() == set(KEYS)
        assert 0 < cell["over_1ms"]["n"] < cell["n"]
    overall = found["overall"]
    assert overall["n"] == 180
    assert overall["r2_log"] > 0.8
    assert overall["mdape"] < 0.3
    assert 0.85 < overall["coverage90"] <= 1
    # 3.29 standard deviations of 0.2, in log10, and something for what the probe does not know
    assert 3.29 * 0.2 / np.log(10) * 0.8 < overall["width90"] < 1.5


def test_the_same_seed_gives_the_same_numbers_and_another_seed_other_folds(corpus, capsys):
    command = ("--dataset", "kernelbench", "--corpus", corpus, "--recipes", "default", "--folds", "4")
    first = scores(capsys, *command)
    assert scores(capsys, *command) == first
    assert scores(capsys, *command, "--seed", "1") != first
    assert scores(capsys, *command, "--by", "program") != first


def test_tables_stand_beside_the_baselines_and_everything_is_written(corpus, tmp_path, capsys):
    options = ["--dataset", "kernelbench", "--corpus", str(corpus), "--folds", "4", "--out", str(tmp_path)]
    assert evaluate.main([*options, "--recipes", "default,mean,nearest,bag,neuralpower"]) == 0
    text = capsys.readouterr().out
    for words in ("4-fold by group", "neuralpower", "over 1 ms", "Which of A100 and A6000 is faster", "majority"):
        assert words in text
    found = json.loads((tmp_path / "evaluation.json").read_text())["sections"]["recipes"]
    assert list(found) == ["default", "mean", "nearest", "bag", "neuralpower"]
    assert found["default"]["families"].keys() == {"f0", "f1", "f2"}
    assert found["neuralpower"]["overall"]["mdape"] < 0.25
    assert found["mean"]["overall"]["mdape"] > 0.3
    choice = found["default"]["choice"]["all"]
    assert (choice["picks"]["n"], choice["majority"]["balanced"]) == (60, 0.5)
    assert choice["majority"]["right"] == pytest.approx(2 / 3, abs=0.05)
    with (tmp_path / "evaluation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {r["slice"] for r in rows} == {"overall", "device", "family"}
    held = read_table(tmp_path / "predictions.parquet", HELD_OUT).to_pylist()
    assert len(held) == 5 * 180
    assert all(row["low"] <= row["predicted"] <= row["high"] for row in held)
    page = (tmp_path / "evaluation.html").read_text()
    assert "data:image/svg+xml" in page
    assert "modelled" in page


def test_coverage_and_error_of_the_json_are_those_of_the_predictions_it_wrote(corpus, tmp_path, capsys):
    found = scores(capsys, "--dataset", "kernelbench", "--corpus", corpus, "--recipes", "mean", "--out", tmp_path)
    rows = read_table(tmp_path / "predictions.parquet", HELD_OUT).to_pandas()
    rows = rows[rows["device_type"] == "T4"]
    t4 = found["devices"]["T4"]
    assert t4["coverage90"] == pytest.approx(rows.measured.between(rows.low, rows.high).mean())
    assert t4["width90"] == pytest.approx(np.log10(rows.high / rows.low).mean())
    assert t4["mdape"] == pytest.approx(((rows.predicted - rows.measured).abs() / rows.measured).median())
    assert t4["over_1ms"]["n"] == (rows.measured > 1e-3).sum()


def test_recipes_are_compared_with_the_first_on_the_same_labels(corpus, tmp_path, capsys):
    options = ["--dataset", "kernelbench", "--corpus", str(corpus), "--folds", "3", "--by", "family"]
    recipes = "operations,ridge@run,mean"
    assert evaluate.main([*options, "--recipes", recipes, "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "3-fold by family" in text
    assert "more than operations" in text
    found = json.loads((tmp_path / "evaluation.json").read_text())["sections"]["against"]
    assert (found["operations"]["more"], found["operations"]["n"]) == (0.0, 180)
    rows = read_table(tmp_path / "predictions.parquet", HELD_OUT).to_pandas()
    error = np.abs(np.log(rows.predicted / rows.measured)).groupby(rows.model).mean()
    for name in ("ridge@run", "mean"):
        assert found[name]["error"] == pytest.approx(error[name])
        assert found[name]["more"] == pytest.approx(error[name] - error["operations"])
        assert found[name]["low"] <= found[name]["more"] <= found[name]["high"]
    assert found["mean"]["low"] > 0
    families = rows[rows.model == "operations"].groupby("family").predicted.count()
    assert families.sum() == 180


def test_device_types_can_be_looked_at_alone(corpus, capsys):
    """A recipe that has a model a device type says the same of a type whether there are others or not."""
    command = ("--dataset", "kernelbench", "--corpus", corpus, "--recipes", "mean")
    whole, alone = scores(capsys, *command), scores(capsys, *command, "--devices", "T4")
    assert alone["devices"].keys() == {"T4"}
    assert alone["devices"]["T4"]["mdape"] == whole["devices"]["T4"]["mdape"]


def test_families_and_device_types_can_be_left_out(corpus, capsys):
    """A new type is predicted with the mean of the others: the T4 at 1 to 1.4 A100 times where 5 are right."""
    command = ("--dataset", "kernelbench", "--corpus", corpus, "--recipes", "default", "--leave-out")
    assert scores(capsys, *command, "family")["overall"]["n"] == 180
    left = scores(capsys, *command, "device", "--folds", "3")["devices"]
    assert left["A6000"]["mdape"] < left["T4"]["mdape"]
    assert left["T4"]["mdape"] == pytest.approx(1 - 1.2 / 5, abs=0.1)


def test_anchored_predictions_use_the_programs_own_times_on_other_types(corpus, capsys):
    command = ("--dataset", "kernelbench", "--corpus", corpus, "--leave-out", "device", "--anchored")
    anchored = scores(capsys, *command, "--recipes", "anchor")["devices"]["A6000"]
    assert anchored["spearman"] > 0.7
    assert anchored["coverage90"] is not None


def test_one_corpus_trains_and_another_is_tested_without_what_they_share(corpus, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(corpus, other)
    labels = read_table(other / "labels.parquet", LABELS).to_pylist()
    kept = [row for row in labels if row["group"] in {f"g{i}" for i in range(8)}]
    write_table(table(kept, LABELS), other / "labels.parquet")
    recipes = parse_recipes("mean", features=None, seed=0, device="cpu")
    data = load([read_corpus(corpus, None), read_corpus(other, None)], recipes)
    study = data.inputs.study
    assert (data.dropped, int(data.tested.sum())) == (48, 48)
    groups = np.array(study.row_keys(study.groups))
    assert not set(groups[data.tested]) & set(groups[~data.tested])
    assert not data.new_types
    found = scores(capsys, "--train", corpus, "--test", other, "--recipes", "default")
    assert found["overall"]["n"] == 48
    assert found["overall"]["r2_log"] > 0.8
    (other / "labels.parquet").unlink()
    write_table(table([{**row, "device_type": "V100"} for row in kept], LABELS), other / "labels.parquet")
    assert load([read_corpus(corpus, None), read_corpus(other, None)], recipes).new_types
    assert scores(capsys, "--train", corpus, "--test", other)["devices"]["V100"]["n"] == 48
    with pytest.raises(InputError, match="nothing to learn from"):
        load([read_corpus(other, None), read_corpus(corpus, None)], recipes)


def test_a_machine_that_became_slower_is_allowed_for_by_programs_measured_again(corpus, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(corpus, other)
    labels = read_table(corpus / "labels.parquet", LABELS).to_pylist()
    tested = [row for row in labels if row["group"] in {"g1", "g2"}]
    others = [row for row in labels if row["group"] not in {"g1", "g2"}]
    (other / "labels.parquet").unlink()
    write_table(table(others, LABELS), tmp_path / "train.parquet")
    slow = {"A100": 3.0, "A6000": 5.0, "T4": 0.25}
    for name, factors, rows in (("plain", dict.fromkeys(slow, 1.0), tested), ("slow", slow, tested)):
        changed = [{**row, "runtime_s": row["runtime_s"] * factors[row["device_type"]]} for row in rows]
        write_table(table(changed, LABELS), tmp_path / f"{name}.parquet")
    some = [row for row in others if row["group"] in {"g7", "g8", "g9"}]
    odd = some[0]["content_hash"]  # one of six that was slow for another reason does not move the median
    again = [
        {**row, "runtime_s": row["runtime_s"] * slow[row["device_type"]] * (9 if row["content_hash"] == odd else 1)}
        for row in some
    ]
    write_table(table(again, LABELS), tmp_path / "again.parquet")
    command = [
        "--train",
        corpus,
        "--train-labels",
        tmp_path / "train.parquet",
        "--recipes",
        "mean",
        "--test",
        other,
    ]
    plain = scores(capsys, *command, "--test-labels", tmp_path / "plain.parquet")
    raw = scores(capsys, *command, "--test-labels", tmp_path / "slow.parquet")
    even = [*command, "--test-labels", tmp_path / "slow.parquet", "--again", tmp_path / "again.parquet"]
    assert raw["overall"]["mdape"] != pytest.approx(plain["overall"]["mdape"])
    assert scores(capsys, *even)["overall"]["mdape"] == pytest.approx(plain["overall"]["mdape"])
    assert evaluate.main([str(part) for part in even]) == 0
    captured = capsys.readouterr()
    assert "A6000: 6 programs measured again took 5.000 times as long (median; 5.000 to 45.000)" in captured.err
    assert "another corpus, all programs" in captured.out
    assert "its times over the medians of --again, all programs" in " ".join(captured.out.split())
    assert evaluate.main([str(part) for part in [*even[:-1], tmp_path / "plain.parquet"]]) == 2
    assert "no program of --train was measured again on A100, A6000, T4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--train-labels", "x"], "go with --train DIR --test DIR"),
        (["--devices", "T4,H100"], "--devices H100: not labelled; there are A100, A6000, T4"),
        (["--recipes", "oak"], "'oak' is none of"),
        (["--pair", "A100"], "--pair takes two device types"),
        (["--metric", "energy_j"], "--metric energy_j: no measured label; there are runtime_s"),
        (["--folds", "99"], "99 folds need"),
        (["--anchored"], "give it with --leave-out device"),
        (["--train", "x"], "--train DIR --test DIR go together"),
        (["--labels", "nowhere.parquet"], "nowhere.parquet: not a readable Parquet file"),
    ],
)
def test_mistakes_exit_with_2_and_say_so(corpus, capsys, more, message):
    options = ["--dataset", "kernelbench", "--corpus", str(corpus), "--recipes", "mean"]
    assert evaluate.main([*options, *more]) == 2
    assert message in capsys.readouterr().err


def test_what_is_missing_is_named(corpus, tmp_path, capsys):
    assert evaluate.main(["--dataset", "ours"]) == 2
    assert "with --corpus DIR" in capsys.readouterr().err
    foreign = [{"content_hash": "0" * 64, "device_type": "A100", "runtime_s": 1.0}]
    write_table(table(foreign, LABELS), tmp_path / "foreign.parquet")
    options = ["--dataset", "ours", "--corpus", str(corpus), "--labels", str(tmp_path / "foreign.parquet")]
    assert evaluate.main(options) == 2
    assert "none of its 1 labels is of a program in" in capsys.readouterr().err


def test_help_says_what_coverage_and_width_are(capsys):
    with pytest.raises(SystemExit):
        evaluate.main(["--help"])
    text = capsys.readouterr().out
    assert "mean over the rows of log10(upper end / lower end)" in text
    assert "kilowait lab evaluate --train" in text
