"""What PyTorch's fake mode would ask of a real device, answered without one.

Builds of PyTorch with CUDA look for a driver where an operator has no shape function or a convolution picks its
library; there is none in a dry run, whatever the machine has.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils import _pytree

MOST_NUMBERS = 1_000_000
"""An operator without a shape function is run on zeros of the host up to this size."""


def pretend_device_answers() -> None:
    """Let neither convolutions nor operators without a shape function look for a device."""
    torch._C._select_conv_backend = _conv_backend(torch._C._select_conv_backend)
    setattr(fake_tensor, "run_fallback_kernel", _run_on_host)  # noqa: B010 - its signature differs by version


def _conv_backend(select: Any) -> Any:
    def selected(*args: Any, **kwargs: Any) -> Any:
        try:
            return select(*args, **kwargs)
        except RuntimeError:  # it wanted to know the board
            return torch._C._ConvBackend.Cudnn  # type: ignore[attr-defined, unused-ignore]

    return selected


def _run_on_host(mode: Any, func: Any, arguments: Any, rest: Any, error: Exception) -> Any:
    """In the place of `run_fallback_kernel`, whose arguments came flat with their layout since 2.2."""
    args, kwargs = (arguments, rest) if isinstance(rest, dict) else _pytree.tree_unflatten(arguments, rest)
    leaves = _pytree.tree_flatten((args, kwargs))[0]
    fakes = [leaf for leaf in leaves if isinstance(leaf, FakeTensor)]
    if not func._schema.returns:  # it writes to its arguments, which stay as large as they are
        return None
    if func._schema.name.startswith("aten::_foreach_"):
        return [torch.empty_like(tensor) for tensor in args[0]]
    if not fakes or torch.Tag.inplace_view in func.tags or sum(t.numel() for t in fakes) > MOST_NUMBERS:
        raise error
    with torch._C._DisableTorchDispatch():  # type: ignore[no-untyped-call, unused-ignore]
        args, kwargs = _pytree.tree_map(_zeros, (args, kwargs))
        result = func(*args, **kwargs)
    device = next((fake.fake_device for fake in fakes if fake.fake_device.type != "cpu"), fakes[0].fake_device)
    return _pytree.tree_map(lambda value: _fake(mode, value, device), result)


def _zeros(value: Any) -> Any:
    if isinstance(value, FakeTensor):
        return torch.zeros(value.shape, dtype=value.dtype, device="cpu")
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _fake(mode: Any, value: Any, device: torch.device) -> Any:
    if not isinstance(value, Tensor):
        return value
    with torch._C._DisableTorchDispatch():  # type: ignore[no-untyped-call, unused-ignore]
        return FakeTensor(mode, value.to("meta"), device)
