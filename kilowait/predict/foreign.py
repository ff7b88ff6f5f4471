"""Programs that are not run dry: those of another framework than PyTorch, and modules that only define things."""

from collections.abc import Mapping

from kilowait.core.errors import SourceError
from kilowait.predict.dryrun.dry_program import is_forward
from kilowait.program.definitions import LIBRARY, only_defines
from kilowait.program.reach import reach
from kilowait.program.tree import Tree

_FOREIGN = {
    "jax": "JAX",
    "flax": "JAX",
    "haiku": "JAX",
    "optax": "JAX",
    "equinox": "JAX",
    "tensorflow": "TensorFlow",
    "tf_keras": "TensorFlow",
    "keras": "Keras",
    "paddle": "PaddlePaddle",
    "mxnet": "MXNet",
    "mindspore": "MindSpore",
    "tinygrad": "tinygrad",
    "mlx": "MLX",
    "cupy": "CuPy",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "sklearn": "scikit-learn",
}
"""Frameworks by what is imported, the one that names a program first."""
_PYTORCH = frozenset(
    {"torch", "torchvision", "torchaudio", "torchtune", "torch_geometric", "timm", "fastai", "ignite", "monai", "trl"}
) | {"transformers", "accelerate", "diffusers", "peft", "sentence_transformers", "lightning", "pytorch_lightning"}
"""What is or needs PyTorch: a program that imports one of these is run."""


def foreign(files: Mapping[str, bytes], entrypoint: str, environment: Mapping[str, str]) -> str:
    """Why a program is not for kilowait to run, "" for one that may be of PyTorch."""
    try:
        imported = set(reach(Tree.of(files), entrypoint, ()).installed)
    except SourceError:
        imported = set()
    found = next((name for module, name in _FOREIGN.items() if module in imported), "")
    if not found or imported & _PYTORCH or environment.get("KERAS_BACKEND") == "torch":
        text = files[entrypoint].decode("utf-8-sig", "replace")
        return LIBRARY if only_defines(text) and not is_forward(text) else ""
    article = "an" if found[0] in "XM" and found != "MindSpore" else "a"
    return f"it is {article} {found} program; kilowait reads PyTorch"
