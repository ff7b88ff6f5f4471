"""What of PyTorch cannot do its work on tensors without data, or must not in a dry run, and what it does instead.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.utils import clip_grad
from torch.optim import optimizer as optimizers
from torch.utils import _foreach_utils as foreach
from torch.utils.data import DataLoader

from kilowait.predict.dryrun.child.older_torch import GRAD_SCALER, takes_many
from kilowait.predict.dryrun.loops.clock import pretend_clock
from kilowait.predict.dryrun.loops.unknown import comes_from_unknown, tell, unknown
from kilowait.predict.dryrun.pretend.copies import pretend_copies
from kilowait.predict.dryrun.pretend.graphs import pretend_graphs
from kilowait.predict.dryrun.pretend.lbfgs import pretend_lbfgs
from kilowait.predict.dryrun.pretend.orders import pretend_orders
from kilowait.predict.dryrun.pretend.own_host import pretend_own_host
from kilowait.predict.dryrun.pretend.packed_sequences import pretend_packing
from kilowait.predict.dryrun.pretend.sparse import pretend_sparse
from kilowait.predict.dryrun.pretend.terminal import pretend_terminal
from kilowait.predict.dryrun.pretend.used_parameters import count_parameters
from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.values import forget, numbers_of

if TYPE_CHECKING:
    from typing import Self

_ONE_PROCESS = {"num_workers": 0, "pin_memory": False, "persistent_workers": False, "prefetch_factor": None}


def pretend_libraries(recorder: Recorder) -> None:
    """Count optimizer steps and parameters, keep loaders in this process, write nothing, compile nothing."""
    _count_steps(recorder, count_parameters(recorder))
    _loaders()
    pretend_orders()
    pretend_terminal()
    pretend_own_host()
    pretend_sparse(recorder.assume)
    _values(recorder)
    _nothing_to_do()
    _tensors_of_unknown()
    pretend_packing(recorder)
    pretend_lbfgs(recorder)
    pretend_clock(recorder.ends.clocks.append)
    tell(recorder.decide)
    pretend_copies()
    pretend_graphs(recorder)


def _count_steps(recorder: Recorder, learnt: Callable[[Any, bool], None]) -> None:
    """Optimizer steps; `learnt` is told of each optimizer's first, and whether it is the first of all."""
    depth = [0]
    stepping: weakref.WeakSet[Any] = weakref.WeakSet()
    others: list[bool] = []  # the first of all may be no more when another steps

    def begun(*_: Any) -> None:
        depth[0] += 1
        recorder.tensors.stepping += 1

    def stepped(optimizer: Any, *_: Any) -> None:
        depth[0] -= 1
        recorder.tensors.stepping -= 1
        if depth[0] == 0:  # an optimizer may step another inside
            recorder.tallies.open.steps += 1.0
            if optimizer not in stepping:
                learnt(optimizer, not others)
                stepping.add(optimizer)
                others.append(True)

    optimizers.register_optimizer_step_pre_hook(begun)
    optimizers.register_optimizer_step_post_hook(stepped)
    # On a GPU optimizers take many tensors a kernel; they look at the type of the parameters to decide.
    optimizers._foreach_supported_types.append(FakeTensor)
    for module in (foreach, clip_grad):
        setattr(module, "_has_foreach_support", _takes_many)  # noqa: B010 - the checker knows no such name


def _takes_many(_tensors: Any, device: torch.device) -> bool:
    return device.type == "meta" or takes_many(device)  # C++ is told meta for cuda


def _loaders() -> None:
    make = DataLoader.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args[:5], **{**kwargs, **_ONE_PROCESS, "multiprocessing_context": None, "timeout": 0})

    DataLoader.__init__ = init  # type: ignore[method-assign]


