"""The device-neutral names of a pretended GPU: `torch.accelerator`, and devices that are given as a number alone.

`model.to(0)`, `torch.randn(8, device=1)` and `torch.device(rank)` mean a GPU where there is one; a build of PyTorch
without CUDA refuses them.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch.utils import _device as devices

_CUDA = torch.device("cuda", 0)
_RealDevice = torch.device


def pretend_accelerator() -> None:
    """Answer for the accelerator, and read numbers as GPUs."""
    _answers()
    torch.device = _Device  # type: ignore[misc,assignment]
    parse: Any = torch._C._nn._parse_to
    torch._C._nn._parse_to = _numbered(parse)
    functions: Any = devices._device_constructors()
    for function in functions:
        name = getattr(function, "__name__", "")
        if getattr(torch, name, None) is function:
            setattr(torch, name, _on_number(getattr(torch, name)))


class _DeviceType(type):
    """Stands for `torch.device` wherever that is asked for as a type."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return (
            _RealDevice("cuda", int(args[0]))
            if len(args) == 1 and _is_number(args[0])
            else _RealDevice(*args, **kwargs)
        )

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _RealDevice)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(subclass, _RealDevice)

    def __eq__(cls, other: Any) -> bool:
        return other is cls or other is _RealDevice

    def __hash__(cls) -> int:
        return hash(_RealDevice)


class _Device(metaclass=_DeviceType):
    """`torch.device`, which takes a number for a GPU."""


_Device.__name__ = _Device.__qualname__ = "device"
_Device.__module__ = "torch"


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _numbered(function: Callable[..., Any]) -> Callable[..., Any]:
    """What reads the arguments of `Module.to`, with a number read as a GPU."""

    def parse(*args: Any, **kwargs: Any) -> Any:
        if args and _is_number(args[0]):
            args = (_RealDevice("cuda", int(args[0])), *args[1:])
        return function(*args, **_named(kwargs))

    return parse


def _on_number(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def make(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **(_named(kwargs) if "device" in kwargs else kwargs))

    return make


def _named(kwargs: Any) -> Any:
    device = kwargs.get("device")
    return {**kwargs, "device": _RealDevice("cuda", int(device))} if _is_number(device) else kwargs


_OF_CUDA = (
    "device_count memory_stats memory_allocated max_memory_allocated memory_reserved max_memory_reserved "
    "reset_peak_memory_stats reset_accumulated_memory_stats synchronize set_stream empty_cache get_device_capability"
)
_RENAMED = {
    **dict.fromkeys(("current_device_index", "current_device_idx"), "current_device"),
    **dict.fromkeys(("set_device_index", "set_device_idx"), "set_device"),
    "get_memory_info": "mem_get_info",
    "device_index": "device",
    "current_stream": "current_stream",
}


def _answers() -> None:
    """`torch.accelerator` of PyTorch 2.6 and later, and the function that older libraries ask."""
    torch._C._get_accelerator = lambda *_: _CUDA
    accelerator: Any = getattr(torch, "accelerator", None)
    if accelerator is None:
        return
    accelerator.is_available = lambda: True
    accelerator.current_accelerator = lambda *_, **__: _RealDevice("cuda")  # as documented: without a number
    for name, of_cuda in {**{name: name for name in _OF_CUDA.split()}, **_RENAMED}.items():
        setattr(accelerator, name, _asking(of_cuda))


def _asking(name: str) -> Callable[..., Any]:
    """What `torch.cuda` answers under `name`, whatever that is by then."""
    return lambda *args, **kwargs: getattr(torch.cuda, name)(*args, **kwargs)
