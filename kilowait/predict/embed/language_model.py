"""Language models: found, pinned and loaded without their head.

The embedded model ("smollm2-135m") comes from a registry package (embedded.py). Any other name is a folder or a model
of the Hugging Face hub, and transformers loads it. Every model has a revision that is part of each feature key: the
package's version, a hash of the folder's content, or the hub's commit.

Not covered: models whose code comes with the weights (trust_remote_code), encoder-decoder models, tensor parallelism
(a big model is spread over GPUs block by block, by accelerate).
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from torch import nn

from kilowait.core.errors import InputError, ModelError
from kilowait.predict.embed import packaged_model
from kilowait.predict.embed.llama import Llama
from kilowait.predict.embed.packaged_model import DEFAULT_MODEL

DType = Literal["auto", "bfloat16", "float16", "float32"]

_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")  # of a hub model; no code, no second copy
_CONTENT = (".safetensors", ".bin", ".json", ".model", ".txt", ".gguf")
_WHOLE_BYTES = 32 * 2**20  # files up to this are hashed whole
_SAMPLES = 256
_SAMPLE_BYTES = 16 * 2**10
_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")
_CONTEXTS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


class TokenizedText(NamedTuple):
    """A text's token ids, and the characters [start, end) of the text that each token stands for."""

    ids: list[int]
    spans: list[tuple[int, int]]


