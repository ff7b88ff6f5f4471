"""The package `deepspeed` as a program imports it, where it is not installed: what leads to the engine of a dry run."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from kilowait.predict.dryrun.distributed.deepspeed_engine import Engine
from kilowait.predict.dryrun.recorder import Recorder

_IMPORTING = re.compile(r"importlib|deepspeed_package\.py$")
_INSTALLED = re.compile(r"[/\\](site|dist)-packages[/\\]")
_MODULES = ("comm", "ops", "ops.adam", "zero", "runtime", "utils", "accelerator", "checkpointing", "runtime.zero")


class DeepSpeedPackage:
    """A finder for `sys.meta_path`, asked last: for the program alone, installed libraries hear that it is missing."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of the package and of the modules that are known of it."""
        known = name == "deepspeed" or (name.partition(".")[0] == "deepspeed" and name.partition(".")[2] in _MODULES)
        return ModuleSpec(name, self, is_package=True) if known and _by_the_program() else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module with what is known of it."""
        module = ModuleType(spec.name)
        contents = _contents(self.recorder).get(spec.name.partition(".")[2], {})
        module.__dict__.update(contents)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It is as it was made; the modules below the package are there with it."""
        if module.__name__ == "deepspeed":
            for name in _MODULES:
                __import__(f"deepspeed.{name}")


def _by_the_program() -> bool:
    frame: Any = sys._getframe(2)
    while frame is not None and _IMPORTING.search(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and not _INSTALLED.search(frame.f_code.co_filename)


def pretend_deepspeed(recorder: Recorder) -> None:
    """Let a program import DeepSpeed."""
    sys.meta_path.append(DeepSpeedPackage(recorder))


def _contents(recorder: Recorder) -> dict[str, dict[str, Any]]:
    """What each module holds."""

    def init_distributed(*_: Any, **__: Any) -> None:
        if not torch.distributed.is_initialized() or recorder.world == 0:
            torch.distributed.init_process_group("nccl")

    def initialize(
        args: Any = None,
        model: Any = None,
        optimizer: Any = None,
        model_parameters: Any = None,
        training_data: Any = None,
        lr_scheduler: Any = None,
        *_: Any,
        collate_fn: Any = None,
        config: Any = None,
        config_params: Any = None,
        **__: Any,
    ) -> Any:
        init_distributed()
        config = config or config_params or getattr(args, "deepspeed_config", None)
        engine = Engine(recorder, model, optimizer, model_parameters, config)
        loader = None
        if training_data is not None:
            sampler = DistributedSampler(training_data) if engine.world_size > 1 else None  # type: ignore[var-annotated]
            loader = DataLoader(training_data, engine._micro, sampler=sampler, collate_fn=collate_fn)
        made = callable(lr_scheduler) and not hasattr(lr_scheduler, "step")
        engine.lr_scheduler = lr_scheduler(engine.optimizer) if made else lr_scheduler
        return engine, engine.optimizer, loader, engine.lr_scheduler

    def add_config_arguments(parser: Any) -> Any:
        group = parser.add_argument_group("DeepSpeed", "DeepSpeed configurations")
        group.add_argument("--deepspeed", default=False, action="store_true")
        group.add_argument("--deepspeed_config", default=None, type=str)
        return parser

    @contextmanager
    def nothing(*_: Any, **__: Any) -> Any:
        yield

    adam = {"FusedAdam": torch.optim.AdamW, "DeepSpeedCPUAdam": torch.optim.AdamW}
    zero = {"Init": nothing, "GatheredParameters": nothing}
    return {
        "": {
            "initialize": initialize,
            "init_distributed": init_distributed,
            "add_config_arguments": add_config_arguments,
            "DeepSpeedEngine": Engine,
            "get_accelerator": _Accelerator,
            "__version__": "0.16.0",
        },
        "comm": {**vars(torch.distributed), "init_distributed": init_distributed},
        "ops.adam": adam,
        "zero": zero,
        "runtime.zero": zero,
        "utils": {"log_dist": lambda *_, **__: None},
        "accelerator": {"get_accelerator": _Accelerator},
        "checkpointing": {"checkpoint": torch.utils.checkpoint.checkpoint, "configure": lambda *_, **__: None},
    }


class _Accelerator:
    """What DeepSpeed's own face of a device answers: as PyTorch's does."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cuda, name)

    def device_name(self, index: int | None = None) -> str:
        """The name by which a device is found."""
        return "cuda" if index is None else f"cuda:{index}"

    def current_device_name(self) -> str:
        """The name of this rank's device."""
        return "cuda:0"

    def communication_backend_name(self) -> str:
        """What ranks exchange by."""
        return "nccl"

    def is_bf16_supported(self) -> bool:
        """Whether bfloat16 is."""
        return True

    is_fp16_supported = is_bf16_supported
