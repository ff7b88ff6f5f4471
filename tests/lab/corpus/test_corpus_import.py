"""pipelines.corpus --import kernelbench on a small repository that the test makes itself."""

import csv
import json
import math
import os
import subprocess

import pytest

from kilowait.core.errors import InputError
from kilowait.files.columns import CORPUS, POOLED_LABELS, TIMINGS
from kilowait.files.parquet import read_table, table, write_table
from kilowait.lab.corpus.git_blobs import Blob, read_blobs
from kilowait.lab.corpus.kernelbench import COLUMNS, family
from kilowait.program.source import content_hash
from pipelines import corpus

PROGRAM = """import torch

class Model(torch.nn.Module):
    def forward(self, x):
        return {body}

def get_inputs():
    return [torch.ones({size})]

def get_init_inputs():
    return []
"""
OLD, NEW = PROGRAM.format(body="x.relu()", size=8), PROGRAM.format(body="x.relu()", size=80)
OTHER = PROGRAM.format(body="x @ x", size="4, 4")
HARD = PROGRAM.format(body="x + 1", size=3)
RELU, PRODUCT = "19_ReLU.py", "1_Square_matrix_multiplication_.py"


def git(folder, *arguments):
    identity = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, env=environment)
    return done.stdout.decode().strip()


def commit(folder, files):
    for name, text in files.items():
        path = folder / "bench" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "programs")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Two commits: RELU changes between them; the second has files that are no programs."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q")
    first = commit(folder, {f"level1/{RELU}": OLD, f"level1/{PRODUCT}": OTHER, "level3/1_X.py": HARD})
    broken = {"level1/90_binary.py": b"\0\1", "level1/91_text.py": "class Model: pass\n", "level1/92_no.py": "def ("}
    second = commit(folder, {f"level1/{RELU}": NEW, **broken})
    return folder, first, second


def row(repository, run, problem, mean, commit_id, hardware="Tesla T4", level="level1", **changes):
    path = f"bench/{level}/{problem}"
    try:
        blob = git(repository[0], "rev-parse", f"{commit_id}:{path}")
    except subprocess.CalledProcessError:
        blob = "0" * 40
    values = [run, level, problem, mean, "0.02", hardware, commit_id, path, blob]
    return {**dict(zip(COLUMNS, values, strict=True)), **changes}


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def import_rows(repository, tmp_path, rows, *more, checkout=None):
    timings = write_csv(tmp_path / "timings.csv", rows)
    options = ["--import", "kernelbench", str(checkout or repository[0]), "--timings", str(timings)]
    return corpus.main([*options, "--out", str(tmp_path / "out"), *more])


def rows_of(tmp_path, name, schema):
    return read_table(tmp_path / "out" / name, schema).to_pylist()


def good_rows(repository):
    _, first, second = repository
    return [
        row(repository, "t4", RELU, "2", first),
        row(repository, "t4", PRODUCT, "10", first),
        row(repository, "a6000_one", RELU, "1", first, "NVIDIA RTX A6000"),
        row(repository, "a6000_two", RELU, "4", first, "NVIDIA RTX A6000"),
        row(repository, "a100", RELU, "0.5", second, "NVIDIA A100-SXM4-40GB"),
        row(repository, "t4", "1_X.py", "7", first, level="level3"),
    ]


def test_programs_labels_and_timings_of_a_small_repository(repository, tmp_path, capsys):
    assert import_rows(repository, tmp_path, good_rows(repository)) == 0
    manifest = {r["content_hash"]: r for r in rows_of(tmp_path, "manifest.parquet", CORPUS)}
    texts = {content_hash(text.encode()): text for text in (OLD, NEW, OTHER)}
    assert manifest.keys() == texts.keys()
    for key, program in manifest.items():
        assert (tmp_path / "out" / program["path"]).read_text() == texts[key]
        assert program["entry"] == "forward"
    versions = [manifest[content_hash(text.encode())] for text in (OLD, NEW)]
    assert {v["group"] for v in versions} == {"level1/19_ReLU"}
    assert {v["family"] for v in versions} == {"level1/activation"}
    assert manifest[content_hash(OTHER.encode())]["family"] == "level1/matrix product"
    assert "3 programs and 4 labels of 5 timings" in capsys.readouterr().out


