"""Watch a program's operations on tensors that hold no data.

`tracing(recorder)` puts PyTorch under FakeTensorMode: shapes, types and devices are exact and nothing is computed. The
recorder sees every operator after autograd, so backward passes and optimizers count too. Where a program asks for the
value of a tensor, `recorder.scalar` is the answer.

Not covered: who runs the program, and in which sandbox; loops (the recorder's `weight` is for them).
"""

import json
import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from kilowait.predict.dryrun.operators import kernels_of, kind_of
from kilowait.predict.dryrun.record import Kind, Operation

Key = tuple[str, str, str, str, str]


@dataclass(slots=True)
class _Calls:
    """Equal calls so far: how many, and what one of them costs."""

    count: float
    flops: float
    read: float
    written: float
    kernels: int
    kind: str


@dataclass(slots=True)
class Recorder:
    """Adds up what a program does.

    `weight` is how many real calls the next one stands for; whoever shortens a loop sets it. `scalar` is what the
    value of any tensor is said to be. `live_bytes` and `peak_memory_bytes` count storages on the target.
    """

    target: str = "cuda"
    weight: float = 1.0
    scalar: float = 1.0
    steps: float = 0.0
    live_bytes: float = 0.0
    peak_memory_bytes: float = 0.0
    muted: int = 0
    _calls: dict[Key, _Calls] = field(default_factory=dict)
    _storages: dict[int, int] = field(default_factory=dict)

    def operations(self) -> tuple[Operation, ...]:
        """Everything seen so far, equal calls together, in the order of their first call."""
        return tuple(
            Operation(
                op=key[0],
                dtype=key[1],
                device=key[2],
                shapes=key[3],
                attributes=key[4],
                kind=calls.kind,
                count=calls.count,
                flops=calls.flops,
                bytes_read=calls.read,
                bytes_written=calls.written,
                kernels=calls.kernels,
            )
            for key, calls in self._calls.items()
        )

    def see(self, op: str, inputs: list[Tensor], outputs: list[Tensor], attributes: str, flops: float) -> None:
        """Count one call of an operator that moves data."""
        device = _device(inputs, outputs)
        kind = Kind.TRANSFER if _crosses(inputs, outputs) else kind_of(op)
        key = (op, _dtype(inputs, outputs), device, json.dumps([list(t.shape) for t in inputs]), attributes)
        calls = self._calls.get(key)
        if calls is None:
            calls = self._calls[key] = _Calls(
                count=0.0,
                flops=flops,
                read=_bytes(inputs),
                written=_bytes(outputs),
                kernels=kernels_of(op, len(inputs)),
                kind=kind,
            )
        calls.count += self.weight

    def watch(self, tensors: Iterable[Tensor]) -> None:
        """Follow the memory of new tensors on the target: it is given back when no tensor shares the storage."""
        for tensor in tensors:
            if tensor.device.type != self.target:
                continue
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key in self._storages:
                continue
            size = storage.nbytes()
            self._storages[key] = size
            self.live_bytes += size
            self.peak_memory_bytes = max(self.peak_memory_bytes, self.live_bytes)
            weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.live_bytes -= self._storages.pop(key, 0)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands every operator to the recorder, on top of the fake mode which makes the results."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        op = func._schema.name.replace("::", ".")
        if op == "aten._local_scalar_dense":
            return _value(args[0], self.recorder.scalar)
        result = func(*args, **kwargs)
        if self.recorder.muted == 0:
            outputs = _tensors(result)
            if kernels_of(op, 1) and not op.startswith("prim"):
                inputs = _tensors((args, kwargs))
                flops = _flops(func, args, kwargs, result)
                self.recorder.see(op, inputs, outputs, _attributes(args, kwargs), flops)
            self.recorder.watch(outputs)
        return result


@contextmanager
def tracing(recorder: Recorder) -> Iterator[FakeTensorMode]:
    """Run what is inside on tensors without data, and record it."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake, _Watch(recorder):
        yield fake


def _value(tensor: Tensor, scalar: float) -> float | int | bool:
    if tensor.dtype == torch.bool:
        return bool(scalar)
    return scalar if tensor.dtype.is_floating_point else int(scalar)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _device(inputs: list[Tensor], outputs: list[Tensor]) -> str:
    devices = {t.device.type for t in (*inputs, *outputs)}
    return "cuda" if "cuda" in devices else "cpu"


def _crosses(inputs: list[Tensor], outputs: list[Tensor]) -> bool:
    """Whether data goes between host and device; a scalar on the host that takes part in an operator does not count."""
    sides = {t.device.type for t in inputs if t.dim() > 0} | {t.device.type for t in outputs}
    return len(sides) > 1


def _dtype(inputs: list[Tensor], outputs: list[Tensor]) -> str:
    """The type that the arithmetic is in: the first floating one among the inputs, else that of the output."""
    for tensor in (*inputs, *outputs):
        if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
            return str(tensor.dtype).removeprefix("torch.")
    return str((outputs or inputs)[0].dtype).removeprefix("torch.") if outputs or inputs else ""


def _bytes(tensors: list[Tensor]) -> float:
    """Bytes of these tensors, each once; a broadcast dimension (stride 0) is stored once."""
    return float(sum(_stored(t) for t in {id(t): t for t in tensors}.values()))


def _stored(tensor: Tensor) -> int:
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride != 0)
    return math.prod(sizes) * tensor.element_size()


def _flops(func: Any, args: Any, kwargs: Any, result: Any) -> float:
    formula: Callable[..., Any] | None = flop_registry.get(func._overloadpacket)
    if formula is not None:
        return float(formula(*args, **kwargs, out_val=result))
    return float(max((t.numel() for t in _tensors((args, kwargs, result))), default=0))


def _attributes(args: Any, kwargs: Any) -> str:
    """The arguments that are no tensors, as JSON; what JSON cannot say is left to `str`."""
    plain = [_plain(a) for a in args] + [[k, _plain(v)] for k, v in kwargs.items()]
    return json.dumps(plain, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return "T"
    if isinstance(value, list | tuple):
        return f"T*{len(value)}" if value and all(isinstance(v, Tensor) for v in value) else [_plain(v) for v in value]
    return value
