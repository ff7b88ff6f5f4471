"""python -m pipelines.devices on a small corpus whose times follow from its operations; cards of both models."""

import json

import numpy as np
import pytest

from kilowait.core.errors import ModelError
from kilowait.core.hardware import CATALOGUE
from kilowait.files.columns import CORPUS, POOLED_LABELS, RESIDUALS
from kilowait.files.parquet import read_table, table, write_table
from kilowait.lab.backtest.scenario.noise import error_pool
from kilowait.predict.device_model import model_files
from kilowait.predict.dryrun.sandbox import sandbox_available
from kilowait.predict.gpu_types import GpuPredictor
from kilowait.program.source import content_hash
from pipelines import devices
from tests.support.train_command import train_on

REASON = sandbox_available()
needs_sandbox = pytest.mark.skipif(REASON is not None, reason=str(REASON))
TYPES = ("A100", "A6000", "T4")
PROGRAM = """import torch

class Model(torch.nn.Module):
    def forward(self, x):
        return x @ x

def get_inputs():
    return [torch.ones({side}, {side})]

def get_init_inputs():
    return []
"""


def write_corpus(folder, types=TYPES):
    """Square products at 70% of each sheet's FLOP/s."""
    labels, manifest = [], []
    for at, side in enumerate(np.linspace(2048, 8192, 24).astype(int)):
        text = PROGRAM.format(side=side).encode()
        path = f"p{at}.py"
        folder.mkdir(exist_ok=True)
        (folder / path).write_bytes(text)
        common = {"content_hash": content_hash(text), "family": "product", "group": f"g{at}", "style": "kernelbench"}
        manifest.append({**common, "path": path, "scale": "gpu", "hyperparameters": "{}", "source_bytes": len(text)})
        for name in types:
            flops = CATALOGUE[name].fp32_flops if name in CATALOGUE else 1e11
            row = {**common, "device_type": name, "runs": 1, "runtime_s": 2 * float(side) ** 3 / (0.7 * flops)}
            row |= {"energy_j": None, "spread": 0.0, "flagged": False, "run": "r"}
            labels.append(row | {"runtime_provenance": "measured", "energy_provenance": None})
    write_table(
        table([{n: r[n] for n in POOLED_LABELS.names} for r in labels], POOLED_LABELS), folder / "labels.parquet"
    )
    write_table(table([{n: r.get(n) for n in CORPUS.names} for r in manifest], CORPUS), folder / "manifest.parquet")


@needs_sandbox
def test_a_corpus_becomes_a_model_with_intervals_and_a_card(tmp_path, capsys):
    write_corpus(tmp_path / "corpus")
    out = tmp_path / "model"
    words = ["--corpus", str(tmp_path / "corpus"), "--out", str(out), "--residuals", str(tmp_path / "errors.parquet")]
    assert devices.main([*words, "--folds", "3"]) == 0
    pool = error_pool(read_table(tmp_path / "errors.parquet", RESIDUALS))
    assert (pool.model, pool.log_errors.shape, pool.dropped) == ("operations", (24, 3, 2), 0)
    printed = capsys.readouterr().out
    model = GpuPredictor.load(out)
    assert model.version in printed
    assert model.measured == set(TYPES)
    assert {path.name for path in out.iterdir()} == {"model.safetensors", "model.json", "MODEL_CARD.md"}
    errors = model.training["out_of_fold"]
    assert errors["measured"]["n"] == 24 * 3
    assert errors["measured"]["mdape"] < 0.15
    assert errors["new"]["mdape"] < 0.5
    card = (out / "MODEL_CARD.md").read_text()
    for part in ("What it is", "Features", "Data and licence", "Errors out of fold", "Coverage", "Overhead", "Limits"):
        assert f"## {part}\n" in card
    for fact in (model.version, "A100, A6000, T4", "Licence: MIT", "24 programs, 72 measured", "| T4 | 24 |"):
        assert fact in card
    assert model.training["labels_sha256"] in card


@needs_sandbox
def test_a_model_without_intervals_is_refused(tmp_path):
    shipped = GpuPredictor.load_default()
    model_files.save(shipped.model, tmp_path / "bare")
    with pytest.raises(ModelError, match=r"without intervals; fit it with kilowait lab devices"):
        GpuPredictor.load(tmp_path / "bare")


@pytest.mark.parametrize(
    ("types", "said"),
    [
        (("A100", "cpu-1"), "labels on A100 and on cpu-1; fit them apart"),
        (("A100", "abacus"), "labels on abacus, neither a GPU type of the catalogue nor cpu-N"),
    ],
)
def test_labels_that_no_one_model_can_learn_from_are_refused(tmp_path, capsys, types, said):
    write_corpus(tmp_path / "corpus", types)
    assert devices.main(["--corpus", str(tmp_path / "corpus"), "--out", str(tmp_path / "model")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_training_writes_the_card_of_its_bundle(world, tmp_path):
    bundle = tmp_path / "bundle"
    assert train_on(world, tmp_path, "--recipes", "mean,default", "--bundle-out", str(bundle)) == 0
    card, manifest = (bundle / "MODEL_CARD.md").read_text(), json.loads((bundle / "bundle.json").read_text())
    for part in ("What it is", "Features", "Data", "Errors", "Coverage", "Overhead", "Limits"):
        assert f"## {part}\n" in card
    for fact in (manifest["probe_version"], "revision 0.1.2", "layer 6", "pooling mean", "120 labels of 60 scripts"):
        assert fact in card
    assert "energy_j: labels estimated on cpu-1" in card
    assert "dimension 24" in card  # two vectors of 12
