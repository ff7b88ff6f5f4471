"""Bundles: what is saved comes back, and what is damaged is refused by name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from kilowait.core.errors import ModelError
from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.probe import bundle as bundles
from kilowait.predict.probe.bundle import Bundle, MetricProbe, load, save, unit_of
from kilowait.predict.probe.kernel_ridge import KernelConfig
from kilowait.predict.probe.mlp import MLPConfig
from kilowait.predict.probe.probe import ProbeConfig, Rows, fit_probes

KEYS = (FeatureConfiguration().key,)
CONFIGS = {
    "linear": ProbeConfig(features=KEYS),
    "gaussian": ProbeConfig(features=KEYS, regression=KernelConfig(kind="gaussian"), components=3),
    "network": ProbeConfig(features=KEYS, kind="mlp", device_input=False, network=MLPConfig(hidden=(5,), max_epochs=2)),
}


def make(config: ProbeConfig = CONFIGS["linear"], seed: int = 0) -> Bundle:
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(seed))
    y = x[:, 0].exp()
    halves = torch.arange(20).repeat(2)
    data = Rows(
        x=x,
        script=halves,
        device=torch.arange(2).repeat_interleave(20),
        y=torch.cat([y, 2 * y]),
        keys=torch.arange(20),
    )
    metrics = {}
    for metric, how in (("runtime_s", "measured"), ("energy_j", "estimated")):
        (probe,) = fit_probes(config, [data], ("cpu-1", "cpu-2"), seed=0)
        span = (float(data.y.min()), float(data.y.max()))
        metrics[metric] = MetricProbe(probe=probe, provenance={"cpu-1": how, "cpu-2": how}, label_range=span)
    return Bundle(metrics=metrics, training={"labels_sha256": "ab"}, accuracy={"rows": []}, versions={"torch": "x"})


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_a_saved_bundle_predicts_the_same(tmp_path, kind):
    bundle = make(CONFIGS[kind])
    version = save(bundle, tmp_path / "b")
    loaded = load(tmp_path / "b")
    x = torch.randn(3, 4)
    for metric in bundle.metrics:
        assert torch.equal(loaded.metrics[metric].predict(x), bundle.metrics[metric].predict(x))
    assert loaded.version == version == bundle.version
    assert loaded.device_types == ("cpu-1", "cpu-2")
    assert loaded.features == (FeatureConfiguration(),)
    assert loaded.training == {"labels_sha256": "ab"}
    assert loaded.metrics["energy_j"].provenance == {"cpu-1": "estimated", "cpu-2": "estimated"}


def test_a_bundle_is_two_files_and_no_pickle(tmp_path):
    save(make(), tmp_path / "b")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["b", "bundle.json", "probe.safetensors"]
    manifest = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert manifest["metrics"]["energy_j"]["unit"] == "J"
    assert manifest["config"]["features"] == [FeatureConfiguration().key]


def test_saving_again_replaces_the_whole_folder(tmp_path):
    first = save(make(), tmp_path / "b")
    second = save(make(seed=1), tmp_path / "b")
    assert first != second
    assert load(tmp_path / "b").version == second
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_save_that_fails_leaves_the_old_bundle(tmp_path):
    version = save(make(), tmp_path / "b")
    with pytest.raises(ValueError, match="JSON"):
        save(replace(make(seed=1), accuracy={"mape": float("nan")}), tmp_path / "b")
    assert load(tmp_path / "b").version == version
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_the_version_follows_the_weights_and_not_the_context():
    bundle = make()
    assert replace(bundle, accuracy={"rows": [1]}, versions={}).version == bundle.version
    assert make(seed=1).version != bundle.version
    assert replace(bundle, training={"labels_sha256": "cd"}).version != bundle.version


def flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / "probe.safetensors").read_bytes())
    data[-3] ^= 0x40
    (folder / "probe.safetensors").write_bytes(bytes(data))


def edit(folder: Path, **changes: object) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "probe.safetensors").unlink(), "probe.safetensors: a probe bundle needs this file"),
        (lambda f: (f / "bundle.json").unlink(), "bundle.json: a probe bundle needs this file"),
        (lambda f: (f / "bundle.json").write_text("{"), "bundle.json: not JSON"),
        (lambda f: (f / "bundle.json").write_text("[1]"), "format None"),
        (lambda f: edit(f, format=99), "format 99; this kilowait reads format 1"),
        (lambda f: edit(f, probe_version="0" * 12), "probe version 000000000000"),
        (lambda f: edit(f, device_types=["A100", "A6000"]), "damaged or was edited"),
        (lambda f: edit(f, metrics={}), "damaged or was edited"),
        (flip_a_byte, "damaged or was edited"),
        (lambda f: (f / "probe.safetensors").write_bytes(b""), "damaged or was edited"),
    ],
)
def test_a_damaged_bundle_is_refused_by_name(tmp_path, damage, message):
    save(make(), tmp_path / "b")
    damage(tmp_path / "b")
    with pytest.raises(ModelError, match=message):
        load(tmp_path / "b")


def resign(folder: Path) -> None:
    """Give an altered bundle a version that fits, as a forger or a faulty writer would."""
    manifest = json.loads((folder / "bundle.json").read_text())
    covered = {n: manifest[n] for n in ("format", "config", "device_types", "metrics", "training")}
    edit(folder, probe_version=bundles._version((folder / "probe.safetensors").read_bytes(), covered))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update({"runtime_s/dual": t["runtime_s/dual"] * float("nan")}), "runtime_s/dual holds NaN"),
        (lambda t: t.pop("runtime_s/dual"), "not a probe bundle.*dual"),
        (lambda t: t.pop("energy_j/center"), "not a probe bundle.*center"),
        (lambda t: t.update({"runtime_s/dual": torch.zeros(7, 2)}), "of runtime_s do not fit each other"),
        (
            lambda t: t.update({"runtime_s/dual": torch.zeros(4, 1), "runtime_s/offset": torch.zeros(1)}),
            "1 of 2 device types",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused_even_under_a_fitting_version(tmp_path, change, message):
    save(make(), tmp_path / "b")
    tensors = safetensors.torch.load_file(tmp_path / "b" / "probe.safetensors")
    change(tensors)
    (tmp_path / "b" / "probe.safetensors").write_bytes(safetensors.torch.save(tensors))
    resign(tmp_path / "b")
    with pytest.raises(ModelError, match=message):
        load(tmp_path / "b")


def test_a_prediction_stays_within_ten_times_the_labels_range():
    bundle = make()
    far = torch.tensor([[1e4, 0.0, 0.0, 0.0], [-1e4, 0.0, 0.0, 0.0]])
    part = bundle.metrics["runtime_s"]
    low, high = part.label_range
    got = part.predict(far)
    assert got.max().item() == pytest.approx(10 * high)
    assert got.min().item() == pytest.approx(low / 10)


def test_units_come_from_names():
    assert [unit_of(m) for m in ("runtime_s", "energy_j", "carbon_g", "water_l", "score")] == ["s", "J", "g", "L", ""]
