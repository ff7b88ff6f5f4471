"""Image processors and feature extractors of the hub: their class and input size follow from the model's own."""

from __future__ import annotations

from typing import Any

from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.weights.published import OF_THE_HUB, Published

_IMAGES = {
    "vit": "ViTImageProcessor", "deit": "DeiTImageProcessor", "vit_mae": "ViTImageProcessor",
    "swin": "ViTImageProcessor",
    "beit": "BeitImageProcessor", "dinov2": "BitImageProcessor", "resnet": "ConvNextImageProcessor",
    "convnext": "ConvNextImageProcessor", "segformer": "SegformerImageProcessor", "clip": "CLIPImageProcessor",
    "siglip": "SiglipImageProcessor", "blip": "BlipImageProcessor", "yolos": "YolosImageProcessor",
}  # fmt: skip
_SOUNDS = {
    "whisper": "WhisperFeatureExtractor", "wav2vec2": "Wav2Vec2FeatureExtractor", "hubert": "Wav2Vec2FeatureExtractor",
    "audio-spectrogram-transformer": "ASTFeatureExtractor",
}  # fmt: skip
_SHORTEST = ("resnet", "convnext", "clip", "dinov2")
"""Whose images are scaled by their shorter side."""
_CROPPED = ("clip", "dinov2")
DEFAULT_SIDE, SEGMENTED_SIDE = 224, 512


def stand_in_processors(hooks: ImportHooks, published: Published) -> None:
    """Replace what reads their configurations."""

    def change(owner_name: str, method: str, make: Any) -> Any:
        return lambda module: _reading(getattr(module, owner_name), method, make, published)

    images, sounds = "transformers.image_processing_base", "transformers.feature_extraction_utils"
    hooks.after(images, change("ImageProcessingMixin", "get_image_processor_dict", _image))
    hooks.after(sounds, change("FeatureExtractionMixin", "get_feature_extractor_dict", _sound))
    hooks.after("transformers.processing_utils", change("ProcessorMixin", "get_processor_dict", lambda _config: {}))


def _reading(owner: Any, method: str, make: Any, published: Published) -> None:
    real = getattr(owner, method).__func__

    def read(cls: Any, pretrained_model_name_or_path: Any = None, **kwargs: Any) -> Any:
        name = pretrained_model_name_or_path
        try:
            return real(cls, name, **kwargs)
        except (OSError, ValueError):
            found = published.entry(name)
            made = None if found is None or "config" not in found[1] else make(found[1]["config"])
            if made is None:
                raise
        return made, {key: value for key, value in kwargs.items() if key not in OF_THE_HUB}

    setattr(owner, method, classmethod(read))


def _image(config: dict[str, Any]) -> dict[str, Any] | None:
    kind = config.get("model_type", "")
    if kind not in _IMAGES:
        return None
    side = config.get("image_size") or config.get("vision_config", {}).get("image_size")
    side = (
        SEGMENTED_SIDE
        if kind == "segformer"
        else DEFAULT_SIDE
        if kind == "dinov2" or not isinstance(side, int)
        else side
    )
    size = {"shortest_edge": side} if kind in _SHORTEST else {"height": side, "width": side}
    made: dict[str, Any] = {"image_processor_type": _IMAGES[kind], "size": size}
    if kind in _CROPPED:
        made["crop_size"] = {"height": side, "width": side}
    return made


def _sound(config: dict[str, Any]) -> dict[str, Any] | None:
    kind = config.get("model_type", "")
    if kind in _IMAGES:
        return _image(config)
    if kind not in _SOUNDS:
        return None
    made: dict[str, Any] = {"feature_extractor_type": _SOUNDS[kind]}
    if kind == "whisper":
        made["feature_size"] = config["num_mel_bins"]
    return made