def _values(recorder: Recorder) -> None:
    real_numpy = Tensor.numpy

    def numpy(self: Tensor, **_: Any) -> NDArray[Any]:
        if not isinstance(self, FakeTensor):
            return real_numpy(self)
        values = numbers_of(self)
        if values is not None:
            return values
        if self.dim() == 1 and self.dtype == torch.long and len(self) in recorder.labels:  # in turn, as elsewhere
            return np.arange(len(self)) % recorder.labels[len(self)]
        real_dtype = torch.empty(0, dtype=self.dtype, device="meta").dtype
        return np.ones(tuple(self.shape), dtype=str(real_dtype).removeprefix("torch.").replace("bfloat16", "float32"))

    def tolist(self: Tensor) -> Any:
        values = numbers_of(self)
        if values is not None:
            return values.tolist()
        if self.dim() == 0:
            return self.item()
        value = unknown(recorder.scalar if self.dtype.is_floating_point else int(recorder.scalar))
        return _filled(value, tuple(self.shape))

    def array(self: Tensor, dtype: Any = None, **_: Any) -> NDArray[Any]:
        return numpy(self) if dtype is None else numpy(self).astype(dtype)

    real_item, real_format = Tensor.item, Tensor.__format__

    def item(self: Tensor) -> Any:
        answers = recorder.unknown_answers
        value = real_item(self)
        return unknown(value) if recorder.unknown_answers > answers else value

    def formatted(self: Tensor, spec: str) -> str:
        if isinstance(self, FakeTensor) and (self.dim() == 0 or (self.numel() == 1 and spec)):
            return format(self.item(), spec)
        return object.__format__(self, spec) if isinstance(self, FakeTensor) else str(real_format(self, spec))  # type: ignore[no-untyped-call]

    setattr(Tensor, "item", item)  # noqa: B010 - the checker has other types for it
    setattr(Tensor, "__format__", formatted)  # noqa: B010
    for name, replacement in (("numpy", numpy), ("tolist", tolist), ("__array__", array)):
        setattr(Tensor, name, replacement)
    if "tolist" in vars(FakeTensor):  # it would ask for one value after another
        setattr(FakeTensor, "tolist", tolist)  # noqa: B010


def _tensors_of_unknown() -> None:
    """A tensor that is made of numbers that are not known holds none that are."""

    def making(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **kwargs: Any) -> Any:
            if args and isinstance(args[0], (list, tuple)):
                args = (_plain_numbers(args[0]), *args[1:])
            tensor = make(*args, **kwargs)
            if comes_from_unknown(args[-1:]):
                forget(tensor)
                if isinstance(tensor, FakeTensor):
                    tensor.constant = None
            return tensor

        return made

    for owner, name in ((torch, "tensor"), (torch, "as_tensor"), (Tensor, "new_tensor")):
        setattr(owner, name, making(getattr(owner, name)))


def _plain_numbers(values: Any) -> Any:
    """Nested lists with numbers in the place of tensors of one number, which have none to be read from memory."""
    if isinstance(values, (list, tuple)) and any(isinstance(v, (FakeTensor, list, tuple)) for v in values[:1]):
        return [_plain_numbers(value) for value in values]
    return values.item() if isinstance(values, FakeTensor) and values.numel() == 1 else values


def _filled(value: Any, shape: tuple[int, ...]) -> Any:
    """Nested lists of one value."""
    return [_filled(value, shape[1:]) for _ in range(shape[0])] if shape else value


def _nothing_to_do() -> None:
    replacements: tuple[tuple[Any, str, Any], ...] = (
        (torch, "save", _nothing),
        (torch, "compile", _itself),
        (torch.jit, "script", _itself),
        (torch, "set_num_threads", _nothing),
        (nn.Module, "compile", _nothing),
        (nn, "DataParallel", Alone),
        (nn.parallel, "DataParallel", Alone),
        (torch.profiler, "profile", PretendedProfiler),
        (torch.autograd.profiler, "profile", PretendedProfiler),
        (GRAD_SCALER, "_maybe_opt_step", _always_step),
    )
    for owner, name, replacement in replacements:
        setattr(owner, name, replacement)


class PretendedProfiler:
    """A profiler that finds nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: "" if name == "table" else self


class _Wrapped(type):
    """Says of a module whether it was wrapped."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, nn.Module) and "module" in vars(instance)


class Alone(metaclass=_Wrapped):
    """`DataParallel` over one GPU: the module itself, with the name that it adds."""

    def __new__(cls, module: nn.Module, *_: Any, **__: Any) -> Any:
        """The module, marked."""
        vars(module).update(module=module)
        return module


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _itself(target: Any = None, *_: Any, **__: Any) -> Any:
    """The decorator or wrapper that leaves its target as it is."""
    if target is None:
        identity: Callable[[Any], Any] = lambda wrapped: wrapped  # noqa: E731
        return identity
    return target


def _always_step(_scaler: Any, optimizer: Any, _state: Any, *args: Any, **kwargs: Any) -> Any:
    """The gradients hold no values, so none of them is infinite."""
    return optimizer.step(*args, **kwargs)
