"""The memory format of what a convolution gives: that of its data or weights on a GPU, and PyTorch without one forgets.

Not covered: convolutions that cuDNN leaves to kernels of PyTorch's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from kilowait.predict.dryrun.child.quick_tensors import without_data

_DATA_AND_WEIGHT = {"aten::convolution": (0, 1), "aten::convolution_backward": (1, 2)}
_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def laid_out(func: Any, args: Any, result: Any) -> Any:
    """The result of a call, images and volumes in the memory format that a GPU gives them."""
    places = _DATA_AND_WEIGHT.get(func._schema.name)
    if places is None or not any(_channels_last(args[place]) for place in places):
        return result
    return _laid(result) if isinstance(result, Tensor) else tuple(_laid(part) for part in result)


def _channels_last(tensor: Tensor) -> bool:
    """As PyTorch suggests a format: by the strides, also where a side of 1 leaves the choice."""
    if tensor.dim() not in _FORMATS or tensor.device.type != "cuda" or tensor.shape[1] == 1:
        return False
    fits = tensor.is_contiguous(memory_format=_FORMATS[tensor.dim()])
    return fits and tensor.stride(1) == 1 and tensor.stride(-1) == tensor.shape[1]


def _laid(part: Any) -> Any:
    if not isinstance(part, FakeTensor) or part.dim() not in _FORMATS:
        return part
    with torch._C._DisableTorchDispatch():
        plain = torch.empty(part.shape, dtype=part.dtype, device="meta", memory_format=_FORMATS[part.dim()])
        return without_data(part.fake_mode, plain, part.fake_device)
