"""`from_pretrained` of Hugging Face's models: the architecture of the name, with weights that hold no data.

The configuration is read from the local cache where it is there, else from the catalogue. Weights are never read.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch

from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.weights.building import building
from kilowait.predict.dryrun.standins.weights.published import OF_THE_HUB, Published

_QUANTIZED = ("load_in_8bit", "load_in_4bit", "quantization_config")
_PLACED = ("device_map", "torch_dtype", "dtype")


def stand_in_transformers(hooks: ImportHooks, published: Published) -> None:
    """Replace what reads configurations and models."""
    hooks.after("transformers.configuration_utils", lambda module: _configurations(module, published))
    hooks.after("transformers.modeling_utils", lambda module: _models(module, published))


def _configurations(module: Any, published: Published) -> None:
    owner = getattr(module, "PreTrainedConfig", None) or module.PretrainedConfig
    real = owner.get_config_dict.__func__

    def get_config_dict(cls: Any, pretrained_model_name_or_path: Any = None, **kwargs: Any) -> Any:
        name = pretrained_model_name_or_path
        found = published.entry(name)
        if found is None or published.is_here(name, kwargs.get("subfolder"), "config.json"):
            try:
                return real(cls, name, **kwargs)
            except OSError as error:
                remedy = "give the folder that holds it with --data, or build it from its configuration class"
                raise OSError(f"model {name!r} is neither here nor in the catalogue; {remedy}") from error
        config = published.configuration(name, kwargs.get("subfolder") or None)
        if config is None:
            return real(cls, name, **kwargs)
        config.setdefault("architectures", architectures(config.get("model_type"), kwargs.get("subfolder"), found[1]))
        return config, {key: value for key, value in kwargs.items() if key not in OF_THE_HUB}

    owner.get_config_dict = classmethod(get_config_dict)


_KINDS = "MASKED_LM SEQ_TO_SEQ_CAUSAL_LM CAUSAL_LM IMAGE_TEXT_TO_TEXT IMAGE_CLASSIFICATION CTC SPEECH_SEQ_2_SEQ"
"""What a model is published as, by the first of the tables of transformers that has its type."""


def architectures(model_type: Any, part: Any, facts: dict[str, Any]) -> list[str] | None:
    """The class that a configuration names: programs build a model by it."""
    auto: Any = import_module("transformers.models.auto.modeling_auto")
    if part and model_type == "t5":
        return ["T5EncoderModel"]
    if part and model_type == "clip_text_model":
        projects = part == "text_encoder_2" or "text_encoder_3" in facts.get("parts", {})
        return ["CLIPTextModelWithProjection" if projects else "CLIPTextModel"]
    tables = (getattr(auto, f"MODEL_FOR_{kind}_MAPPING_NAMES", {}) for kind in _KINDS.split())
    names = [table[model_type] for table in (*tables, auto.MODEL_MAPPING_NAMES) if model_type in table]
    return [names[0] if isinstance(names[0], str) else names[0][0]] if names else None


def _models(module: Any, published: Published) -> None:
    def from_pretrained(
        cls: Any, pretrained_model_name_or_path: Any = None, *args: Any, config: Any = None, **kwargs: Any
    ) -> Any:
        name = pretrained_model_name_or_path
        given = {key: kwargs.pop(key, None) for key in (*_QUANTIZED, *_PLACED)}
        hub = {key: kwargs.pop(key) for key in list(kwargs) if key in OF_THE_HUB}
        config, kwargs = _configuration(cls, name, config, hub, kwargs)
        _eager_kernels(config, hub.get("attn_implementation"))
        dtype = _dtype(given, config, published.entry(name))
        with building(published.recorder, module.PreTrainedModel), _default(dtype):
            model = cls(config, *args, **kwargs)
        return _finished(model, name, given, hub, published)

    module.PreTrainedModel.from_pretrained = classmethod(from_pretrained)


def _configuration(cls: Any, name: Any, config: Any, hub: dict[str, Any], kwargs: dict[str, Any]) -> Any:
    """The configuration, and what of the arguments is the model's own."""
    if config is not None and not isinstance(config, str):
        return copy.deepcopy(config), kwargs
    where = {key: value for key, value in hub.items() if key in ("cache_dir", "subfolder", "revision", "token")}
    return cls.config_class.from_pretrained(config or name, return_unused_kwargs=True, **where, **kwargs)


def _eager_kernels(config: Any, asked: Any) -> None:
    """Attention by PyTorch's own operator: flash-attn does the same work and is not needed for it."""
    wanted = "eager" if asked == "eager" else "sdpa"
    for part in (config, *(value for value in vars(config).values() if hasattr(value, "_attn_implementation"))):
        if asked is not None or "flash" in str(getattr(part, "_attn_implementation", "")):
            part._attn_implementation = wanted


def _dtype(given: dict[str, Any], config: Any, entry: Any) -> Any:
    asked = given["dtype"] if given["dtype"] is not None else given["torch_dtype"]
    if asked is None and any(given[key] for key in _QUANTIZED):
        asked = torch.bfloat16
    if asked is None and int(import_module("transformers").__version__.split(".")[0]) >= 5:
        asked = "auto"
    if asked == "auto":
        asked = (entry[1].get("dtype") if entry else None) or getattr(config, "dtype", None) or torch.float32
    return getattr(torch, asked) if isinstance(asked, str) else asked or torch.float32


@contextmanager
def _default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _finished(model: Any, name: Any, given: dict[str, Any], hub: dict[str, Any], published: Published) -> Any:
    model.config._name_or_path = str(name)
    model.config.name_or_path = str(name)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    model.eval()
    if any(given[key] for key in _QUANTIZED):
        published.recorder.assume(f"{name}: quantized weights are counted as products in 16 bits", "modelled")
        model.is_quantized = model.is_loaded_in_8bit = model.is_loaded_in_4bit = False
        for parameter in model.parameters():
            parameter.requires_grad_(False)
    if given["device_map"] not in (None, "cpu", "meta") and published.recorder.target == "cuda":
        model.to("cuda")
    if hub.get("output_loading_info"):
        return model, {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}
    return model
