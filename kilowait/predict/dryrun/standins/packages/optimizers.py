"""Fused and 8-bit optimizers and layers: apex, bitsandbytes, DeepSpeed's own operators.

An optimizer reads and writes what its plain form does; 8-bit states are counted as 32-bit ones, which is more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.standins.packages.attention import Functions

_OPTIONS = {
    "adam": ("lr betas eps weight_decay amsgrad", optim.AdamW),
    "sgd": ("lr momentum dampening weight_decay nesterov", optim.SGD),
    "adagrad": ("lr lr_decay weight_decay eps", optim.Adagrad),
    "rmsprop": ("lr alpha eps weight_decay momentum centered", optim.RMSprop),
}


def _like(name: str, kind: str) -> Any:
    """An optimizer of that name which does what the plain one of `kind` does."""
    options, base = _OPTIONS[kind]

    def init(self: Any, params: Any, lr: Any = 1e-3, *_: Any, **kwargs: Any) -> None:
        known = {key: value for key, value in kwargs.items() if key in options.split()}
        base.__init__(self, params, lr=lr, **known)

    return type(name, (base,), {"__init__": init})


_BY_KIND = {
    "adam": "FusedAdam FusedLAMB FusedNovoGrad FusedMixedPrecisionLamb "
    "DeepSpeedCPUAdam FusedLamb Adam Adam8bit "
    "Adam32bit AdamW AdamW8bit AdamW32bit PagedAdam PagedAdam8bit PagedAdamW PagedAdamW8bit PagedAdamW32bit LAMB "
    "LAMB8bit AdEMAMix AdEMAMix8bit",
    "sgd": "FusedSGD SGD SGD8bit LARS LARS8bit Lion Lion8bit PagedLion PagedLion8bit FusedLion DeepSpeedCPULion",
    "adagrad": "FusedAdagrad Adagrad Adagrad8bit DeepSpeedCPUAdagrad",
    "rmsprop": "RMSprop RMSprop8bit",
}


def optimizer_packages(recorder: Recorder) -> Functions:
    """What apex, bitsandbytes and DeepSpeed's operators offer."""
    made = {name: _like(name, kind) for kind, names in _BY_KIND.items() for name in names.split()}
    norms = {"FusedLayerNorm": nn.LayerNorm, "MixedFusedLayerNorm": nn.LayerNorm}
    norms.update(FusedRMSNorm=nn.RMSNorm, MixedFusedRMSNorm=nn.RMSNorm)
    return {
        "apex": {"amp": _Amp()},
        "apex.amp": {"initialize": _Amp.initialize, "scale_loss": _Amp.scale_loss, "master_params": _Amp.master_params},
        "apex.optimizers": made,
        "apex.normalization": norms,
        "apex.normalization.fused_layer_norm": norms,
        "apex.parallel": {
            "DistributedDataParallel": nn.parallel.DistributedDataParallel,
            "SyncBatchNorm": nn.SyncBatchNorm,
            "convert_syncbn_model": lambda model, *_, **__: model,
        },
        "apex.contrib.xentropy": {"SoftmaxCrossEntropyLoss": _loss},
        "apex.mlp": {"MLP": Perceptron},
        "apex.fused_dense": {"FusedDense": nn.Linear},
        "bitsandbytes": {},
        "bitsandbytes.optim": made,
        "bitsandbytes.nn": {
            "Linear8bitLt": _quantized(recorder, "Linear8bitLt"),
            "Linear4bit": _quantized(recorder, "Linear4bit"),
            "LinearNF4": _quantized(recorder, "LinearNF4"),
            "LinearFP4": _quantized(recorder, "LinearFP4"),
            "Embedding": nn.Embedding,
            "StableEmbedding": nn.Embedding,
        },
        "deepspeed.ops.adam": made,
        "deepspeed.ops.lamb": made,
        "deepspeed.ops.lion": made,
    }


def _quantized(recorder: Recorder, name: str) -> Any:
    def init(self: Any, input_features: int, output_features: int, bias: bool = True, *_: Any, **__: Any) -> None:
        recorder.assume(f"bitsandbytes {name}: counted as a product in 16 bits", "modelled")
        nn.Linear.__init__(self, input_features, output_features, bias)
        self.weight.requires_grad_(False)

    def forward(self: Any, data: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(data.dtype)
        return functional.linear(data, self.weight.to(data.dtype), bias)

    return type(name, (nn.Linear,), {"__init__": init, "forward": forward})


class _Loss:
    @staticmethod
    def apply(logits: Tensor, labels: Tensor, *_: Any, **__: Any) -> Tensor:
        """The loss of each row."""
        return functional.cross_entropy(logits.float(), labels, reduction="none")


_loss = _Loss


class Perceptron(nn.Sequential):
    """Layers with ReLU between them, as apex's MLP fuses them."""

    def __init__(self, mlp_sizes: Any, bias: bool = True, *_: Any, **__: Any) -> None:
        pairs = list(zip(mlp_sizes[:-1], mlp_sizes[1:]))
        layers = [part for inside, outside in pairs for part in (nn.Linear(inside, outside, bias), nn.ReLU())]
        super().__init__(*layers)


class _Amp:
    """apex.amp: O1 is autocast, O2 and O3 hold the model in half precision."""

    @staticmethod
    def initialize(models: Any, optimizers: Any = None, opt_level: str = "O1", **_: Any) -> Any:
        """The model and the optimizers, in the precision of the level."""
        for model in models if isinstance(models, list) else [models]:
            if opt_level in ("O2", "O3"):
                model.half()
            elif opt_level == "O1":
                model.forward = torch.autocast("cuda", dtype=torch.float16)(model.forward)
        return models if optimizers is None else (models, optimizers)

    @staticmethod
    @contextmanager
    def scale_loss(loss: Any, *_: Any, **__: Any) -> Iterator[Any]:
        """The loss times a scale."""
        yield loss * 1.0

    @staticmethod
    def master_params(optimizer: Any) -> Iterator[Any]:
        """What the optimizer changes."""
        return (parameter for group in optimizer.param_groups for parameter in group["params"])
