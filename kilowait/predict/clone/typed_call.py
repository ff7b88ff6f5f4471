"""Which types the tensors of a recorded call have: a record names one, and the bytes that are read and written."""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kilowait.core.errors import InputError
from kilowait.predict.clone.recorded_call import RecordedCall
from kilowait.predict.dryrun.tensors import bytes_of, tensors_in

OTHER_TYPES = ("int64", "bool", "float32", "int32", "uint8")
MOST_TRIED = 400
_BOUND = {
    "embedding": (0, 0),
    "nll_loss_forward": (0, 1),
    "nll_loss_backward": (1, 1),
    "nll_loss2d_forward": (0, 1),
    "nll_loss2d_backward": (1, 1),
}
"""Which size of which tensor the indices among the others must stay below."""
_ALONG = frozenset({"gather", "scatter", "scatter_add", "index_select", "scatter_add_", "scatter_"})
"""Operators whose indices go along the dimension that they name."""


@dataclass(frozen=True)
class TensorSlot:
    """A tensor of a call: `number` tells tensors of one shape and type apart, integers in it are below `below`.

    `stored` is its shape in memory: 1 where a dimension is one number repeated.
    """

    shape: tuple[int, ...]
    stored: tuple[int, ...]
    dtype: str
    on_device: bool
    layout: str
    number: int
    below: int


@dataclass(frozen=True)
class TypedCall:
    """A call with the tensors that it takes, in their order."""

    call: RecordedCall
    slots: tuple[TensorSlot, ...]


@dataclass(frozen=True)
class _Choice:
    """Types of the tensors, from which on equal ones are one and the same or of how many, and one stored otherwise."""

    types: Sequence[str]
    same_from: int = MOST_TRIED
    in_turn: int = 0
    repeated: int = -1
    stored: tuple[int, ...] = ()


def typed_call(call: RecordedCall) -> TypedCall:
    """The call with types that make it run, and if there are such, read and write the bytes of its record."""
    first = None
    for choice in itertools.islice(_choices(call), MOST_TRIED):
        slots = _slots(call, choice)
        fits = _read(slots) == call.operation.bytes_read
        if not fits and first is not None:
            continue
        written = _written(call, slots)
        if fits and written == call.operation.bytes_written:
            return TypedCall(call, slots)
        if written is not None:
            first = first or TypedCall(call, slots)
    if first is None:
        raise InputError(f"{call.operation.op} cannot be cloned: it does not run on tensors of the recorded shapes")
    return first


def _choices(call: RecordedCall) -> Iterator[_Choice]:
    """What the tensors may be like, most like the record first."""
    count, own = len(call.shapes), call.operation.dtype or "float32"
    types = (own, *(name for name in OTHER_TYPES if name != own))
    wanted = call.operation.bytes_read
    sizes = [math.prod(shape) for shape in call.shapes]
    every = list(itertools.product(types, repeat=count)) if count <= 5 else [(own,) * count]
    every.sort(key=lambda chosen: sum(name != own for name in chosen))
    yield from (_Choice(one) for one in every if sum(n * _width(t) for n, t in zip(sizes, one, strict=True)) == wanted)
    yield from (_Choice((own,) * count, same_from=place) for place in range(min(count, 2)))
    if len(set(call.shapes)) == 1:  # of a long list some are there several times
        yield _Choice((own,) * count, in_turn=max(1, round(wanted / max(sizes[0] * _width(own), 1))))
    first = 1 if call.name.endswith("_") else 0
    for place in range(first, min(count, 5)):
        for kept in itertools.product((False, True), repeat=min(len(call.shapes[place]), 5)):
            stored = tuple(size if k else 1 for size, k in zip(call.shapes[place], kept, strict=False))
            yield _Choice((own,) * count, repeated=place, stored=stored)
    yield from map(_Choice, every)


def _width(dtype: str) -> int:
    return int(getattr(torch, dtype).itemsize)


def _slots(call: RecordedCall, choice: _Choice) -> tuple[TensorSlot, ...]:
    seen: dict[tuple[tuple[int, ...], str], int] = {}
    below, slots = _below(call), []
    for index, (shape, dtype) in enumerate(zip(call.shapes, choice.types, strict=True)):
        number = seen.get((shape, dtype), -1) + (0 if index > choice.same_from and (shape, dtype) in seen else 1)
        seen[shape, dtype] = number
        number = number % choice.in_turn if choice.in_turn else number
        slot = TensorSlot(
            shape=shape,
            stored=choice.stored if index == choice.repeated else shape,
            dtype=dtype,
            on_device=call.operation.device == "cuda",
            layout=call.operation.layout if len(shape) in (4, 5) else "",
            number=number,
            below=below,
        )
        slots.append(slot)
    return tuple(slots)


def _below(call: RecordedCall) -> int:
    """What the indices of a call must stay below: 1 where that is not known, so that all are 0."""
    if call.name == "embedding_dense_backward":
        return max(int(call.arguments[2]), 1)
    along = call.name in _ALONG and len(call.arguments) > 1 and call.arguments[1].lstrip("-").isdigit()
    tensor, dimension = (0, int(call.arguments[1])) if along else _BOUND.get(call.name, (0, -1))
    known = (along or call.name in _BOUND) and len(call.shapes) > tensor and len(call.shapes[tensor]) > dimension
    return max(call.shapes[tensor][dimension], 1) if known and call.shapes[tensor] else 1


def _read(slots: Sequence[TensorSlot]) -> float:
    return float(sum(_width(slot.dtype) * math.prod(slot.stored) for slot in set(slots)))


def _written(call: RecordedCall, slots: Sequence[TensorSlot]) -> float | None:
    """Bytes of the results on tensors without data, None where the call does not run."""
    made = {slot: _meta(slot) for slot in slots}
    tensors = [made[slot] for slot in slots]
    places: dict[str, Any] = {f"_{number}": tensor for number, tensor in enumerate(tensors)}
    text = re.sub(r"\{(\d+)\}", r"_\1", call.text)
    names = {"aten": torch.ops.aten, "torch": torch, "device": "meta", **places}
    try:
        result = eval(text.replace('device="cpu"', 'device="meta"'), {"__builtins__": {}}, names)  # written above
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, AssertionError):
        return None
    return bytes_of(tensors_in(result))


def _meta(slot: TensorSlot) -> Tensor:
    dtype = getattr(torch, slot.dtype)
    if slot.stored != slot.shape:
        return torch.empty(slot.stored, dtype=dtype, device="meta").expand(slot.shape)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    wanted = formats[len(slot.shape)] if slot.layout else torch.contiguous_format
    return torch.empty(slot.shape, dtype=dtype, device="meta", memory_format=wanted)
