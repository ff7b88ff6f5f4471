"""A bundle: the probes of one training, as a folder with probe.safetensors and bundle.json; nothing is unpickled.

`save` writes a whole new folder beside the old one and swaps them, and `load` refuses a folder whose parts do not
belong together: the probe version is a hash over both.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from kilowait.core.errors import InputError, ModelError
from kilowait.files.atomic import replacing_folder
from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.format_version import check_format
from kilowait.predict.probe.doubt import Doubt
from kilowait.predict.probe.probe import Probe, ProbeConfig

FORMAT = 1
"""Of bundle.json; a reader refuses a newer one."""
TENSORS = "probe.safetensors"
MANIFEST = "bundle.json"
COVERED = ("format", "config", "device_types", "metrics", "training")
"""What of the manifest the probe version covers, and DOUBT where it is there."""
DOUBT = "doubt"
UNITS = {"s": "s", "j": "J", "w": "W", "g": "g", "l": "L", "kwh": "kWh", "bytes": "bytes"}
"""What the last part of a metric's name stands for."""
REACH = 10.0
"""A prediction leaves the range of the training labels by at most this factor: beyond it is extrapolation."""


def unit_of(metric: str) -> str:
    """The unit in a metric's name: runtime_s -> s, carbon_g -> g; empty when the name has none."""
    return UNITS.get(metric.rpartition("_")[2], "")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricProbe:
    """A metric's probe, how its labels were had on each device type, and their range (lowest, highest)."""

    probe: Probe
    provenance: Mapping[str, str]
    label_range: tuple[float, float]

    def predict(self, x: Tensor) -> Tensor:
        """x (N, d) -> (N, D), held within `REACH` times the range of the labels."""
        low, high = self.label_range
        return self.probe.predict(x).clamp(min=low / REACH, max=high * REACH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Probes by metric over the same device types and features, and where they came from.

    `doubt` gives intervals and knows new kinds of programs. `training` says which labels (their digest and counts),
    `accuracy` how well the recipe did out of fold, and `versions` which software trained it.
    """

    metrics: Mapping[str, MetricProbe]
    doubt: Doubt | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    accuracy: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.metrics:
            raise InputError("a bundle needs the probe of at least one metric")
        kinds = {(m.probe.device_types, m.probe.config.features) for m in self.metrics.values()}
        if len(kinds) > 1:
            raise InputError("the probes of a bundle must share their device types and features")

    @property
    def _any(self) -> Probe:
        return next(iter(self.metrics.values())).probe

    @property
    def device_types(self) -> tuple[str, ...]:
        """The device types it predicts for."""
        return self._any.device_types

    @property
    def features(self) -> tuple[FeatureConfiguration, ...]:
        """The feature configurations whose vectors stand side by side in its input."""
        return tuple(FeatureConfiguration.parse(key) for key in self._any.config.features)

    @property
    def version(self) -> str:
        """The probe version: 12 hexadecimal characters of a hash over weights and description."""
        return _version(_serialise(self), _description(self))


def save(bundle: Bundle, folder: Path | str) -> str:
    """Write the bundle to `folder`, replacing what is there (a device model of its types, too), and return its version.

    A reader finds the old folder, the new one, or for an instant none; never a mixture.
    """
    tensors, description = _serialise(bundle), _description(bundle)
    version = _version(tensors, description)
    context = {"accuracy": bundle.accuracy, "versions": bundle.versions}
    with replacing_folder(folder) as fresh:
        (fresh / TENSORS).write_bytes(tensors)
        text = json.dumps({"probe_version": version, **description, **context}, indent=1, allow_nan=False)
        (fresh / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return version


def load(folder: Path | str) -> Bundle:
    """Read and check a bundle; raises ModelError naming the file and what is wrong with it."""
    folder = Path(folder)
    manifest = _read_manifest(folder / MANIFEST)
    data = _read(folder / TENSORS)
    try:
        described = {name: manifest[name] for name in COVERED} | {n: manifest[n] for n in (DOUBT,) if n in manifest}
        if _version(data, described) != manifest["probe_version"]:
            raise ModelError(
                f"{folder}: {TENSORS} and {MANIFEST} do not belong to probe version {manifest['probe_version']}: "
                "a file is damaged or was edited; train again with kilowait lab train"
            )
        return _assemble(manifest, safetensors.torch.load(data))
    except SafetensorError as error:
        raise ModelError(f"{folder / TENSORS}: not a safetensors file: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        raise ModelError(f"{folder / MANIFEST}: not a probe bundle: {error!r}") from error


def load_default() -> Bundle:
    """The bundle that comes with kilowait; raises ModelError when this installation has none."""
    with resources.as_file(resources.files("kilowait") / "data" / "bundle") as folder:
        if not (folder / MANIFEST).exists():
            raise ModelError(f"{folder}: no probe bundle; give one with --bundle, or train it: kilowait lab train")
        return load(folder)


def _serialise(bundle: Bundle) -> bytes:
    tensors = {
        f"{metric}/{name}": tensor.clone(memory_format=torch.contiguous_format)  # safetensors refuses shared memory
        for metric, part in bundle.metrics.items()
        for name, tensor in part.probe.tensors.items()
    }
    if bundle.doubt is not None:
        tensors |= {f"{DOUBT}/{name}": tensor.contiguous() for name, tensor in bundle.doubt.tensors.items()}
    return safetensors.torch.save(tensors)


def _description(bundle: Bundle) -> dict[str, Any]:
    """Everything in bundle.json that the probe version covers, as JSON gives it back."""
    description = {
        "format": FORMAT,
        "config": asdict(bundle._any.config),
        "device_types": bundle.device_types,
        "metrics": {
            metric: {
                "unit": unit_of(metric),
                "label_provenance": dict(part.provenance),
                "label_range": [float(bound) for bound in part.label_range],
            }
            for metric, part in bundle.metrics.items()
        },
        "training": dict(bundle.training),
        **({} if bundle.doubt is None else {DOUBT: bundle.doubt.description()}),
    }
    return dict(json.loads(json.dumps(description, allow_nan=False)))


def _version(tensors: bytes, description: Mapping[str, Any]) -> str:
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(hashlib.sha256(tensors).digest() + canonical).hexdigest()[:12]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: a probe bundle needs this file: {error.strerror}") from error


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(_read(path))
    except ValueError as error:
        raise ModelError(f"{path}: not JSON: {error}") from error
    file_format = manifest.get("format") if isinstance(manifest, dict) else None
    check_format(f"{path}: bundle", file_format, FORMAT, "train again with kilowait lab train")
    return dict(manifest)


def _check_shapes(metric: str, probe: Probe) -> None:
    """Tensors that do not fit each other show here, not at the first job."""
    try:
        shape = tuple(probe.predict(torch.zeros(1, probe.inputs)).shape)
    except (RuntimeError, IndexError) as error:
        raise ModelError(f"{TENSORS}: the tensors of {metric} do not fit each other: {error}") from error
    if shape != (1, len(probe.device_types)):
        raise ModelError(f"{TENSORS}: {metric} answers for {shape[-1]} of {len(probe.device_types)} device types")


def _assemble(manifest: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Bundle:
    config = ProbeConfig.from_json(manifest["config"])
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{TENSORS}: {name} holds NaN or infinity; train again with kilowait lab train")
    metrics = {}
    for metric, described in manifest["metrics"].items():
        metric_tensors = {n.partition("/")[2]: t for n, t in tensors.items() if n.partition("/")[0] == metric}
        low, high = (float(value) for value in described["label_range"])
        if not (math.isfinite(high) and 0 < low <= high):
            raise ValueError(f"label_range of {metric} is {described['label_range']!r}")
        probe = Probe(config=config, device_types=tuple(manifest["device_types"]), tensors=metric_tensors)
        metrics[metric] = MetricProbe(probe=probe, provenance=described["label_provenance"], label_range=(low, high))
        _check_shapes(metric, probe)
    doubt_tensors = {n.partition("/")[2]: t for n, t in tensors.items() if n.partition("/")[0] == DOUBT}
    return Bundle(
        metrics=metrics,
        doubt=Doubt.restored(manifest[DOUBT], doubt_tensors) if DOUBT in manifest else None,
        training=manifest["training"],
        accuracy=manifest.get("accuracy", {}),
        versions=manifest.get("versions", {}),
    )
