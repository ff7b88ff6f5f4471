"""Twins: other words, equal work."""

import ast
import itertools
import random

import pyarrow.parquet as pq
import pytest

from kilowait.core.errors import InputError
from kilowait.files.columns import TWINS
from kilowait.files.parquet import read_table
from kilowait.lab.corpus.disguise import DISGUISES, disguise
from kilowait.lab.corpus.generate import GeneratedScript, generate
from kilowait.lab.corpus.running import last_number, results
from kilowait.lab.corpus.twins import Twin, restyled, twins
from kilowait.predict.dryrun.record import Completeness, Kind
from pipelines import corpus
from pipelines import twins as command
from tests.support.operation_world import dry_run_of, operation

HELLO = '''"""A docstring."""

import torch


def scale(x):
    return x * 3


def double(x):
    return scale(x) + 2


print(f"result {double(torch.ones(2)).sum().item():.4f}")
'''


@pytest.fixture(scope="module")
def scripts() -> list[GeneratedScript]:
    return list(generate(520, 0))


@pytest.fixture(scope="module")
def made() -> list[Twin]:
    return list(twins(60, 0, 520))


def test_twins_are_many_even_over_families_and_repeatable(made):
    assert [t.text for t in itertools.islice(twins(60, 0, 520), 5)] == [t.text for t in made[:5]]
    assert len({t.content_hash for t in made}) == len({t.original for t in made}) == 60
    assert len({t.family for t in made}) == 33
    assert {t.text for t in itertools.islice(twins(60, 1, 520), 10)} & {t.text for t in made} == set()
    worn = [len(t.disguises) for t in made]
    assert set(worn) == {0, 2, 3, 4}
    assert {name for t in made for name in t.disguises} == set(DISGUISES)


def test_a_twin_keeps_its_originals_work_and_takes_another_style(made, scripts):
    originals = {script.content_hash: script for script in scripts}
    for twin in made:
        original = originals[twin.original]
        assert twin.original_text == original.text
        assert dict(twin.hyperparameters) == dict(original.hyperparameters)
        assert twin.style != original.style
        ast.parse(twin.text)


def test_twins_print_the_result_of_their_originals(made, scripts):
    seconds = {script.content_hash: script.seconds for script in scripts}
    pairs = sorted(made, key=lambda twin: seconds[twin.original])[:6]
    said = results({f"{t.name} {side}": text for t in pairs for side, text in (("a", t.text), ("b", t.original_text))})
    for twin in pairs:
        a, b = said[f"{twin.name} a"], said[f"{twin.name} b"]
        assert a == b == last_number(a), (twin.name, twin.disguises)


def test_each_disguise_changes_the_text_and_not_the_result():
    texts = {f"{name} {seed}": disguise(HELLO, [name], random.Random(seed)) for name in DISGUISES for seed in range(9)}
    for name in DISGUISES:
        assert any(text != HELLO for key, text in texts.items() if key.startswith(name)), name
        assert disguise(HELLO, [name], random.Random(3)) == texts[f"{name} 3"]
    assert set(results(texts).values()) == {"10.0000"}


def test_the_generators_restyling_is_the_same_program_in_the_asked_style():
    twin = next(t for t in twins(30, 0, 66) if t.family == "tabular_regression")
    (text,) = restyled([twin.original_name], ["flat"], 66)
    assert text not in (twin.text, twin.original_text)
    assert len(set(results({"a": text, "b": twin.original_text}).values())) == 1
    with pytest.raises(InputError, match=r"named 'x\.py'"):
        restyled(["x.py"], ["flat"], 66)


def test_the_measured_corpus_is_still_generated_byte_for_byte(scripts):
    labelled = set(pq.read_table("data/cpu/labels.parquet")["content_hash"].to_pylist())
    assert {script.content_hash for script in scripts} == labelled


def test_the_command_writes_a_corpus_with_originals_and_says_what_ran_alike(tmp_path, capsys):
    assert corpus.main(["--out", str(tmp_path / "corpus"), "--count", "40"]) == 0
    arguments = ["--corpus", str(tmp_path / "corpus"), "--out", str(tmp_path / "twins"), "--count", "2", "--run"]
    assert command.main(arguments) == 0
    assert "same result as the original, run on one thread: 2 of 2" in capsys.readouterr().out
    rows = read_table(tmp_path / "twins" / "manifest.parquet", TWINS).to_pylist()
    assert [row["same_result"] for row in rows] == [True, True]
    known = {path.name for path in (tmp_path / "corpus").glob("*.py")}
    assert {row["original_path"] for row in rows} <= known
    assert all((tmp_path / "twins" / row["path"]).stat().st_size == row["source_bytes"] for row in rows)


def test_another_corpus_or_too_many_twins_are_refused(tmp_path, capsys):
    assert corpus.main(["--out", str(tmp_path / "corpus"), "--count", "34", "--seed", "5"]) == 0
    where = ["--corpus", str(tmp_path / "corpus"), "--out", str(tmp_path / "twins")]
    assert command.main([*where, "--count", "2"]) == 2
    assert "--corpus-seed" in capsys.readouterr().err
    assert command.main([*where, "--count", "50", "--corpus-seed", "5"]) == 2
    assert "1 to 34" in capsys.readouterr().err
    assert command.main([*where, "--count", "2", "--corpus-seed", "5"]) == 0


def test_dry_runs_of_pairs_are_compared_operation_by_operation(tmp_path, capsys, monkeypatch):
    """Three pairs: equal in another order, one call more (5 of 4 FLOPs), and one whose twin was cut short."""

    def made(corpus_folder, sources, target):
        runs = {}
        for i, source in enumerate(sources):
            ops = [operation(Kind.GEMM, 2.0, 1.0), operation(Kind.COPY, 2.0, 1.0)]
            if corpus_folder.name == "twins":
                ops = [ops[::-1], [ops[0], operation(Kind.COPY, 2.0, 1.0, count=1.5)], ops][i]
            whole = Completeness.PARTIAL if corpus_folder.name == "twins" and i == 2 else Completeness.WHOLE
            runs[source.content_hash] = dry_run_of(source.content_hash, ops, whole)
        return runs

    monkeypatch.setattr(command, "dry_runs", made)
    assert corpus.main(["--out", str(tmp_path / "corpus"), "--count", "34"]) == 0
    where = ["--corpus", str(tmp_path / "corpus"), "--out", str(tmp_path / "twins")]
    assert command.main([*where, "--count", "3", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "of 3 pairs 2 whole, 1 of them the same operations, each as often; FLOPs differ by 25.00% at most" in said
