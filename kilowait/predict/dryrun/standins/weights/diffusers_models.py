"""Models, schedulers and pipelines of diffusers, built from the published configuration of their parts."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.weights.building import building
from kilowait.predict.dryrun.standins.weights.published import OF_THE_HUB, Published


def stand_in_diffusers(hooks: ImportHooks, published: Published) -> None:
    """Replace what reads configurations, models and pipelines."""
    hooks.after("diffusers.configuration_utils", lambda module: _configurations(module, published))
    hooks.after("diffusers.models.modeling_utils", lambda module: _models(module, published))
    hooks.after("diffusers.pipelines.pipeline_utils", lambda module: _pipelines(module, published))


def _configurations(module: Any, published: Published) -> None:
    real = module.ConfigMixin.load_config.__func__

    def load_config(
        cls: Any, pretrained_model_name_or_path: Any = None, return_unused_kwargs: bool = False,
        return_commit_hash: bool = False, **kwargs: Any,
    ) -> Any:  # fmt: skip
        name = pretrained_model_name_or_path
        try:
            return real(
                cls, name, return_unused_kwargs=return_unused_kwargs, return_commit_hash=return_commit_hash, **kwargs
            )
        except (OSError, ValueError):
            config = published.configuration(name, kwargs.get("subfolder") or None)
            if config is None:
                raise
        unused = {key: value for key, value in kwargs.items() if key not in OF_THE_HUB}
        found = (config, *((unused,) if return_unused_kwargs else ()), *((None,) if return_commit_hash else ()))
        return found if len(found) > 1 else config

    module.ConfigMixin.load_config = classmethod(load_config)


def _models(module: Any, published: Published) -> None:
    def from_pretrained(cls: Any, pretrained_model_name_or_path: Any = None, **kwargs: Any) -> Any:
        name = pretrained_model_name_or_path
        dtype = kwargs.pop("torch_dtype", None) or kwargs.pop("dtype", None)
        config = cls.load_config(name, subfolder=kwargs.get("subfolder"))
        own = {key: value for key, value in kwargs.items() if key in inspect.signature(cls.__init__).parameters}
        with building(published.recorder):
            model = cls.from_config(config, **own)
        return (model.to(dtype) if dtype is not None and not isinstance(dtype, str) else model).eval()

    module.ModelMixin.from_pretrained = classmethod(from_pretrained)


def _pipelines(module: Any, published: Published) -> None:
    real = module.DiffusionPipeline.from_pretrained.__func__

    def from_pretrained(cls: Any, pretrained_model_name_or_path: Any = None, **kwargs: Any) -> Any:
        name = pretrained_model_name_or_path
        try:
            return real(cls, name, **kwargs)
        except (OSError, ValueError):
            found = published.entry(name)
            if found is None or "parts" not in found[1]:
                raise
        return _assembled(cls, name, found[1], kwargs)

    module.DiffusionPipeline.from_pretrained = classmethod(from_pretrained)


def _assembled(cls: Any, name: Any, facts: dict[str, Any], kwargs: dict[str, Any]) -> Any:
    """The pipeline with the parts that it was given, and those of the catalogue."""
    diffusers = import_module("diffusers")
    owner = getattr(diffusers, facts["pipeline"]) if cls is diffusers.DiffusionPipeline else cls
    parts: dict[str, Any] = {}
    for part, parameter in inspect.signature(owner.__init__).parameters.items():
        if part in kwargs:
            parts[part] = kwargs[part]
        elif part in facts["parts"]:
            parts[part] = _part(name, part, facts["parts"][part], kwargs.get("torch_dtype"))
        elif parameter.default is inspect.Parameter.empty and part != "self":
            parts[part] = None
    return owner(**parts)


def _part(name: Any, part: str, config: dict[str, Any], dtype: Any) -> Any:
    diffusers, transformers = import_module("diffusers"), import_module("transformers")
    if "kind" in config:
        return transformers.AutoTokenizer.from_pretrained(name, subfolder=part)
    if "_class_name" not in config:
        owner = transformers.CLIPTextModelWithProjection if part.endswith("_2") else transformers.CLIPTextModel
        return owner.from_pretrained(name, subfolder=part, torch_dtype=dtype)
    made = getattr(diffusers, config["_class_name"]).from_pretrained(name, subfolder=part)
    return made.to(dtype) if dtype is not None and hasattr(made, "parameters") else made
