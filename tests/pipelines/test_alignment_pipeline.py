"""python -m pipelines.alignment end to end with a stand-in for the language model: vectors that count words."""

import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from kilowait.core.errors import InputError
from kilowait.files.columns import CORPUS, EMBEDDINGS, LABELS, TWINS
from kilowait.files.parquet import read_table, table, write_table
from kilowait.lab.evaluate.cross_validation import ModelAnswer
from kilowait.lab.evaluate.dataset import Dataset, read_study
from kilowait.predict.dryrun.record import Kind
from kilowait.predict.embed.embedding import Embedding
from kilowait.predict.embed.features import DEFAULT_FEATURES
from kilowait.predict.splits import folds
from kilowait.program.source import content_hash, read_source
from pipelines import corpus, twins
from pipelines.alignment import alignment, vectors
from pipelines.alignment.methods import by_recipe, with_twins
from pipelines.alignment.twin_scores import TwinTrial, errors, mean_method, neighbourhood
from tests.support.operation_world import dry_run_of, operation

WIDTH = 24


class Words:
    """Not a language model: how often words fall into each of a few bins."""

    def __init__(self, threads: int = 1) -> None:
        pass

    def embed(self, source, configurations):
        vectors = [words(source.text, salt.key) for salt in configurations]
        return [
            Embedding(content_hash=source.content_hash, features=c.key, tokens=1, windows=1, vector=v)
            for c, v in zip(configurations, vectors, strict=True)
        ]


def words(text: str, salt: str) -> np.ndarray:
    counts = np.zeros(WIDTH, dtype=np.float32)
    for word in re.findall(r"\w+", text):
        counts[int(hashlib.sha256(f"{salt} {word}".encode()).hexdigest(), 16) % WIDTH] += 1
    return np.log1p(counts)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aligned")
    assert corpus.main(["--out", str(folder / "corpus"), "--count", "66"]) == 0
    assert twins.main(["--corpus", str(folder / "corpus"), "--out", str(folder / "twins"), "--count", "6"]) == 0
    rows = read_table(folder / "corpus" / "manifest.parquet", CORPUS).to_pylist()
    labels, vectors = [], []
    for i, row in enumerate(rows):
        common = {name: row[name] for name in ("content_hash", "family", "group", "style")}
        how = {"runtime_provenance": "measured", "energy_provenance": "estimated"}
        times = {"runtime_s": 0.1 + i / 50, "energy_j": 1.0 + i, "spread": 0.02, "runs": 2, "flagged": False}
        labels += [{**common, **how, **times, "device_type": device} for device in ("cpu-1", "cpu-2")]
        source = read_source(folder / "corpus" / row["path"])
        vectors += [
            {"content_hash": row["content_hash"], "features": e.features, "tokens": 1, "windows": 1, "vector": e.vector}
            for e in Words().embed(source, DEFAULT_FEATURES)
        ]
    write_table(table(labels, LABELS), folder / "labels.parquet")
    write_table(table(vectors, EMBEDDINGS), folder / "embeddings" / "part-0.parquet")
    return folder


def command(world, *more: str) -> int:
    given = {"labels": "labels.parquet", "embeddings": "embeddings", "corpus": "corpus", "twins": "twins", "out": "out"}
    paths = [part for name, path in given.items() for part in (f"--{name}", str(world / path))]
    return alignment.main([*paths, "--folds", "2", *more])


