"""What the dry run takes from PyTorch, under the names that versions from 2.1 on have for it.

Comes in: a function or table that moved or changed its signature. Newer names first, the older in their place.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils import _pytree, flop_counter

FLOPS: Any = vars(flop_counter).get("flop_registry") or flop_counter.flop_mapping  # type: ignore[attr-defined]
"""Formulas by operator: of tensors under the first name, of their shapes under the older (before 2.2)."""
_RESULT = "out_val" if "out_val" in signature(FLOPS[torch.ops.aten.mm], follow_wrapped=False).parameters else "out"
GRAD_SCALER: Any = getattr(torch.amp, "GradScaler", None) or torch.cuda.amp.GradScaler


def _storages_last() -> bool:
    """Whether a storage is the same object whenever it is asked for (since 2.2), so that its end can be waited for."""
    tensor = torch.ones(1)
    return tensor.untyped_storage() is tensor.untyped_storage()


STORAGES_LAST = _storages_last()


def when_gone(storage: Any, gone: Callable[[Any], None]) -> Any:
    """Call `gone` when a storage is given back; in older versions nobody calls, and the result's `expired()` tells."""
    return weakref.ref(storage, gone) if STORAGES_LAST else StorageWeakRef(storage)  # type: ignore[no-untyped-call]


def tree_leaves(tree: Any) -> list[Any]:
    """What is at the ends of nested lists, tuples and dictionaries."""
    return list(_pytree.tree_flatten(tree)[0])


def product_flops(func: Any, args: Any, kwargs: Any, result: Any) -> float | None:
    """PyTorch's own count of the FLOPs of a call; None where it has none."""
    formula: Callable[..., Any] | None = FLOPS.get(func._overloadpacket)
    if formula is None:
        return None
    if hasattr(flop_counter, "flop_registry"):
        return float(formula(*args, **kwargs, **{_RESULT: result}))
    args, kwargs, shape = _pytree.tree_map(_shape, (args, kwargs, result))
    return float(formula(*args, **kwargs, out_shape=shape))


def _shape(value: Any) -> Any:
    return value.shape if isinstance(value, Tensor) else value


def autocast_dtype() -> torch.dtype | None:
    """The type that autocast uses on a GPU now; None where it is off."""
    if hasattr(torch, "get_autocast_dtype"):
        return torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


def keep_to_slow_path() -> None:
    """Let the layers of transformers call the operators that they are made of, also where nothing is learnt."""
    if hasattr(torch.backends, "mha"):
        torch.backends.mha.set_fastpath_enabled(False)
    else:  # they ask by this name whether a tensor is special; functions of operators have names of their own for it
        setattr(torch.overrides, "has_torch_function", _always)  # noqa: B010 - the checker has another signature


def takes_many(device: torch.device) -> bool:
    """Whether optimizers hand many tensors to one kernel on a device."""
    from torch.utils import _foreach_utils as foreach

    if hasattr(foreach, "_device_has_foreach_support"):
        return bool(foreach._device_has_foreach_support(device))
    return device.type in ("cpu", *foreach._get_foreach_kernels_supported_devices())


def keep_devices_closed() -> None:
    """Let nobody start CUDA for a tensor without data; PyTorch asks torch.cuda, which is pretended."""
    if hasattr(fake_tensor, "init_cuda_context"):
        fake_tensor.init_cuda_context = _nothing
    if not hasattr(FakeTensorMode, "avoid_device_init"):
        FakeTensorMode.dispatch = _copying_no_value(FakeTensorMode.dispatch)  # type: ignore[method-assign]
    FakeTensorMode.avoid_device_init = property(lambda _mode: True)  # type: ignore[assignment,method-assign]


def _copying_no_value(dispatch: Callable[..., Any]) -> Callable[..., Any]:
    """A tensor whose value is known leaves for the device without it (`avoid_device_init` says so since 2.5)."""

    def dispatched(mode: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        device = (kwargs or {}).get("device")
        if func is not torch.ops.aten._to_copy.default or device is None or torch.device(device).type == "cpu":
            return dispatch(mode, func, types, args, kwargs)
        tensor = args[0]
        value, tensor.constant = getattr(tensor, "constant", None), None
        try:
            return dispatch(mode, func, types, args, kwargs)
        finally:
            tensor.constant = value

    return dispatched


def let_parameters_change_device() -> None:
    """Make Module.to work under the fake mode in versions that set `data` there instead of swapping tensors."""
    code = torch.nn.Module._apply.__code__
    if "FakeTensor" in code.co_names + code.co_varnames + code.co_cellvars:
        return
    asked = torch._has_compatible_shallow_copy_type

    def compatible(tensor: Any, applied: Any) -> bool:
        if not (hasattr(tensor, "fake_device") and hasattr(applied, "fake_device")):
            return bool(asked(tensor, applied))
        tensor.fake_device = applied.fake_device
        return True

    torch._has_compatible_shallow_copy_type = compatible  # type: ignore[assignment]


def _always(_tensors: Any) -> bool:
    return True


def _nothing() -> None:
    return None
