"""Small tensors whose values are known: lengths, offsets, indices, constants that a program writes down.

Beside a tensor without data its values are kept where they come from numbers in the program, and every operator on
known tensors alone is run on the values, too. Views of known tensors share memory as the tensors do; where something
unknown is written to it, its values are forgotten.

Not covered: what comes from data, weights or chance (losses, activations), and tensors of more than `MOST` numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_map

from kilowait.predict.dryrun.child.older_torch import STORAGES_LAST, when_gone
from kilowait.predict.dryrun.loops.unknown import comes_from_unknown

MOST = 4096
_NAME, _ASSUMED = "_kilowait_values", "_kilowait_assumed"
_forgotten: dict[int, Any] = {}
"""Storages of values that something unknown was written over, while they exist."""
_MADE_OF_NUMBERS = frozenset(
    {"aten::arange", "aten::zeros", "aten::ones", "aten::full", "aten::linspace", "aten::eye", "aten::scalar_tensor"}
)


def values_of(tensor: Any) -> Tensor | None:
    """The values of a tensor, None where they are not known; not to be changed."""
    if not isinstance(tensor, FakeTensor):
        return tensor if isinstance(tensor, Tensor) and _small(tensor) and tensor.device.type == "cpu" else None
    values: Tensor | None = vars(tensor).get(_NAME)
    return None if values is not None and values.untyped_storage()._cdata in _forgotten else values


def assumed_of(tensor: Any) -> Tensor | None:
    """What is assumed of a single integer that is not known, None where nothing is."""
    assumed: Tensor | None = vars(tensor).get(_ASSUMED)
    return assumed


_to_array = Tensor.numpy


def numbers_of(tensor: Any) -> NDArray[Any] | None:
    """The values of a tensor as an array, None where they are not known."""
    values = values_of(tensor)
    if values is None:
        return None
    with torch._C._DisableTorchDispatch():  # type: ignore[no-untyped-call, unused-ignore]
        return _to_array(values.float() if values.dtype == torch.bfloat16 else values).copy()


def remember(func: Any, inputs: list[Tensor], args: Any, kwargs: Any, result: Any) -> None:
    """Keep the values of what an operator gave, where those of its `inputs` are known."""
    input_values = [values_of(tensor) for tensor in inputs]
    all_known = all(value is not None for value in input_values)
    name = _NAME if all_known else _ASSUMED
    single = isinstance(result, FakeTensor) and _single(result) and all(map(_single, inputs))
    all_known = all_known and not comes_from_unknown((args, kwargs, [_single_float(tensor) for tensor in inputs]))
    values = _found(func, args, kwargs) if (_wanted(func, inputs, result) if all_known else single) else None
    if values is not None:  # what was written to was written to in place: it is known by its other names too
        keep(result, values, name)
    elif func._schema.is_mutable:
        _forget_written(func, args, kwargs)


def forget(tensor: Any) -> None:
    """Its values came from numbers that are not known."""
    values = vars(tensor).get(_NAME) if isinstance(tensor, FakeTensor) else None
    if values is not None:
        _forget(values)


def _forget(value: Tensor) -> None:
    key = value.untyped_storage()._cdata
    remembered: Any = value
    if STORAGES_LAST:
        remembered = when_gone(value.untyped_storage(), lambda _gone: _forgotten.pop(key, None))
    _forgotten[key] = remembered


def _forget_written(func: Any, args: Any, kwargs: Any) -> None:
    """What is known of tensors that an operator writes to is true no longer."""
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        value = args[position] if position < len(args) else kwargs.get(argument.name)
        for part in value if isinstance(value, (list, tuple)) else [value]:
            forget(part)


def _found(func: Any, args: Any, kwargs: Any) -> Any:
    """What an operator gives for the values of its arguments; None where it cannot be run on them."""
    try:
        with torch._C._DisableTorchDispatch():  # type: ignore[no-untyped-call, unused-ignore]
            return func(*_real(args), **_real({**kwargs, **({"device": "cpu"} if kwargs.get("device") else {})}))
    except (RuntimeError, IndexError, NotImplementedError):  # the program would fail, or only a GPU can do it
        return None


def keep(result: Any, found: Any, name: str = _NAME) -> None:
    """Keep the values `found` beside the tensors in `result`."""
    if isinstance(result, FakeTensor) and isinstance(found, Tensor) and _small(found):
        if result.shape == found.shape:
            setattr(result, name, found)
    elif isinstance(result, (list, tuple)) and isinstance(found, (list, tuple)):
        for part, part_values in zip(result, found):
            keep(part, part_values, name)


def _wanted(func: Any, inputs: list[Tensor], result: Any) -> bool:
    if not inputs and func._schema.name not in _MADE_OF_NUMBERS:
        return False
    parts = result if isinstance(result, (list, tuple)) else [result]
    return torch.Tag.nondeterministic_seeded not in func.tags and any(_small(p) for p in parts if isinstance(p, Tensor))


def _small(tensor: Tensor) -> bool:
    return not tensor.dtype.is_complex and tensor.layout == torch.strided and tensor.numel() <= MOST


def _single_float(tensor: Tensor) -> float | None:
    """The number that PyTorch made a tensor of, as in `losses[0] = number`."""
    if isinstance(tensor, FakeTensor) or tensor.numel() != 1 or not tensor.dtype.is_floating_point:
        return None
    with torch._C._DisableTorchDispatch():  # type: ignore[no-untyped-call, unused-ignore]
        return float(tensor)


def _single(tensor: Tensor) -> bool:
    is_integer = not tensor.dtype.is_floating_point and tensor.dtype != torch.bool
    return tensor.dim() == 0 and is_integer and _small(tensor)


def _real(arguments: Any) -> Any:
    """The arguments with values in the place of tensors; a plain tensor is copied, so that nobody changes it."""
    return tree_map(lambda value: _value(value) if isinstance(value, Tensor) else value, arguments)


def _value(tensor: Tensor) -> Tensor:
    if not isinstance(tensor, FakeTensor):
        return tensor.clone()
    value = values_of(tensor)
    if value is None:
        value = assumed_of(tensor)
    return torch.ones((), dtype=tensor.dtype) if value is None else value
