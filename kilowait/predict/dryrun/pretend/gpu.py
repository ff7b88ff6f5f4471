"""Pretend a GPU in this process: only for a child that does nothing but a dry run.

A build of PyTorch without CUDA makes fake CUDA tensors, but stumbles over the missing device guard as soon as one is
copied or indexed. `pretend_gpu` puts the guard that does nothing in its place, answers the questions that programs
put to `torch.cuda`, and lets modules move between devices under the fake mode. There is no way back.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from kilowait.predict.dryrun.child.device_fallbacks import pretend_device_answers
from kilowait.predict.dryrun.child.older_torch import keep_devices_closed, let_parameters_change_device
from kilowait.predict.dryrun.pretend.accelerator import pretend_accelerator
from kilowait.predict.dryrun.pretend.cuda import pretend_cuda
from kilowait.predict.dryrun.pretend.sparse import is_sparse, moved

CUDA, META = 1, 14
"""Places of device types in c10's registry of guards (c10/core/DeviceType.h)."""
REGISTRY = "_ZN3c104impl26device_guard_impl_registryE"


def pretend_gpu() -> None:
    """Make programs of this process believe in one GPU; call it before any of their code runs."""
    FakeTensorMode()  # what it loads looks at torch.cuda, and must find it as it is
    _guard()
    pretend_cuda()
    pretend_accelerator()
    torch.Tensor.to = _to  # type: ignore[method-assign,assignment]
    torch.Tensor.cuda = _cuda  # type: ignore[method-assign,assignment]
    let_modules_move()
    tell_where_tensors_are()
    keep_devices_closed()
    pretend_device_answers()


def let_modules_move() -> None:
    """Make Module.to work under the fake mode, which cannot swap tensors; needed on either target."""
    torch.utils.swap_tensors = _swap
    FakeTensor.data = property(_DATA.__get__, _set_data)  # type: ignore[assignment]
    let_parameters_change_device()


def tell_where_tensors_are() -> None:
    """Let programs hear of tensors on the pretended GPU that they are there.

    That they are on the meta device stays true for PyTorch's own code, which leaves out by it what has no values.
    """
    FakeTensor.is_cuda = property(_is_on_gpu)  # type: ignore[assignment]
    FakeTensor.is_meta = property(_is_without_device)  # type: ignore[assignment]


def _is_on_gpu(tensor: FakeTensor) -> bool:
    return tensor.fake_device.type == "cuda"


_IS_META: Any = torch.Tensor.is_meta


def _is_without_device(tensor: FakeTensor) -> bool:
    """Whether a tensor is on the meta device: a library builds there, and fills tables once it has left it."""
    asks = sys._getframe(1).f_globals.get("__name__", "")
    told = tensor.fake_device.type == "meta"
    return bool(_IS_META.__get__(tensor)) if asks == "torch" or asks.startswith("torch.") else told


def _guard() -> None:
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    guards = (ctypes.c_void_p * (META + 1)).in_dll(library, REGISTRY)
    guards[CUDA] = guards[META]  # also where PyTorch comes with CUDA: its own guard asks a driver


_real_to = torch.Tensor.to


def _indexed(device: Any) -> Any:
    """The guard cannot say which device is current: name it."""
    if isinstance(device, (str, torch.device)) and str(device) == "cuda":
        return torch.device("cuda:0")
    is_number = isinstance(device, int) and not isinstance(device, bool)
    return torch.device("cuda", int(device)) if is_number else device


def _to(self: Tensor, *args: Any, **kwargs: Any) -> Any:
    if "device" in kwargs:
        kwargs["device"] = _indexed(kwargs["device"])
    args = (*map(_indexed, args[:1]), *args[1:])
    return moved(self, *args, **kwargs) if is_sparse(self) else _real_to(self, *args, **kwargs)


def _cuda(self: Tensor, device: Any = None, non_blocking: bool = False, **_: Any) -> Any:
    return _to(self, "cuda" if device is None else device, non_blocking=non_blocking)


_DATA: Any = torch.Tensor.data


def _set_data(tensor: Tensor, data: Tensor) -> None:
    """`tensor.data = data`: the tensor is then where the data is."""
    _DATA.__set__(tensor, data)
    if hasattr(data, "fake_device"):
        tensor.fake_device = data.fake_device  # type: ignore[attr-defined]


def _swap(first: Tensor, second: Tensor) -> None:
    """What Module.to wants of two fake tensors: the first goes where the second is."""
    _set_data(first, second.data)
