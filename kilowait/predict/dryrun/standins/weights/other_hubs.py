"""Pre-trained weights of torchvision, timm and torch.hub, single files of the hub, and metrics of `evaluate`."""

from __future__ import annotations

import json
import os
from functools import partial, wraps
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from kilowait.predict.dryrun.standins.data.absent import Absent
from kilowait.predict.dryrun.standins.data.loaded import Loaded
from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.weights.published import Published


def stand_in_hubs(hooks: ImportHooks, absent: Absent, published: Published) -> None:
    """Replace what downloads a checkpoint."""
    _torch_hub(absent)
    hooks.after("torchvision.models._api", lambda module: _torchvision(module, absent))
    for name in ("timm.models._builder", "timm.models.helpers"):
        hooks.after(name, lambda module: _timm(module, absent))
    hooks.after("huggingface_hub", lambda module: _hub(module, absent, published))
    hooks.after("safetensors.torch", lambda module: _safetensors(module, absent))
    hooks.after("evaluate", _metrics)


def _torch_hub(absent: Absent) -> None:
    real_state, real_load = torch.hub.load_state_dict_from_url, torch.hub.load

    @wraps(real_state)
    def state(url: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return real_state(url, *args, **kwargs)
        except OSError:
            return _checkpoint(absent, url.rpartition("/")[2])

    @wraps(real_load)
    def load(repo_or_dir: Any, model: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return real_load(repo_or_dir, model, *args, **kwargs)
        except OSError:
            if not str(repo_or_dir).startswith("pytorch/vision"):
                raise
        own = {
            key: value
            for key, value in kwargs.items()
            if key not in ("source", "trust_repo", "force_reload", "verbose")
        }
        return getattr(import_module("torchvision.models"), model)(*args, **own)

    torch.hub.load_state_dict_from_url, torch.hub.load = state, load
    torch.hub.list = _listed(torch.hub.list)
    torch.hub.download_url_to_file = lambda *_, **__: None


def _listed(real: Any) -> Any:
    @wraps(real)
    def names(*args: Any, **kwargs: Any) -> list[str]:
        """The models of a repository, none where it is not here."""
        try:
            return list(real(*args, **kwargs))
        except OSError:
            return []

    return names


def _checkpoint(absent: Absent, name: str) -> Loaded:
    absent.fitting(name)
    return Loaded(absent, name)


def _torchvision(module: Any, absent: Absent) -> None:
    def get_state_dict(self: Any, *_: Any, **__: Any) -> Any:
        return _checkpoint(absent, f"torchvision {self}")

    module.WeightsEnum.get_state_dict = get_state_dict


def _timm(module: Any, absent: Absent) -> None:
    def nothing(model: Any, *_: Any, **__: Any) -> None:
        _checkpoint(absent, f"timm {type(model).__name__}")

    for name in ("load_pretrained", "load_custom_pretrained"):
        if hasattr(module, name):
            setattr(module, name, nothing)


def _hub(module: Any, absent: Absent, published: Published) -> None:
    real_file, real_snapshot = module.hf_hub_download, module.snapshot_download

    def folder_of(name: str) -> Path:
        folder = Path(absent.folder) / ".hub" / name.replace("/", "--")
        folder.mkdir(parents=True, exist_ok=True)
        config = published.configuration(name)
        if config is not None:
            (folder / "config.json").write_text(json.dumps(config))
        for file, content in pipeline_files(published, name).items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(json.dumps(content))
        return folder

    @wraps(real_file)
    def one(repo_id: str, filename: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return real_file(repo_id, filename, *args, **kwargs)
        except Exception:
            folder = folder_of(repo_id)
            if not absent.is_data(filename) and not (folder / filename).exists():
                raise
            return str(folder / filename)

    @wraps(real_snapshot)
    def all_of(repo_id: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return real_snapshot(repo_id, *args, **kwargs)
        except Exception:
            if published.entry(repo_id) is None:
                raise
            return str(folder_of(repo_id))

    module.hf_hub_download, module.snapshot_download = one, all_of
    _facts_of_models(module, published)


def _facts_of_models(module: Any, published: Published) -> None:
    real = module.HfApi.model_info

    @wraps(real)
    def model_info(self: Any, repo_id: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return real(self, repo_id, *args, **kwargs)
        except Exception:
            if published.entry(repo_id) is None:
                raise
        files = ["config.json", *pipeline_files(published, repo_id)]
        siblings = [SimpleNamespace(rfilename=file) for file in files]
        return SimpleNamespace(id=repo_id, modelId=repo_id, siblings=siblings, tags=[], sha=None, pipeline_tag=None)

    module.HfApi.model_info = model_info
    module.model_info = partial(model_info, module.HfApi())


def pipeline_files(published: Published, name: str) -> dict[str, Any]:
    """The files that say what the parts of a pipeline are, as they are published, by their names."""
    entry = published.entry(name)
    parts = entry[1].get("parts", {}) if entry else {}
    index, files = {}, {}
    for part, config in parts.items():
        library = "diffusers" if "_class_name" in config else "transformers"
        index[part] = [library, config.get("_class_name")]
        files[f"{part}/{'scheduler_' if part == 'scheduler' else ''}config.json"] = config
    return {**files, "model_index.json": index} if parts else {}


def _safetensors(module: Any, absent: Absent) -> None:
    real = module.load_file

    def load_file(path: Any, *args: Any, **kwargs: Any) -> Any:
        if absent.stands_in(path):
            state = absent.state_of(path)
            return _checkpoint(absent, absent.shown(os.fspath(path))) if state is None else state
        return real(path, *args, **kwargs)

    module.load_file = load_file


class Metric:
    """A metric that is not there: it takes everything and is always a half."""

    def add_batch(self, *_: Any, **__: Any) -> None:
        """Taken."""

    add = add_batch

    def compute(self, *_: Any, **__: Any) -> Any:
        """Any score is a half."""
        return AnyScores(accuracy=0.5)


class AnyScores(dict):
    """AnyScores by any name."""

    def __missing__(self, _name: Any) -> float:
        return 0.5


def _metrics(module: Any) -> None:
    real = module.load

    def load(*args: Any, **kwargs: Any) -> Any:
        try:
            return real(*args, **kwargs)
        except Exception:
            return Metric()

    module.load = load