def test_runs_stay_apart_in_timings_and_are_pooled_by_their_geometric_mean_in_labels(repository, tmp_path):
    """1 ms and 4 ms give 2 ms; they differ by 3 / 2.5 of their mean, and that flags the label."""
    assert import_rows(repository, tmp_path, good_rows(repository)) == 0
    timings = rows_of(tmp_path, "timings.parquet", TIMINGS)
    assert sorted(t["run"] for t in timings) == ["a100", "a6000_one", "a6000_two", "t4", "t4"]
    labels = {(r["content_hash"], r["device_type"]): r for r in rows_of(tmp_path, "labels.parquet", POOLED_LABELS)}
    assert {device for _, device in labels} == {"T4", "A6000", "A100"}
    pooled = labels[content_hash(OLD.encode()), "A6000"]
    assert (pooled["runs"], pooled["run"], pooled["flagged"]) == (2, "a6000_one+a6000_two", True)
    assert pooled["runtime_s"] == pytest.approx(0.002)
    assert pooled["spread"] == pytest.approx(1.2)
    alone = labels[content_hash(OTHER.encode()), "T4"]
    assert (alone["runs"], alone["run"], alone["flagged"]) == (1, "t4", False)
    assert (alone["runtime_s"], alone["spread"]) == (pytest.approx(0.01), pytest.approx(0.002))
    assert (alone["energy_j"], alone["energy_provenance"]) == (None, None)
    assert alone["runtime_provenance"] == "measured"


def test_a_bare_repository_and_a_second_import_give_the_same_files(repository, tmp_path):
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(repository[0]), str(bare))
    assert import_rows(repository, tmp_path, good_rows(repository)) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (tmp_path / "out" / ".features").mkdir()
    assert import_rows(repository, tmp_path, good_rows(repository), checkout=bare) == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.is_file()} == before


def test_another_level_is_imported_by_the_same_command(repository, tmp_path):
    assert import_rows(repository, tmp_path, good_rows(repository), "--levels", "3") == 0
    (program,) = rows_of(tmp_path, "manifest.parquet", CORPUS)
    assert (program["content_hash"], program["family"]) == (content_hash(HARD.encode()), "level3/other")


def test_every_row_that_is_left_out_is_counted_with_its_line_and_column(repository, tmp_path, capsys):
    _, first, second = repository
    bad = [
        (row(repository, "a", RELU, "nan", first), "mean"),
        (row(repository, "b", RELU, "0", first), "mean"),
        (row(repository, "c", RELU, "-1", first), "mean"),
        (row(repository, "d", RELU, "inf", first), "mean"),
        (row(repository, "e", RELU, "fast", first), "mean"),
        (row(repository, "f", RELU, "1", first, std="-1"), "std"),
        (row(repository, "g", RELU, "1", first, "Abacus 9"), "hardware"),
        ({**row(repository, "h", RELU, "1", first), "run": ""}, "run"),
        (row(repository, "i", RELU, "1", "f" * 40), "timing_commit"),
        (row(repository, "j", RELU, "1", "--help"), "timing_commit"),
        (row(repository, "k", "77_gone.py", "1", first), "source_path"),
        (row(repository, "l", RELU, "1", first, source_path="bench/level1"), "source_path"),
        (row(repository, "m", RELU, "1", first, source_blob_at_commit="1" * 40), "source_blob_at_commit"),
        (row(repository, "n", "90_binary.py", "1", second), "source_path"),
        (row(repository, "o", "91_text.py", "1", second), "source_path"),
        (row(repository, "p", "92_no.py", "1", second), "source_path"),
        (row(repository, "t4", RELU, "3", first), "run"),  # a second time
    ]
    good = good_rows(repository)
    assert import_rows(repository, tmp_path, [*good, *(r for r, _ in bad)]) == 0
    refused = json.loads((tmp_path / "out" / "refused.json").read_text())
    found = [(r["line"], r["column"]) for r in refused["refused"]]
    assert found == [(len(good) + 2 + i, column) for i, (_, column) in enumerate(bad)]
    assert refused["count"] == len(bad)
    reasons = [r["reason"] for r in refused["refused"]]
    assert "defines no get_init_inputs, get_inputs" in reasons[14]
    assert "line 2 has the first" in reasons[16]
    captured = capsys.readouterr()
    assert "line 8, column mean: must be finite milliseconds > 0, got 'nan'" in captured.err
    assert f"{len(bad)} rows (mean 5, " in captured.out
    assert "1 rows of other levels" in captured.out
    assert len(rows_of(tmp_path, "timings.parquet", TIMINGS)) == len(good) - 1


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"mean": "nan"}, [], "no usable row of level 1, 2 among 1; line 2, column mean"),
        ({}, ["--levels", "one"], "--levels must be numbers like 1,2, got 'one'"),
        ({}, ["--levels", "2"], "no usable row of level 2 among 1"),
    ],
)
def test_nothing_to_import_is_a_mistake(repository, tmp_path, capsys, change, options, message):
    rows = [{**row(repository, "t4", RELU, "2", repository[1]), **change}]
    assert import_rows(repository, tmp_path, rows, *options) == 2
    assert message in capsys.readouterr().err


