"""Functions of installed packages that write what was learnt: nothing is written in a dry run.

Weights have no values, and what compares them or their memory before writing would take them for the same.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from kilowait.predict.dryrun.pretend.after_import import AfterImport, Change

FUNCTIONS = {
    "safetensors.torch": "save_file save_model",
    "transformers.modeling_utils": "PreTrainedModel.save_pretrained",
    "transformers.trainer": "Trainer._save_checkpoint Trainer.save_model Trainer._load_best_model Trainer.push_to_hub "
    "Trainer.create_model_card",
    "accelerate.accelerator": "Accelerator.save_state Accelerator.save_model Accelerator.save",
    "diffusers.models.modeling_utils": "ModelMixin.save_pretrained",
    "diffusers.pipelines.pipeline_utils": "DiffusionPipeline.save_pretrained",
    "diffusers.training_utils": "EMAModel.save_pretrained",
    "peft.peft_model": "PeftModel.save_pretrained",
    "lightning.pytorch.trainer.trainer": "Trainer.save_checkpoint",
    "pytorch_lightning.trainer.trainer": "Trainer.save_checkpoint",
    "lightning.fabric.fabric": "Fabric.save",
}
"""Functions by module, `Class.name` for a method."""


def write_nothing() -> None:
    """Replace `FUNCTIONS` in modules that are there already and in those that are imported later."""
    changes: dict[str, Change] = {name: partial(_silence, names=names.split()) for name, names in FUNCTIONS.items()}
    AfterImport(changes).install()


def _silence(module: Any, names: list[str]) -> None:
    for name in names:
        owner_name, _, function = name.rpartition(".")
        owner = getattr(module, owner_name, None) if owner_name else module
        if owner is not None and hasattr(owner, function):
            setattr(owner, function, lambda *_, **__: None)