Tokenize = Callable[[str], TokenizedText]
"""The tokens of a text alone: none that marks a beginning or an end is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLocation:
    """Where a model lies on this machine: its pinned revision, its number of blocks and its context in tokens."""

    name: str
    revision: str
    path: Path
    layers: int
    context: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageModel:
    """A causal language model without its head: the tokenizer, the blocks in order and the norm after the last."""

    location: ModelLocation
    tokenize: Tokenize
    backbone: nn.Module
    blocks: Sequence[nn.Module]
    final_norm: nn.Module | None

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are held and multiplied in."""
        return next(self.blocks[0].parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the input tokens go: the first device of a model that is spread over several."""
        return next(self.backbone.parameters()).device


def best_dtype() -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float16 on a GPU and float32 on a CPU.

    A CPU without AMX or AVX512-BF16 emulates bfloat16: measured 26 against 135 GFLOP/s a core on Cascade Lake.
    """
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    capabilities = torch.cpu.get_capabilities()
    return (
        torch.bfloat16 if any(capabilities.get(flag) for flag in ("amx_bf16", "avx512_bf16", "bf16")) else torch.float32
    )


def locate_model(name: str = DEFAULT_MODEL, revision: str | None = None) -> ModelLocation:
    """Bring the model onto this machine if it is not here, and pin its revision.

    Raises ModelError when it cannot be had, or when what is here is not `revision`.
    """
    if name == DEFAULT_MODEL:
        pinned, path = packaged_model.find(revision)
    elif Path(name).expanduser().is_dir():
        name = str(Path(name).expanduser().resolve())
        pinned, path = _local(Path(name), revision)
    else:
        pinned, path = _from_hub(name, revision)
    config = packaged_model.configuration(path) if name == DEFAULT_MODEL else _configuration(name, path)
    context = next((n for key in _CONTEXTS if (n := config.get(key))), None)
    layers = config.get("num_hidden_layers")
    if not layers or not context:
        raise ModelError(f"{name}: its configuration names no num_hidden_layers or context; give a causal LM")
    return ModelLocation(name=name, revision=pinned, path=path, layers=int(layers), context=int(context))


def load_language_model(
    name: str = DEFAULT_MODEL, revision: str | None = None, *, dtype: DType = "auto", depth: int | None = None
) -> LanguageModel:
    """Load a causal language model, without its head, onto the GPUs that are there or the CPU.

    `name` is "smollm2-135m", a folder or a hub name; `dtype` "auto" is `best_dtype()`. Vectors of two dtypes agree
    to the rounding of the coarser, so the dtype is not part of the feature key. Of the embedded model `depth` blocks
    are loaded, all by default. Raises ModelError.
    """
    location = locate_model(name, revision)
    if dtype not in get_args(DType):
        raise InputError(f"dtype must be one of {', '.join(get_args(DType))}, got {dtype!r}")
    exact = best_dtype() if dtype == "auto" else getattr(torch, dtype)
    if location.name == DEFAULT_MODEL:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        backbone: nn.Module = packaged_model.load_weights(location.path, exact, device, depth)
    else:
        backbone = _weights(location, exact)
    norm = next((child for key in _NORMS if (child := _child(backbone, key))), None)
    return LanguageModel(
        location=location,
        tokenize=load_tokenizer(location),
        backbone=backbone,
        blocks=tuple(backbone.layers) if isinstance(backbone, Llama) else _blocks(backbone, location),
        final_norm=norm,
    )


def load_tokenizer(location: ModelLocation) -> Tokenize:
    """The model's tokenizer; raises ModelError when its files are missing or damaged."""
    if location.name == DEFAULT_MODEL:
        packaged = packaged_model.load_tokenizer(location.path)

        def tokenize(text: str) -> TokenizedText:
            encoding = packaged.encode(text, add_special_tokens=False)
            return TokenizedText(encoding.ids, encoding.offsets)

        return tokenize
    return _load_with_transformers(location)


def _load_with_transformers(location: ModelLocation) -> Tokenize:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(location.path, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"{location.name}: no tokenizer loads from {location.path}: {error}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"{location.name}: its tokenizer has no tokenizer.json, and so tells no token's place")

    def tokenize(text: str) -> TokenizedText:
        encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return TokenizedText(encoding["input_ids"], encoding["offset_mapping"])

    return tokenize


def _weights(location: ModelLocation, dtype: torch.dtype) -> nn.Module:
    from safetensors import SafetensorError
    from transformers import AutoModel

    spread = {"device_map": "auto"} if torch.cuda.is_available() else {}
    try:
        with _no_bars():
            backbone = AutoModel.from_pretrained(location.path, dtype=dtype, local_files_only=True, **spread)
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise ModelError(f"{location.name}: cannot be loaded from {location.path}: {error}") from error
    return cast(nn.Module, backbone.eval())


def _blocks(backbone: nn.Module, location: ModelLocation) -> Sequence[nn.Module]:
    for module in backbone.modules():
        if isinstance(module, nn.ModuleList) and len(module) == location.layers:
            return tuple(module)
    raise ModelError(f"{location.name}: found no list of its {location.layers} blocks; give a decoder-only model")


def _child(backbone: nn.Module, key: str) -> nn.Module | None:
    """The module called `key` beside the blocks: on the backbone, or on its decoder (OPT); None if there is none."""
    for owner in (backbone, getattr(backbone, "decoder", None)):
        child = getattr(owner, key, None)
        if isinstance(child, nn.Module):
            return child
    return None


def _configuration(name: str, path: Path) -> dict[str, Any]:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True).get_text_config(decoder=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"{name}: {path} holds no model that transformers knows: {error}") from error
    return {key: getattr(config, key, None) for key in (*_CONTEXTS, "num_hidden_layers")}


def _local(folder: Path, revision: str | None) -> tuple[str, Path]:
    content_revision = _content_revision(folder)
    if revision is not None and revision != content_revision:
        raise ModelError(
            f"{folder}: revision {revision} is asked for, its content is {content_revision}; leave --revision out"
        )
    return content_revision, folder


def _content_revision(folder: Path) -> str:
    """16 hexadecimal characters over the names, sizes and content of a model's files.

    Of files over 32 MiB 256 evenly spaced pieces are read: enough to tell fine-tunes apart, in less than a second.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in _CONTENT):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _WHOLE_BYTES:
                digest.update(file.read())
                continue
            for piece in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * piece // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]


def _from_hub(name: str, revision: str | None) -> tuple[str, Path]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(name, revision=revision, allow_patterns=list(_FILES)))
        if not any(path.glob("*.safetensors")):
            path = Path(snapshot_download(name, revision=revision, allow_patterns=[*_FILES, "*.bin"]))
    except HFValidationError as error:
        raise ModelError(f"{name}: neither a folder nor a model's name (owner/model)") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"{name}: not in the local cache and the hub did not give it ({_first_line(error)}); "
            "check the name and --revision, or download it elsewhere and give its folder as --model"
        ) from error
    if not re.fullmatch("[0-9a-f]{40}", path.name):
        raise ModelError(f"{name}: the hub's snapshot {path} names no commit; give a folder as --model")
    return path.name, path


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def _no_bars() -> Iterator[None]:
    """Hide transformers' progress bars: a cached model loads too fast to need them."""
    from transformers.utils import logging

    bars_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if bars_enabled:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