def test_the_command_reports_every_form_under_both_splits(world, monkeypatch, capsys):
    monkeypatch.setattr(vectors, "Embedder", Words)
    assert command(world, "--train-normalised") == 0
    report = json.loads((world / "out" / "alignment.json").read_text())["sections"]
    lines = {line["variant"]: line for line in report["variants"]}
    assert len(lines) == 7
    whole = [line for name, line in lines.items() if not name.startswith(" ")]
    assert all(line[split]["n"] == 12 for line in whole for split in ("by work", "by family"))
    apart = [line["by work"]["n"] for name, line in lines.items() if name.startswith(" ")]
    assert sum(apart) == 12
    assert all(line[split]["median_ape"] > 0 for line in lines.values() for split in ("by work", "by family"))
    assert lines["twins as they are"]["distance"] > lines["originals (what alignment aims at)"]["distance"]
    assert lines["restyled by the corpus generator"]["tried"] == 6
    assert len(report["methods"]) == 6
    assert all(line["originals"]["n"] == line["n"] == 12 for line in report["methods"])
    mean = next(line for line in report["methods"] if line["method"] == "mean of each type")
    assert mean["originals"]["median_ape"] == mean["median_ape"]  # it reads neither
    shown = capsys.readouterr().out
    assert "modelled against measured" in shown
    assert "no language model" in (world / "out" / "alignment.html").read_text()
    for name in ("heat.svg", "agreement.svg"):
        assert (world / "out" / name).read_text().startswith("<svg")


def test_what_has_a_vector_is_not_embedded_again(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "Embedder", Words)
    keys = [feature.key for feature in DEFAULT_FEATURES]
    vectors.embed_missing(["a = 1", "b = 2", "a = 1"], keys, tmp_path)
    monkeypatch.setattr(vectors, "Embedder", None)
    vectors.embed_missing(["b = 2", "a = 1"], keys, tmp_path)
    with pytest.raises(TypeError):
        vectors.embed_missing(["c = 3"], keys, tmp_path)


