"""Models as they are published: the configuration of a name, from the catalogue, and what to say of it."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.standins import published_facts

_isdir = os.path.isdir  # the program finds another, for which folders are there that are not
OF_THE_HUB = frozenset(
    [
        "cache_dir",
        "force_download",
        "resume_download",
        "proxies",
        "token",
        "use_auth_token",
        "local_files_only",
        "revision",
        "subfolder",
        "variant",
        "trust_remote_code",
        "code_revision",
        "mirror",
        "_from_auto",
        "_from_pipeline",
        "_commit_hash",
        "user_agent",
        "gguf_file",
        "adapter_kwargs",
        "weights_only",
        "use_safetensors",
        "state_dict",
        "from_tf",
        "from_flax",
        "ignore_mismatched_sizes",
        "low_cpu_mem_usage",
        "key_mapping",
        "offload_folder",
        "offload_state_dict",
        "offload_buffers",
        "max_memory",
        "_fast_init",
        "tp_plan",
        "tp_size",
        "device_mesh",
        "use_kernels",
        "output_loading_info",
        "attn_implementation",
        "experts_implementation",
        "generation_config",
        "dduf_entries",
    ]
)
"""Arguments about where a model comes from and how it is read, which say nothing of what it is."""


class Published:
    """The catalogue of models for one program."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def entry(self, name: Any) -> tuple[str, dict[str, Any]] | None:
        """What the catalogue knows of a model; None for a folder or an unknown name."""
        return published_facts.model(os.fspath(name)) if isinstance(name, (str, os.PathLike)) else None

    def is_here(self, name: Any, subfolder: Any, files: str) -> bool:
        """Whether one of these files of a model lies in a folder of that name, or in the local cache."""
        folder = os.path.join(str(name), str(subfolder or ""))
        if _isdir(folder):
            return True
        try:
            look = import_module("huggingface_hub").try_to_load_from_cache
        except ImportError:
            return False
        names = [f"{subfolder}/{file}" if subfolder else file for file in files.split()]
        try:
            return any(isinstance(look(str(name), file), str) for file in names)
        except ValueError:  # no name that the hub would take: a folder's
            return False

    def configuration(self, name: Any, part: str | None = None) -> dict[str, Any] | None:
        """The configuration of a model, or of a part of a pipeline; says so."""
        found = self.entry(name)
        if found is None:
            return None
        known, facts = found
        config = facts.get("parts", {}).get(part) if part else facts.get("config")
        if config is None:
            return None
        self.said(known if not part else f"{known}/{part}", config, *published_facts.certainty(facts, *config))
        return dict(config)

    def said(self, name: str, config: dict[str, Any], mark: str, how: str) -> None:
        """One line about the sizes that a model was built with."""
        width = next((config[key] for key in _WIDTH if key in config), None)
        layers = next((config[key] for key in _LAYERS if key in config), None)
        about = ", ".join(
            [*([f"{layers} layers"] if layers else []), *([f"width {width}"] if width else []),
             *([f"vocabulary {config['vocab_size']:,}"] if "vocab_size" in config else [])]
        )  # fmt: skip
        kind = config.get("model_type") or config.get("_class_name", "model")
        self.recorder.assume(f"{name} is a {kind}{': ' if about else ''}{about} ({mark})", how)


_WIDTH = ("hidden_size", "d_model", "n_embd", "dim", "hidden_sizes", "embed_dim", "block_out_channels")
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers", "depths")
