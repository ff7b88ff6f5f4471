"""Functions of installed packages that write what was learnt: nothing is written in a dry run.

Weights have no values, and what compares them or their memory before writing would take them for the same.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from kilowait.predict.dryrun.pretend.after_import import AfterImport, Change

FUNCTIONS = {
    "safetensors.torch": "save_file save_model save",
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


LIGHTNING = ("lightning.pytorch", "pytorch_lightning")


def write_nothing() -> None:
    """Replace `FUNCTIONS` in modules that are there already and in those that are imported later."""
    changes: dict[str, Change] = {name: partial(_silence, names=names.split()) for name, names in FUNCTIONS.items()}
    changes.update({f"{name}.trainer.connectors.checkpoint_connector": _go_on for name in LIGHTNING})
    AfterImport(changes).install()


def _silence(module: Any, names: list[str]) -> None:
    for name in names:
        owner_name, _, function = name.rpartition(".")
        owner = getattr(module, owner_name, None) if owner_name else module
        if owner is not None and hasattr(owner, function):
            setattr(owner, function, _written if (owner_name, function) == ("", "save") else _nothing)


def _nothing(*_: Any, **__: Any) -> None:
    """What writes files gives nothing."""


def _written(*_: Any, **__: Any) -> bytes:
    """What gives the bytes of a file gives none."""
    return b""


def _go_on(module: Any) -> None:
    """Lightning tests with the best checkpoint of its own: it was not written, and the weights are those that are."""
    real = module._CheckpointConnector.resume_start

    def resume_start(self: Any, checkpoint_path: Any = None, *args: Any, **kwargs: Any) -> Any:
        callbacks = getattr(self.trainer, "checkpoint_callbacks", ())
        own = {getattr(callback, name, "") for callback in callbacks for name in ("best_model_path", "last_model_path")}
        return None if checkpoint_path and checkpoint_path in own else real(self, checkpoint_path, *args, **kwargs)

    module._CheckpointConnector.resume_start = resume_start
