"""DeepSpeed in a dry run: its engine's steps, precision, accumulation and ZeRO stages over PyTorch's own optimizers.

Its operators are built for the machine that runs them, so that it cannot run on tensors without data. Stage 1 and
above keep a flat share of the optimizer's state on each rank; gradients are scattered and weights gathered.

Not covered: pipelines, experts, quantization, offloading of weights; the memory that stage 3 saves.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kilowait.predict.dryrun.distributed.exchanges import note
from kilowait.predict.dryrun.recorder import Recorder

_OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.AdamW,
    "adamw": torch.optim.AdamW,
}
_KNOWN = ("lr", "betas", "eps", "weight_decay", "momentum")


def settings_of(config: Any) -> dict[str, Any]:
    """The configuration, given as a dictionary or as a path; raises OSError and ValueError as reading it does."""
    if isinstance(config, (str, os.PathLike)):
        with open(config, encoding="utf-8") as stream:
            config = json.load(stream)
    return dict(config or {})


def batches_of(settings: dict[str, Any], world: int) -> tuple[int, int]:
    """(samples of a rank's batch, batches a step): each follows from the others where it is not given."""
    given = (settings.get(name) for name in ("train_batch_size", "train_micro_batch_size_per_gpu"))
    total, micro = (int(value) if isinstance(value, (int, float)) else 0 for value in given)
    steps = settings.get("gradient_accumulation_steps")
    steps = int(steps) if isinstance(steps, (int, float)) else 0
    if total and micro and not steps:
        steps = max(1, total // (micro * world))
    if total and not micro:
        micro = max(1, total // (max(1, steps) * world))
    return micro or 1, steps or 1


class Engine(nn.Module):
    """What `deepspeed.initialize` gives: the model, and who steps for it."""

    optimizer: Any

    def __init__(self, recorder: Recorder, model: nn.Module, optimizer: Any, parameters: Any, config: Any) -> None:
        super().__init__()
        self.settings = settings_of(config)
        self._recorder = recorder
        self.world_size = torch.distributed.get_world_size()
        self.global_rank = self.local_rank = 0
        self.device = torch.device("cuda", 0) if recorder.target == "cuda" else torch.device("cpu")
        self._micro, self._accumulation = batches_of(self.settings, self.world_size)
        self._stage = int(self.settings.get("zero_optimization", {}).get("stage", 0))
        self.module = model.to(device=self.device, dtype=self._dtype())
        self._learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
        vars(self)["optimizer"] = self._optimizer(optimizer, parameters)
        self.micro_steps = self.global_steps = 0
        self.lr_scheduler: Any = None

    def _dtype(self) -> torch.dtype | None:
        if self.settings.get("fp16", {}).get("enabled"):
            return torch.float16
        enabled = self.settings.get("bf16", self.settings.get("bfloat16", {})).get("enabled")
        return torch.bfloat16 if enabled else None

    def _optimizer(self, optimizer: Any, parameters: Any) -> Any:
        if callable(optimizer) and not isinstance(optimizer, torch.optim.Optimizer):
            optimizer = optimizer(self._learnt)
        if optimizer is None and "optimizer" in self.settings:
            kind, options = self.settings["optimizer"].get("type", "Adam"), self.settings["optimizer"].get("params", {})
            make = _OPTIMIZERS.get(str(kind).lower().replace("fused", ""), torch.optim.AdamW)
            known = {name: value for name, value in options.items() if name in _KNOWN and value != "auto"}
            given = list(parameters) if parameters is not None else self._learnt
            optimizer = make(given, **{"lr": 1e-3, **known})
        self._flat = optimizer is not None and (self._dtype() is not None or self._stage > 0)
        if self._flat:
            for group in optimizer.param_groups:
                group["params"] = [self._share(group["params"])]
        return optimizer

    def _share(self, parameters: list[Tensor]) -> nn.Parameter:
        """The full-precision numbers of a group that this rank steps."""
        count = sum(parameter.numel() for parameter in parameters)
        ranks = self.world_size if self._stage else 1
        share = nn.Parameter(torch.empty(-(-count // ranks), dtype=torch.float32, device=self.device))
        share.grad = torch.empty_like(share)
        share.of_others = True  # type: ignore[attr-defined]
        return share

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the model gives; stage 3 gathers its weights first."""
        if self._stage == 3:
            self._exchange("all_gather")
        return self.module(*inputs, **kwargs)

    def backward(self, loss: Tensor, *_: Any, retain_graph: bool = False, **__: Any) -> Tensor:
        """Gradients of one batch, exchanged where they make a step."""
        if self._stage == 3:
            self._exchange("all_gather")
        torch.autograd.backward(
            loss / self._accumulation if self._accumulation > 1 else loss, retain_graph=retain_graph
        )
        if self.is_gradient_accumulation_boundary() or self._stage > 1:
            self._exchange("reduce_scatter" if self._stage else "all_reduce")
        return loss

    def is_gradient_accumulation_boundary(self) -> bool:
        """Whether the next `step` moves the weights."""
        return bool((self.micro_steps + 1) % self._accumulation == 0)

    def step(self, *_: Any, **__: Any) -> None:
        """Move the weights, after as many batches as make a step."""
        if self.is_gradient_accumulation_boundary() and self.optimizer is not None:
            self._move()
            self.global_steps += 1
        self.micro_steps += 1

    def _move(self) -> None:
        if self.settings.get("gradient_clipping"):
            nn.utils.clip_grad_norm_(self._learnt, float(self.settings["gradient_clipping"]))
        if self._flat:
            torch._foreach_mul([p.grad.float() for p in self._learnt if p.grad is not None], 1.0)
        self.optimizer.step()
        if self._flat:
            with torch.no_grad():
                torch._foreach_mul_([parameter.data for parameter in self._learnt], 1.0)
        if self._stage in (1, 2):
            self._exchange("all_gather")
        for parameter in self._learnt:
            parameter.grad = None
        if self.lr_scheduler is not None:
            self.lr_scheduler.step()

    def _exchange(self, op: str) -> None:
        size = sum(parameter.numel() * parameter.element_size() for parameter in self._learnt)
        note(self._recorder, op, str(self._learnt[0].dtype).partition(".")[2], float(size), self.world_size)

    def zero_grad(self, *_: Any, **__: Any) -> None:
        """A step has done so."""

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients stay here inside."""
        yield

    def bfloat16_enabled(self) -> bool:
        """Whether the model computes in bfloat16."""
        return self._dtype() is torch.bfloat16

    def fp16_enabled(self) -> bool:
        """Whether the model computes in float16."""
        return self._dtype() is torch.float16

    def amp_enabled(self) -> bool:
        """Whether apex mixes precisions."""
        return bool(self.settings.get("amp", {}).get("enabled"))

    def zero_optimization(self) -> bool:
        """Whether the ranks share states."""
        return self._stage > 0

    def gradient_clipping(self) -> float:
        """The norm that gradients are cut to, 0 for none."""
        return float(self.settings.get("gradient_clipping", 0.0))

    def steps_per_print(self) -> int:
        """How often DeepSpeed says how it goes."""
        return int(self.settings.get("steps_per_print", 10))

    def train_batch_size(self) -> int:
        """Samples of a step, of all ranks."""
        return self._micro * self._accumulation * self.world_size

    def train_micro_batch_size_per_gpu(self) -> int:
        """Samples of a batch of this rank."""
        return self._micro

    def gradient_accumulation_steps(self) -> int:
        """Batches of a step."""
        return self._accumulation

    def zero_optimization_stage(self) -> int:
        """What is shared out over ranks."""
        return self._stage

    def get_global_grad_norm(self) -> float:
        """Not known."""
        return 1.0

    def get_lr(self) -> list[float]:
        """The learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def save_checkpoint(self, *_: Any, **__: Any) -> bool:
        """Nothing is written."""
        return True

    save_16bit_model = save_checkpoint

    def load_checkpoint(self, *_: Any, **__: Any) -> tuple[None, dict[str, Any]]:
        """Nothing is read."""
        return None, {}