def test_what_is_no_table_or_no_repository_is_named(repository, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.csv").write_text("run,mean\n")
    base = ["--import", "kernelbench", str(repository[0]), "--out", str(tmp_path / "out")]
    rows = [row(repository, "t4", RELU, "2", repository[1])]
    assert import_rows(repository, tmp_path, rows, checkout=tmp_path / "empty") == 2
    assert f"{tmp_path / 'empty'}: not a git repository" in capsys.readouterr().err
    assert corpus.main([*base, "--timings", str(tmp_path / "other.csv")]) == 2
    assert "lacks the columns level, problem, std" in capsys.readouterr().err
    assert corpus.main(base) == 2
    assert "needs --timings FILE" in capsys.readouterr().err
    assert corpus.main([*base[:1], "torchbench", *base[2:], "--timings", "x"]) == 2
    assert "--import torchbench" in capsys.readouterr().err


def test_an_import_does_not_mix_with_another_corpus(repository, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.py").write_text("x = 1\n")
    assert import_rows(repository, tmp_path, good_rows(repository)) == 2
    assert "'mine.py', which is not part of this corpus" in capsys.readouterr().err
    assert not (tmp_path / "out" / "labels.parquet").exists()


def test_blobs_come_in_any_order_and_missing_ones_say_what_is_missing(repository):
    folder, first, second = repository
    path = f"bench/level1/{RELU}"
    found = read_blobs(folder, [(second, path), (first, path), (first, "bench/none.py")])
    assert found[first, path] == Blob(oid=git(folder, "rev-parse", f"{first}:{path}"), data=OLD.encode())
    assert found[second, path].data == NEW.encode()
    assert "bench/none.py is not in commit" in found[first, "bench/none.py"]
    with pytest.raises(InputError, match="not a git repository"):
        read_blobs(folder / "nowhere", [])


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        ("12_Conv2d_Sigmoid_GroupNorm.py", "convolution"),
        ("3_ConvTranspose3d_Sum.py", "transposed convolution"),
        ("57_conv_transposed_2D.py", "transposed convolution"),
        ("4_Gemm_ReLU.py", "matrix product"),
        ("9_Max_Pooling_2D.py", "pooling"),
        ("8_Sum_reduction_over_a_dimension.py", "reduction"),
        ("7_HingeLoss.py", "loss"),
        ("6_cumprod.py", "scan"),
        ("5_BatchNorm.py", "normalisation"),
        ("2_LogSoftmax.py", "activation"),
        ("1_Something.py", "other"),
    ],
)
def test_a_programs_family_is_the_first_operation_its_name_has(problem, kind):
    assert family("level2", problem) == f"level2/{kind}"


def test_manifests_from_before_entries_are_of_scripts(tmp_path):
    old = table([{"content_hash": "a", "path": "a.py"}], CORPUS).drop_columns(["entry"])
    write_table(old, tmp_path / "manifest.parquet")
    assert read_table(tmp_path / "manifest.parquet", CORPUS)["entry"].to_pylist() == ["script"]


@pytest.mark.shared_data
def test_the_public_table_has_its_thirteen_runs(shared_data):
    """Facts of the file alone; its programs are in the public repository."""
    with (shared_data("measurements") / "kernelbench_v0_l1_l2_ms.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2600
    assert len({r["run"] for r in rows}) == 13
    assert all(math.isfinite(float(r["mean"])) and float(r["mean"]) > 0 for r in rows)
    assert set(COLUMNS) <= rows[0].keys()
