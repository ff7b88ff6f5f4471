"""A device model as a folder: model.safetensors and model.json; nothing is unpickled.

`save` swaps a whole new folder in, and `load` refuses parts that do not belong together: the version is a hash over
both.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from kilowait.core.errors import ModelError
from kilowait.files.atomic import replacing_folder
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.format_version import check_format

FORMAT = 1
"""Of model.json; a reader refuses a newer one."""
TENSORS, MANIFEST = "model.safetensors", "model.json"


def save(model: DeviceModel, folder: Path | str, training: Mapping[str, Any] | None = None) -> str:
    """Write the model to `folder`, replacing what is there, and return its version.

    `training` says where its run times come from: source, licence, how many.
    """
    tensors = safetensors.numpy.save({n: np.ascontiguousarray(a) for n, a in model.tensors().items()})
    described = {"format": FORMAT, "model": model.description(), "training": dict(training or {})}
    text = json.dumps({"version": _version(tensors, described), **described}, indent=1, allow_nan=False)
    with replacing_folder(folder) as fresh:
        (fresh / TENSORS).write_bytes(tensors)
        (fresh / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return _version(tensors, described)


def load(folder: Path | str) -> DeviceModel:
    """Read and check a device model; raises ModelError naming the folder and what is wrong with it."""
    folder = Path(folder)
    try:
        tensors, text = (folder / TENSORS).read_bytes(), (folder / MANIFEST).read_text(encoding="utf-8")
        manifest = json.loads(text)
        described = {name: manifest[name] for name in ("format", "model", "training")}
        arrays = safetensors.numpy.load(tensors)
        version = manifest["version"]
    except OSError as error:
        raise ModelError(f"{error.filename}: a device model needs this file: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"{folder}: not a device model: {error!r}; fit it again") from error
    check_format(f"{folder}: device model", described["format"], FORMAT, "fit it again with kilowait lab devices")
    if version != _version(tensors, described):
        raise ModelError(f"{folder}: {TENSORS} and {MANIFEST} do not belong together or were edited; fit it again")
    return DeviceModel.restored(described["model"], arrays)


def read_training(folder: Path | str) -> tuple[str, dict[str, Any]]:
    """The version and the `training` of a model that `load` has checked."""
    manifest = json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8"))
    return str(manifest["version"]), dict(manifest["training"])


def _version(tensors: bytes, described: Mapping[str, Any]) -> str:
    canonical = json.dumps(described, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(hashlib.sha256(tensors).digest() + canonical).hexdigest()[:12]
