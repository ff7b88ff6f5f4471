"""python -m pipelines.train on a world whose truth is known."""

import csv
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from kilowait.core.jobs import Provenance
from kilowait.files.columns import LABELS, RESIDUALS
from kilowait.files.parquet import read_table, table, write_table
from kilowait.lab.evaluate import baselines
from kilowait.lab.evaluate.cross_validation import Inputs, ModelAnswer, out_of_fold
from kilowait.lab.evaluate.dataset import embedding_keys, read_embeddings, read_study
from kilowait.predict.probe import kernel_ridge
from kilowait.predict.probe.bundle import load
from kilowait.predict.probe.probe import ProbeConfig, Rows
from kilowait.predict.splits import folds
from pipelines import train
from pipelines.evaluate.recipes import QUICK, parse_recipes
from tests.support.probe_world import KEY, NUMBERS, SLOWDOWN
from tests.support.train_command import train_on


def accuracy_of(out, **wanted):
    rows = json.loads((out / "accuracy.json").read_text())["rows"]
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def test_the_default_probe_beats_the_baselines_where_the_truth_is_in_the_embedding(world, tmp_path, capsys):
    """Labels carry 2% noise and a spread of 4%: the probe comes near the floor of 2%, an average cannot."""
    assert train_on(world, tmp_path, "--quick", "--bundle-out", str(tmp_path / "bundle")) == 0
    for split in ("9:1 by script", "cv by script", "cv by group"):
        whole = {"metric": "runtime_s", "split": split, "device_type": "all", "family": "all"}
        rows = {row["model"]: row for row in accuracy_of(tmp_path, **whole)}
        assert set(rows) == {*QUICK, "noise floor"}
        assert rows["noise floor"]["median_ape"] == pytest.approx(0.02)
        assert rows["default"]["median_ape"] < 0.04
        assert rows["mean"]["median_ape"] > 0.3
        assert rows["default"]["r2_log"] > 0.99
        assert rows["default"]["n"] == (12 if split.startswith("9:1") else 120)
    text = capsys.readouterr().out
    assert "left out of the accuracy tables: energy_j (cpu-1: estimated, cpu-2: estimated; not measured)" in text
    assert "noise floor" in text
    bundle = load(tmp_path / "bundle")
    assert list(bundle.metrics) == ["runtime_s", "energy_j", "carbon_g"]
    assert bundle.accuracy["rows"][0]["model"] == "default"


def test_estimated_energy_supports_no_claim_but_has_a_probe(world, tmp_path):
    assert train_on(world, tmp_path, "--recipes", "mean,default", "--bundle-out", str(tmp_path / "b")) == 0
    assert not accuracy_of(tmp_path, metric="energy_j")
    residuals = read_table(tmp_path / "residuals.parquet", RESIDUALS)
    assert set(residuals["metric"].to_pylist()) == {"runtime_s", "carbon_g"}
    assert json.loads((tmp_path / "accuracy.json").read_text())["left_out"].keys() == {"energy_j"}
    assert dict(load(tmp_path / "b").metrics["energy_j"].provenance) == {"cpu-1": "estimated", "cpu-2": "estimated"}


def test_a_further_metric_column_is_a_further_probe(world, tmp_path):
    """carbon_g is 3 g a second of true run time, and nothing in the code knows of it."""
    assert train_on(world, tmp_path, "--recipes", "default", "--bundle-out", str(tmp_path / "b")) == 0
    bundle = load(tmp_path / "b")
    vectors = read_embeddings(world / "embeddings", [KEY, NUMBERS], read_study(world / "labels.parquet").scripts)
    x = torch.cat([vectors[KEY], vectors[NUMBERS]], dim=1)
    ratio = bundle.metrics["carbon_g"].predict(x) / bundle.metrics["runtime_s"].predict(x)
    assert ratio.median().item() == pytest.approx(3, rel=0.01)
    assert accuracy_of(tmp_path, metric="carbon_g", device_type="all", family="all")[0]["median_ape"] < 0.04


