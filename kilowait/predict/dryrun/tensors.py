"""What the recorder asks of the tensors of one call: which there are, where they are, and how many bytes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

_GENERATOR = torch.Generator
META, CUDA = torch.device("meta"), torch.device("cuda:0")


def tensors_in(tree: Any) -> list[Tensor]:
    """The dense tensors in arguments or results of an operator, which nest in tuples, lists and one dictionary."""
    found: list[Tensor] = []
    _gather((tree,), found)
    return found


def _gather(parts: Iterable[Any], found: list[Tensor]) -> None:
    for part in parts:
        if isinstance(part, Tensor):
            if part.layout is torch.strided:
                found.append(part)
        elif isinstance(part, (list, tuple)):
            _gather(part, found)
        elif isinstance(part, dict):
            _gather(part.values(), found)


def device_of(inputs: list[Tensor], outputs: list[Tensor]) -> str:
    """Where a call runs: on the GPU as soon as one of its tensors is there."""
    return "cuda" if any(t.device.type == "cuda" for t in (*inputs, *outputs)) else "cpu"


def crosses(inputs: list[Tensor], outputs: list[Tensor]) -> bool:
    """Whether data goes between host and device; a scalar on the host that takes part in an operator does not count."""
    sides = {t.device.type for t in inputs if t.dim() > 0} | {t.device.type for t in outputs}
    return len(sides) > 1


def dtype_of(inputs: list[Tensor], outputs: list[Tensor]) -> str:
    """The type that the arithmetic is in: the first floating one among the inputs, else that of the output."""
    floats = (t for t in (*inputs, *outputs) if t.dtype.is_floating_point or t.dtype.is_complex)
    tensor = next(floats, None if not (inputs or outputs) else (outputs or inputs)[0])
    return "" if tensor is None else str(tensor.dtype).removeprefix("torch.")


def bytes_of(tensors: list[Tensor]) -> float:
    """Bytes of these tensors, each once; a broadcast dimension (stride 0) is stored once."""
    return float(sum(_stored(t) for t in {id(t): t for t in tensors}.values()))


def _stored(tensor: Tensor) -> int:
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride()) if stride != 0)
    return math.prod(sizes) * tensor.element_size()


def attributes_of(args: Any, kwargs: Any) -> list[Any]:
    """The arguments, with T in the place of a tensor."""
    return [_plain(a) for a in args] + [[k, _plain(v)] for k, v in kwargs.items()]


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return "T"
    if isinstance(value, (list, tuple)):
        return f"T*{len(value)}" if value and all(isinstance(v, Tensor) for v in value) else [_plain(v) for v in value]
    return "generator" if isinstance(value, _GENERATOR) else value  # as a text it would name its place in memory


@cache
def composite(func: Any) -> bool:
    """Whether an operator is nothing but calls of others."""
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))


@cache
def unfolds(kind: Any) -> bool:
    """Whether a kind of tensor is made of others (DTensor, nested): what it does with those is seen by itself."""
    return kind is not FakeTensor and kind.__torch_dispatch__ is not Tensor.__torch_dispatch__


def told(device: torch.device) -> torch.device:
    """The device that C++ is told of.

    The engine of autograd wants streams and threads of a CUDA device and none of a meta device; Python asks elsewhere.
    """
    return META if device.type == "cuda" else device


def layout_of(inputs: list[Tensor]) -> str:
    """`channels_last` where the channels of an image or a volume lie next to each other, else empty."""
    return "channels_last" if any(t.dim() in _SPATIAL and _channels_last(t) for t in inputs) else ""


_SPATIAL = {4: torch.channels_last, 5: torch.channels_last_3d}


def _channels_last(tensor: Tensor) -> bool:
    return not tensor.is_contiguous() and tensor.is_contiguous(memory_format=_SPATIAL[tensor.dim()])
