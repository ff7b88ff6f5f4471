"""`kilowait predict`: a script in, a number for each device type out."""

import argparse
import hashlib
import io
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from kilowait.cli import main
from kilowait.cli import predict as predict_command
from kilowait.core.errors import InputError, ModelError
from kilowait.predict import one_shot
from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.predictor import Predictor
from kilowait.predict.probe.bundle import Bundle, save
from kilowait.program.source import source_from_bytes
from tests.support.line_counter import LineCounter, metric


@pytest.fixture
def bundle():
    return Bundle(
        metrics={
            "runtime_s": metric(0.5, "measured"),
            "energy_j": metric(36.0, "estimated"),
            "carbon_g": metric(0.25, "measured"),
        }
    )


@pytest.fixture
def predict(bundle, tmp_path, monkeypatch):
    version = save(bundle, tmp_path / "bundle")
    monkeypatch.setattr(one_shot, "_embedder", lambda bundle, threads: LineCounter())

    def run(*words, arguments=()):
        parser = argparse.ArgumentParser()
        predict_command.add_arguments(parser)
        args = parser.parse_args([*words, "--bundle", str(tmp_path / "bundle"), "--dry-run-budget-s", "0"])
        args.arguments = list(arguments)
        return predict_command.run(args)

    run.version = version
    return run


def script(tmp_path, name="job.py", lines=4):
    path = tmp_path / name
    path.write_text("import torch\n" * lines)
    return str(path)


def test_a_predictor_answers_for_every_device_type(bundle):
    embedder = LineCounter()
    got = Predictor(bundle, embedder).predict(source_from_bytes("x.py", b"a\nb\n"))
    assert got["cpu-1"].runtime_s == pytest.approx(1.0)
    assert got["cpu-2"].runtime_s == pytest.approx(2.0)
    assert got["cpu-1"].energy_kwh == pytest.approx(72 / 3.6e6)
    assert got["cpu-2"].other == {"carbon_g": pytest.approx(1.0)}
    assert got["cpu-1"].probe_version == bundle.version
    assert got["cpu-1"].features == FeatureConfiguration().key
    assert embedder.asked == [[FeatureConfiguration().key]]


def test_a_predictor_needs_run_time_and_energy(bundle):
    with pytest.raises(ModelError, match="no probe for energy_j; it has runtime_s"):
        Predictor(Bundle(metrics={"runtime_s": bundle.metrics["runtime_s"]}), LineCounter())


