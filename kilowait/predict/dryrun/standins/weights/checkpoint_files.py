"""Files of weights of published models that are not there: names, shapes and types of what they would hold.

A folder that has a published model's name, or one with a configuration and without weights, is taken to hold that
model. Its weights are those of the model that transformers builds from the configuration, as they follow each other,
in as many files as the names say.
"""

from __future__ import annotations

import json
import os
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from kilowait.predict.dryrun.standins.data.absent import Absent
from kilowait.predict.dryrun.standins.data.contents import open_here
from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.weights.building import building
from kilowait.predict.dryrun.standins.weights.model_folders import WEIGHTS, model_at, names_in
from kilowait.predict.dryrun.standins.weights.published import Published
from kilowait.predict.dryrun.standins.weights.transformers_models import architectures


def stand_in_checkpoint_files(hooks: ImportHooks, absent: Absent, published: Published) -> None:
    """Let the weights of published models be read from files that are not there."""
    files = CheckpointFiles(absent, published)
    absent.state_of = files.state
    hooks.after("safetensors", lambda module: _safe_open(module, files))


class CheckpointFiles:
    """The weights of the model folders that one program reads."""

    def __init__(self, absent: Absent, published: Published) -> None:
        self.absent, self.published = absent, published
        self._models: dict[str, dict[str, Tensor]] = {}

    def state(self, path: Any) -> dict[str, Tensor] | None:
        """What a file of weights would hold; None where it is no such file, or is there, or nothing tells its model."""
        found = WEIGHTS.search(os.fspath(path)) if isinstance(path, (str, os.PathLike)) else None
        if found is None or os.path.lexists(path):
            return None
        weights = self._weights(os.path.dirname(os.fspath(path)))
        if not weights:
            return None
        part, parts = int(found["part"] or 1), int(found["parts"] or 1)
        return {name: _empty(weights[name]) for name in names_in(list(weights), part, max(1, parts))}

    def _weights(self, folder: str) -> dict[str, Tensor]:
        if folder not in self._models:
            config = self._configuration(folder)
            self._models[folder] = {} if config is None else self._built(folder, config)
        return self._models[folder]

    def _configuration(self, folder: str) -> dict[str, Any] | None:
        own = os.path.join(folder, "config.json")
        if os.path.lexists(own):
            with open_here(own, encoding="utf-8") as stream:
                config: dict[str, Any] = json.load(stream)
            return config
        return self.published.configuration(folder) if model_at(folder) else None

    def _built(self, folder: str, config: dict[str, Any]) -> dict[str, Tensor]:
        """All weights of a model by their names; those that are tied once."""
        try:
            library: Any = import_module("transformers")
        except ImportError:
            return {}
        kinds = config.get("architectures") or architectures(config.get("model_type"), None, {})
        if not kinds or not hasattr(library, kinds[0]):
            return {}
        own = getattr(library, kinds[0])
        with building(self.published.recorder, library.PreTrainedModel):
            model = own(own.config_class.from_dict(config))
            model.tie_weights()
        dtype = self._dtype(folder, config)
        self.absent.fitting(self.absent.shown(folder))
        state = model.state_dict(keep_vars=True)
        once = {id(value): name for name, value in reversed(state.items())}
        return {name: value.data.to(dtype) for name, value in state.items() if once[id(value)] == name}

    def _dtype(self, folder: str, config: dict[str, Any]) -> torch.dtype:
        entry = self.published.entry(folder)
        name = config.get("dtype") or config.get("torch_dtype") or (entry[1].get("dtype") if entry else None)
        found = getattr(torch, str(name), None)
        return found if isinstance(found, torch.dtype) else torch.float32


def _empty(like: Tensor, device: Any = None) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, device=device or "cpu")


class SafeFile:
    """What `safetensors.safe_open` gives of a file that is not there."""

    def __init__(self, state: dict[str, Tensor], framework: str, device: Any) -> None:
        self._state, self._framework, self._device = state, framework, device

    def __enter__(self) -> SafeFile:
        return self

    def __exit__(self, *_: object) -> None: ...

    def keys(self) -> list[str]:
        """The names of its tensors."""
        return list(self._state)

    offset_keys = keys

    def metadata(self) -> dict[str, str]:
        """As PyTorch's models are saved."""
        return {"format": "pt"}

    def get_tensor(self, name: str) -> Any:
        """One of its tensors."""
        if name not in self._state:
            raise KeyError(f"File does not contain tensor {name}")
        found = self._state[name]
        return found.numpy() if self._framework in ("np", "numpy") else _empty(found, self._device)

    def get_slice(self, name: str) -> Slice:
        """One of its tensors, of which parts are read."""
        return Slice(self.get_tensor(name))


class Slice:
    """A tensor that is read by parts."""

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def get_shape(self) -> list[int]:
        """Its lengths."""
        return list(self._tensor.shape)

    def get_dtype(self) -> str:
        """As safetensors name it."""
        return _NAMES.get(self._tensor.dtype, "F32")

    def __getitem__(self, place: Any) -> Any:
        return self._tensor[place]


_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.uint8: "U8"}


def _safe_open(module: Any, files: CheckpointFiles) -> None:
    module.safe_open = partial(_opened, module.safe_open, files)


def _opened(real: Any, files: CheckpointFiles, filename: Any, framework: str = "pt", device: Any = None) -> Any:
    state = files.state(filename)
    return real(filename, framework, device or "cpu") if state is None else SafeFile(state, framework, device)
