"""Tensors without data, made as FakeTensor makes them, with less work.

Its constructor checks what it is given and sets a dozen attributes one by one. Tensors of one mode and device have the
same ones, so that the first is made by the constructor and the others take over what it has.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

LIFT = torch.ops.aten.lift_fresh.default
"""What PyTorch calls with every tensor that it has made of numbers."""
_attributes: dict[tuple[FakeTensorMode, torch.device], dict[str, Any]] = {}
_warns = getattr(torch._C, "_set_warn_deprecated_on_mutable_data_ptr", None)  # since 2.3
_throws = getattr(torch._C, "_set_throw_on_mutable_data_ptr", None)


def without_data(mode: FakeTensorMode, plain: Tensor, device: torch.device) -> Tensor:
    """A tensor that says it is on `device` around the meta tensor `plain`; called where nothing is dispatched."""
    attributes = _attributes.get((mode, device))
    if attributes is None:
        first: Tensor = FakeTensor(mode, plain, device)
        if device.index is not None or device.type == "cpu":  # else the constructor has put in the number of the device
            _attributes[mode, device] = dict(vars(first))
        return first
    tensor = Tensor._make_subclass(
        FakeTensor, plain, plain.requires_grad, dispatch_device=True, device_for_backend_keys=device
    )
    set_pointer = _warns if getattr(mode, "_allow_unsafe_data_ptr_access", True) else _throws
    if set_pointer is not None:
        set_pointer(tensor)
    vars(tensor).update(attributes)
    made: Tensor = tensor
    return made


def lifted(mode: FakeTensorMode, tensor: Tensor) -> Tensor | None:
    """A tensor of the program's numbers without its data; None for what the mode itself must see: single numbers."""
    if type(tensor) is not Tensor or tensor.numel() < 2 or tensor.device.type != "cpu" or tensor.requires_grad:
        return None
    if tensor.layout is not torch.strided or tensor.storage_offset():
        return None
    with torch._C._DisableTorchDispatch():  # type: ignore[no-untyped-call, unused-ignore]
        plain = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        return without_data(mode, plain, tensor.device)