def test_the_json_report(predict, tmp_path, capsys):
    assert predict(script(tmp_path), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["probe_version"] == predict.version
    assert report["provenance"] == "modelled"
    assert report["label_provenance"]["energy_j"] == {"cpu-1": "estimated", "cpu-2": "estimated"}
    (entry,) = report["predictions"]
    assert entry["devices"]["cpu-1"] == {
        "runtime_s": pytest.approx(2.0),
        "energy_j": pytest.approx(144.0),
        "carbon_g": pytest.approx(1.0),
        "runtime_low_s": None,
        "runtime_high_s": None,
        "provenance": "modelled (probe on the embedding; run times of its training measured on this type)",
    }
    assert entry["request"]["gpus"] == 1


def test_the_table_names_file_probe_and_provenance(predict, tmp_path, capsys):
    assert predict(script(tmp_path), script(tmp_path, "long.py", lines=400), "--device", "cpu-2") == 0
    text = capsys.readouterr().out
    assert "long.py" in text
    assert "cpu-1" not in text.split("probe ")[0]
    assert ["cpu-2", "400", "2.88e+04", "200"] in [line.split() for line in text.splitlines()]
    assert f"probe {predict.version} on {FeatureConfiguration().key}" in text
    assert "all numbers are modelled" in text
    assert "energy_j from estimated (cpu-1" in text


def test_what_the_source_asks_for_is_shown(predict, tmp_path, capsys):
    path = tmp_path / "ddp.py"
    path.write_text("# torchrun --nproc_per_node 4 ddp.py\nimport torch\n")
    assert predict(str(path), "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)["predictions"]
    assert entry["request"]["gpus"] == 4
    assert any("nproc_per_node" in item for item in entry["request"]["evidence"])


def test_a_dash_reads_standard_input(predict, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a\nb\n")))
    assert predict("-", "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)["predictions"]
    assert entry["file"] == "stdin"
    assert entry["devices"]["cpu-1"]["runtime_s"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "bad.py: the file is empty"), (b"a\0b", "bad.py: a binary file"), (b"\xff\xfe1", "bad.py: not UTF-8")],
)
def test_refused_sources_are_named(predict, tmp_path, content, message):
    (tmp_path / "bad.py").write_bytes(content)
    with pytest.raises(InputError, match=message):
        predict(script(tmp_path), str(tmp_path / "bad.py"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.py"], "nowhere.py: cannot be read"),
        (["JOB", "--device", "H1000"], "--device H1000: the probes know cpu-1, cpu-2, and unknown GPU type"),
        (["JOB", "--threads", "0"], "--threads must be >= 1"),
        (["-", "-"], "give - once"),
        (["-", "--entrypoint", "x.py"], "--entrypoint is for folders and zips"),
        (["."], "a folder; say which file starts it"),
    ],
)
def test_mistakes_say_what_to_do(predict, tmp_path, words, message):
    with pytest.raises(InputError, match=message):
        predict(*[script(tmp_path) if word == "JOB" else word for word in words])


def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text("import model\np.add_argument('--epochs', type=int, default=3)\n")
    (folder / "model.py").write_text("# gpus: 4\n")
    (folder / "conf.yaml").write_text("lr: 1\n")
    (folder / "notes.md").write_text("")
    return folder


def test_a_folder_or_zip_with_arguments_is_one_job(predict, tmp_path, capsys):
    folder = project(tmp_path)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    words = ["--epochs", "300", "--config", "conf.yaml"]
    assert predict("--entrypoint", "train.py", str(folder), packed, "--json", arguments=words) == 0
    first, second = json.loads(capsys.readouterr().out)["predictions"]
    assert first["file"] == f"{folder}/train.py"
    assert first["arguments"] == words
    assert first["files"] == ["train.py", "model.py", "conf.yaml"]
    assert first["left_out"] == {"notes.md": "not reached from train.py"}
    assert first["arguments_in_effect"]["epochs"] == {"value": 300, "evidence": "given", "where": "arguments"}
    assert first["request"]["gpus"] == 4
    assert first["devices"]["cpu-1"]["runtime_s"] == pytest.approx(0.5 * 8)  # 4 lines, 3 paths, the config's comment
    assert {**second, "file": ""} == {**first, "file": ""}


def test_the_table_shows_files_arguments_and_what_is_left_out(predict, tmp_path, capsys):
    words = ["--epochs", "300", "--config", "conf.yaml"]
    assert predict("--entrypoint", "train.py", str(project(tmp_path)), arguments=words) == 0
    text = capsys.readouterr().out
    assert "train.py --epochs 300 --config conf.yaml\n" in text
    assert "files: train.py, model.py, conf.yaml\n" in text
    assert "left out: notes.md (not reached from train.py)\n" in text
    assert "arguments in effect: epochs=300 (given), config=conf.yaml (given)\n" in text


def test_a_script_alone_takes_arguments_too(predict, tmp_path, capsys):
    path = script(tmp_path)
    assert predict(path, "--json", arguments=["--epochs", "3", "--devices", "2"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["predictions"]
    assert (entry["file"], entry["files"], entry["request"]["gpus"]) == (path, ["job.py"], 2)
    assert entry["devices"]["cpu-1"]["runtime_s"] == pytest.approx(0.5 * 5)
    assert predict(path, "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)["predictions"]
    assert (entry["arguments"], entry["arguments_in_effect"], entry["notes"]) == ([], {}, [])
    assert entry["content_hash"] == hashlib.sha256(b"import torch\n" * 4).hexdigest()


def test_what_follows_two_dashes_is_the_scripts(bundle, tmp_path, monkeypatch, capsys):
    save(bundle, tmp_path / "bundle")
    monkeypatch.setattr(one_shot, "_embedder", lambda bundle, threads: LineCounter())
    own = ["predict", script(tmp_path), "--json", "--bundle", str(tmp_path / "bundle"), "--dry-run-budget-s", "0"]
    assert main.main([*own, "--", "--json", "x", "--", "--device"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["predictions"]
    assert entry["arguments"] == ["--json", "x", "--", "--device"]
    assert main.main(["predict", "--entrypoint", "gone.py", str(tmp_path), "--", "--epochs", "3"]) == 2
    assert "no gone.py in it" in capsys.readouterr().err


def test_nothing_heavy_loads_before_the_sources_are_checked():
    """The module, its options and a refusal need neither torch nor a policy; a prediction's needs none of the rest."""
    code = (
        "import sys, argparse\n"
        "from kilowait.cli import predict\n"
        "predict.add_arguments(argparse.ArgumentParser())\n"
        "early = {'torch', 'numpy', 'kilowait.policies', 'kilowait.cluster'} & set(sys.modules)\n"
        "assert not early, early\n"
        "import kilowait.predict.predictor, kilowait.predict.probe.bundle\n"
        "heavy = {'transformers', 'pandas', 'sklearn', 'scipy', 'ray', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