def test_residuals_are_out_of_fold_and_tables_cover_devices_and_families(world, tmp_path):
    assert train_on(world, tmp_path, "--recipes", "default") == 0
    residuals = read_table(tmp_path / "residuals.parquet", RESIDUALS).to_pylist()
    runtime = [row for row in residuals if row["metric"] == "runtime_s"]
    assert len(runtime) == 120
    assert len({(row["content_hash"], row["device_type"]) for row in runtime}) == 120
    with (tmp_path / "accuracy_by_device.csv").open() as file:
        assert {row["device_type"] for row in csv.DictReader(file)} == {"cpu-1", "cpu-2"}
    with (tmp_path / "accuracy_by_family.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["model"] == "default" and r["split"] == "cv by script"]
        assert [(r["family"], r["n"]) for r in rows if r["metric"] == "runtime_s"] == [
            (f"f{i}", "40") for i in range(3)
        ]


def test_the_papers_recipe_runs_beside_the_default(world, tmp_path, monkeypatch):
    paper = ProbeConfig.paper()
    short = replace(paper, network=replace(paper.network, max_epochs=2))
    monkeypatch.setattr(ProbeConfig, "paper", lambda: short)
    assert train_on(world, tmp_path, "--recipes", "paper,default") == 0
    models = {row["model"] for row in accuracy_of(tmp_path, split="9:1 by script")}
    assert models == {"paper", "default", "noise floor"}


def test_no_label_of_a_tested_script_or_group_reaches_training(world):
    """A recipe that remembers its training labels finds none of the tested ones."""
    study = read_study(world / "labels.parquet")
    inputs = Inputs(study=study, embeddings={}, texts=())
    for of in (study.scripts, study.groups):
        keys = np.array(study.row_keys(of))

        def memorise(inputs, metric, train, keys=keys):
            found = [[1.0 + (key in set(keys[mask])) for key in keys] for mask in train]
            return [ModelAnswer(predicted=np.array(one)) for one in found]

        assert out_of_fold(memorise, inputs, "runtime_s", folds(list(keys), 5, 0)).tolist() == [1.0] * 120


def test_a_killed_run_resumes_from_its_finished_evaluations(world, tmp_path, monkeypatch):
    assert train_on(world, tmp_path, "--recipes", "mean") == 0
    first = (tmp_path / "accuracy.json").read_text()
    asked = []
    monkeypatch.setattr(train, "out_of_fold", lambda *args: asked.append(args))
    assert train_on(world, tmp_path, "--recipes", "mean") == 0
    assert asked == []
    assert (tmp_path / "accuracy.json").read_text() == first


def test_missing_embeddings_are_counted_and_the_remedy_named(world, tmp_path, capsys):
    assert train_on(world, tmp_path, "--recipes", "default@mean:7:raw") == 2
    message = capsys.readouterr().err
    assert "60 of 60 labelled scripts have no vector for smollm2-135m@0.1.2:mean:7:raw" in message
    assert "kilowait lab embed" in message


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--recipes", "woods"], "'woods' is none of mean"),
        (["--recipes", "mean,forest"], "forest read dry runs; compare them with kilowait lab evaluate"),
        (["--features", "mean:x:raw"], "no feature key"),
        (["--folds", "99"], "99 folds"),
    ],
)
def test_mistakes_exit_with_2_and_say_so(world, tmp_path, capsys, more, message):
    assert train_on(world, tmp_path, *more) == 2
    assert message in capsys.readouterr().err


def test_the_bag_of_words_asks_for_the_corpus(world, tmp_path, capsys):
    options = ["--labels", str(world / "labels.parquet"), "--embeddings", str(world / "embeddings")]
    assert train.main([*options, "--out", str(tmp_path), "--recipes", "bag"]) == 2
    assert "--corpus is needed" in capsys.readouterr().err


def test_a_missing_label_trains_and_tests_nothing(world, tmp_path):
    labels = pq.read_table(world / "labels.parquet").select(LABELS.names).to_pylist()
    labels[0]["energy_j"] = None
    labels[1]["runtime_s"] = None
    write_table(table(labels, LABELS), tmp_path / "l.parquet")
    study = read_study(tmp_path / "l.parquet")
    (recipe,) = parse_recipes("mean", features=None, seed=0, device="cpu")
    fold = folds(study.row_keys(study.scripts), 3, 0)
    got = out_of_fold(recipe.recipe, Inputs(study=study, embeddings={}, texts=()), "runtime_s", fold)
    assert np.flatnonzero(np.isnan(got)).tolist() == [1]


def test_labels_say_how_they_were_had(world, tmp_path):
    study = read_study(world / "labels.parquet")
    assert study.provenance["runtime_s"]["cpu-1"] == Provenance.MEASURED
    assert study.provenance["energy_j"]["cpu-2"] == Provenance.ESTIMATED
    rows = pq.read_table(world / "labels.parquet").drop_columns(["carbon_provenance"])
    write_table(rows, tmp_path / "unstated.parquet")
    assert not read_study(tmp_path / "unstated.parquet").measured["carbon_g"].any()


def test_embedding_keys_are_those_of_every_shard(world):
    assert embedding_keys(world / "embeddings") == ["smollm2-135m@0.1.2:last:30:raw", KEY, NUMBERS]


def two_scripts(x: torch.Tensor) -> Rows:
    """Scripts 0 and 1 took 1 s and 100 s on type 0; script 0 took 4 s on type 1, where script 1 never ran."""
    return Rows(
        x=x,
        script=torch.tensor([0, 1, 0]),
        device=torch.tensor([0, 0, 1]),
        y=torch.tensor([1.0, 100.0, 4.0]),
        keys=torch.tensor([0, 1]),
    )


def test_baselines_by_hand():
    data = two_scripts(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    torch.testing.assert_close(baselines.geometric_mean(data, 2), torch.tensor([10.0, 4.0]))
    near = baselines.nearest(data, torch.tensor([[0.9, 0.2], [0.1, 0.8]]), 2)
    torch.testing.assert_close(near, torch.tensor([[1.0, 4.0], [100.0, 4.0]]))


def test_the_bag_counts_words_of_the_training_texts_alone():
    """`a` and `b` are in two training texts; `7` is in one, `new` in none."""
    bag = baselines.bag_of_words(["a b 7", "a b"], ["a a a", "b new 7", "new"])
    assert bag.shape == (3, 2)
    torch.testing.assert_close(bag, torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))


def test_a_bag_of_words_learns_what_a_word_costs():
    """`heavy` makes a script 20 times as long, on both types."""
    texts = [f"import x{i % 4}\n{'heavy' if i % 2 else 'light'}(data)" for i in range(40)]
    y = torch.tensor([20.0 if i % 2 else 1.0 for i in range(40)])
    bag = baselines.bag_of_words(texts[:30], texts)
    data = Rows(
        x=bag[:30],
        script=torch.arange(30).repeat(2),
        device=torch.arange(2).repeat_interleave(30),
        y=torch.cat([y[:30], SLOWDOWN * y[:30]]),
        keys=torch.arange(30),
    )
    got = baselines.words_ridge(data, bag[30:], 2)
    torch.testing.assert_close(got, torch.stack([y[30:], SLOWDOWN * y[30:]], 1), rtol=0.1, atol=0)
    assert kernel_ridge.KernelConfig().kind == "linear"
