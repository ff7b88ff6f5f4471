"""Tensors without data, made as FakeTensor makes them, with less work.

Its constructor checks what it is given and sets a dozen attributes one by one. Tensors of one mode and device have the
same ones, so that the first is made by the constructor and the others take over what it has.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

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