def test_an_endpoint_needs_an_address_and_foreign_twins_are_refused(world, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(vectors, "Embedder", Words)
    assert command(world, "--rewriter", "chat") == 2
    assert "--base-url" in capsys.readouterr().err
    few = read_table(world / "labels.parquet", LABELS).slice(0, 30)
    write_table(few, tmp_path / "few.parquet")
    assert command(world, "--labels", str(tmp_path / "few.parquet")) == 2
    assert "have no label" in capsys.readouterr().err


def study(world) -> Dataset:
    return read_study(world / "labels.parquet")


def test_no_fold_trains_on_the_work_that_it_tests(world):
    one = study(world)
    works = [f"work {i // 2}" for i in range(len(one.scripts))]  # neighbours do the same work
    trial = TwinTrial(study=one, original=np.array([0, 5, 9]), fold=folds(works, 4, 0))
    tested = []
    for mask, rows in trial.splits():
        trained = {works[i] for i in one.script[mask]}
        assert not trained & {works[trial.original[row]] for row in rows}
        tested += rows.tolist()
    assert sorted(tested) == [0, 1, 2]


def test_the_mean_is_that_of_the_other_folds_and_the_nearest_is_in_them(world):
    one = study(world)
    trial = TwinTrial(study=one, original=np.array([3, 57]), fold=folds(one.scripts, 3, 0))
    predicted = trial.predict(mean_method(trial))
    y = one.metrics["runtime_s"]
    for at, row in enumerate(trial.original):
        others = trial.fold[one.script] != trial.fold[row]
        expected = [np.exp(np.log(y[others & (one.device == d)]).mean()) for d in (0, 1)]
        assert predicted[at] == pytest.approx(expected, rel=1e-5)
    x = torch.randn(len(one.scripts), 40, generator=torch.Generator().manual_seed(0))
    near = neighbourhood(trial, x, x[trial.original], one.scripts)
    for at, row in enumerate(trial.original):
        assert trial.fold[one.scripts.index(near.nearest[at])] != trial.fold[row]


def test_dry_runs_are_asked_of_originals_and_twins_and_learn_from_neither(world):
    one = study(world)
    labels = read_table(world / "labels.parquet", LABELS).select(LABELS.names)
    texts = [f"program {i}" for i in range(3)]
    twin = [content_hash(text.encode()) for text in texts]
    original = np.array([4, 0, 20])
    known = {script: f"text of {script}" for script in one.scripts}
    by_text = {script: content_hash(text.encode()) for script, text in known.items()}
    hashes = [by_text[script] for script in labels["content_hash"].to_pylist()]
    labels = labels.set_column(0, "content_hash", [hashes])
    renamed = replace(one, scripts=tuple(by_text[script] for script in one.scripts))
    trial = TwinTrial(study=renamed, original=original, fold=folds(one.groups, 3, 0))
    originals = {t: renamed.scripts[o] for t, o in zip(twin, original, strict=True)}
    inputs = with_twins(labels, originals, [*known.values(), *texts], {}, {})
    assert len(inputs.study.scripts) == 66 + 3
    assert len(inputs.study.script) == 2 * 66 + 2 * 3
    for t, o in originals.items():
        rows = [inputs.study.script == inputs.study.scripts.index(name) for name in (t, o)]
        assert [inputs.study.metrics["runtime_s"][r].tolist() for r in rows[:1]] == [
            inputs.study.metrics["runtime_s"][r].tolist() for r in rows[1:]
        ]
    asked = []

    def numbered(given, metric, train):
        asked.extend(train)
        of = [1e3 * (name in twin) + given.study.metrics[metric][i] for i, name in enumerate(names)]
        return [ModelAnswer(predicted=np.array(of))]

    names = inputs.study.row_keys(inputs.study.scripts)
    found = by_recipe(trial, inputs, numbered, twin)
    assert found.originals == pytest.approx(trial.truth)
    assert found.twins == pytest.approx(1e3 + trial.truth)
    for mask in asked:
        trained = {name for name, used in zip(names, mask, strict=True) if used}
        assert not trained & set(twin)
        assert trained
    for (_, tested), mask in zip(trial.splits(), asked, strict=True):
        trained = {name for name, used in zip(names, mask, strict=True) if used}
        assert not trained & {renamed.scripts[original[t]] for t in tested}


def test_equal_dry_runs_of_original_and_twin_give_equal_predictions(world, monkeypatch):
    monkeypatch.setattr(vectors, "Embedder", Words)
    rows = read_table(world / "twins" / "manifest.parquet", TWINS).to_pylist()
    sizes = {row[name]: i for i, row in enumerate(rows) for name in ("original", "content_hash")}

    def made(folder, sources, study):
        """Programs of one product each, 1 to 6 GFLOP for originals and the same for their twins."""
        place = [sizes.get(source.content_hash, 9) for source in sources]
        work = [operation(Kind.GEMM, 1e9 * (1 + i), 1e6, shapes=((100, 100), (100, 100 * (1 + i)))) for i in place]
        return {s.content_hash: dry_run_of(s.content_hash, [one]) for s, one in zip(sources, work, strict=True)}

    monkeypatch.setattr(alignment, "usable_dry_runs", made)
    given = {"labels": "labels.parquet", "embeddings": "embeddings", "corpus": "corpus", "twins": "twins", "out": "out"}
    paths = [part for name, path in given.items() for part in (f"--{name}", str(world / path))]
    args = alignment._parser().parse_args([*paths, "--dry-runs"])
    read = alignment.read_world(args)
    trial = TwinTrial(study=read.study, original=read.original, fold=folds(read.works, 2, 0))
    found = alignment._by_dry_runs(args, read, trial)
    assert found.originals.shape == (6, 2)
    assert np.isfinite(found.originals).all()
    assert found.twins == pytest.approx(found.originals)


def test_errors_are_shares_of_the_measured_value():
    truth = np.array([[1.0, 2.0], [4.0, 8.0]])
    found = errors(truth, truth * [[1.1, 0.9], [1.3, 0.5]])
    assert found["median_ape"] == pytest.approx(0.2)
    assert found["low"] <= 0.2 <= found["high"]
    with pytest.raises(InputError, match="NaN"):
        errors(truth, truth * np.nan)
