"""What an operator gives for arguments of the same shapes, remembered.

FakeTensorMode works out the result of every call anew or through a cache that costs as much as many operators. Here a
call that was made before with equal arguments gives new tensors of the remembered shapes, or the tensor it changed in
place, and a view is made of the meta tensor underneath. Results that depend on values, and arguments that hold values,
always take the long way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, in_kernel_invocation_manager

from kilowait.predict.dryrun.child.memory_formats import laid_out
from kilowait.predict.dryrun.child.quick_tensors import without_data

MOST = 20_000
_LISTS = ("aten::_foreach_", "aten::_fused_adam", "aten::_fused_sgd", "aten::_fused_adagrad")
"""Operators of optimizers on lists of tensors, which they leave as large as they were."""
_Shape = tuple[Any, ...]


_ALWAYS_ITSELF = {"aten::zero_", "aten::fill_"}
"""What writes to a tensor of any type and shape, so that PyTorch has nothing to refuse."""
_VIEWS = {"aten::_unsafe_view"}
"""What gives the memory of its argument and does not say so."""
_IN_PLACE = "the first argument"


_SAME_SIZE = ("in place", "list")
"""Ways in which no number among the arguments changes what comes out: learning rates differ with every step."""


class OperatorMemory:
    """Results by operator and arguments."""

    def __init__(self) -> None:
        self._results: dict[Any, Any] = {}
        self._ways: dict[Any, str] = {}

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of `func`, in a mode above FakeTensorMode."""
        way = self._ways.get(func)
        if way is None:
            way = self._ways[func] = _way(func)
        if way == "long":
            return func(*args, **kwargs)
        if way == "itself" and _plain(args[0]):
            return args[0]
        if way == "view":
            return _viewed(func, args) if _plain_view(args, kwargs) else func(*args, **kwargs)
        try:
            key = (func, *((_sizes if way in _SAME_SIZE else _key)(part) for part in (args, kwargs)))
        except _HoldsValues:
            return func(*args, **kwargs)
        if key in self._results:
            return args[0] if way == "in place" else _made(self._results[key], list if way == "list" else tuple)
        result = laid_out(func, args, func(*args, **kwargs))
        shapes = _IN_PLACE if way == "in place" and result is args[0] else _shapes(result, _storages((args, kwargs)))
        if shapes is not None and len(self._results) < MOST:
            self._results[key] = shapes
        return result


class _HoldsValues(Exception):  # noqa: N818 - not an error, and seen nowhere else
    """An argument whose values may matter."""


def _way(func: Any) -> str:
    """How a call may be remembered: "new" tensors, a "list", "in place", always "itself", or not: the "long" way."""
    schema = func._schema
    tags = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output, torch.Tag.inplace_view}
    if tags & set(func.tags) or not schema.name.startswith("aten::"):
        return "long"
    if schema.name.startswith(_LISTS):  # what they give is one list, or nothing where they write to their arguments
        return "list"
    if not schema.returns:
        return "long"
    if schema.name in _VIEWS:
        return "view"
    aliases = [result.alias_info for result in schema.returns]
    if not any(aliases):
        return "new" if not any(result.type.kind() == "ListType" for result in schema.returns) else "long"
    first_alias = schema.arguments[0].alias_info if schema.arguments else None
    if first_alias is not None and not first_alias.is_write and all(alias and not alias.is_write for alias in aliases):
        return "view"
    if not (len(aliases) == 1 and first_alias is not None and first_alias.is_write and schema.name.endswith("_")):
        return "long"
    tensors = sum("Tensor" in str(argument.type) for argument in schema.arguments)
    if "resize" in schema.name:
        return "long"
    return "itself" if schema.name in _ALWAYS_ITSELF and tensors == 1 else "in place"


def _plain_view(args: Any, kwargs: Any) -> bool:
    """Whether only the first argument is a tensor, and holds no value."""
    if kwargs or not _plain(args[0]):
        return False
    return not any(isinstance(part, (Tensor, list)) and _storages(part) for part in args[1:])


def _plain(tensor: Any) -> bool:
    """Whether it is a tensor without data, whose value is not known either."""
    return isinstance(tensor, FakeTensor) and tensor.constant is None and tensor.layout == torch.strided


def _viewed(func: Any, args: Any) -> Any:
    mode, device = args[0].fake_mode, args[0].fake_device
    with in_kernel_invocation_manager(mode):
        result = func(*args)
        if isinstance(result, Tensor):
            return without_data(mode, result, device)
        return type(result)(without_data(mode, part, device) for part in result)


def _key(value: Any) -> Any:
    kind = type(value)
    if isinstance(value, Tensor):
        if not isinstance(value, FakeTensor) or value.constant is not None or value.layout != torch.strided:
            raise _HoldsValues
        return tuple(value.shape), value.stride(), value.dtype, value.fake_device
    if kind in (list, tuple):
        return tuple([_key(part) for part in value])
    if kind is dict:
        return tuple([(name, _key(part)) for name, part in value.items()])
    return kind, value


def _sizes(value: Any) -> Any:
    """`_key`, which leaves the values of floating numbers out."""
    kind = type(value)
    if kind is float:
        return kind
    if kind in (list, tuple):
        return tuple([_sizes(part) for part in value])
    return tuple([(name, _sizes(part)) for name, part in value.items()]) if kind is dict else _key(value)


def _storages(value: Any) -> set[int]:
    if isinstance(value, Tensor) and value.layout != torch.strided:
        return set()
    if isinstance(value, Tensor):
        return {value.untyped_storage()._cdata}
    if isinstance(value, dict):
        value = list(value.values())
    return {storage for part in value for storage in _storages(part)} if isinstance(value, (list, tuple)) else set()


def _shapes(result: Any, used_storages: set[int]) -> Any:
    """What to make again, None where that cannot be said: a tensor that shares memory or holds a value."""
    if result is None:
        return ()
    if isinstance(result, FakeTensor) and result.layout != torch.strided:
        return None
    if isinstance(result, FakeTensor):
        shared = result.untyped_storage()._cdata in used_storages or result.storage_offset() != 0
        if result.constant is not None or shared:
            return None
        return tuple(result.shape), result.stride(), result.dtype, result.fake_device, result.fake_mode
    if isinstance(result, (tuple, list)):
        parts = [_shapes(part, used_storages) for part in result]
        return None if any(part is None for part in parts) else parts
    return _Number(result) if type(result) in (int, float, bool) else None


class _Number:
    """A plain number among the results, such as the longest sequence that an attention kernel saw."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _made(shapes: Any, several: type[list[Any]] | type[tuple[Any, ...]] = tuple) -> Any:
    if isinstance(shapes, list):
        return several(_made(part) for part in shapes)
    if isinstance(shapes, _Number):
        return shapes.value
    return None if shapes == () else _tensor(*shapes)


def _tensor(shape: _Shape, stride: _Shape, dtype: torch.dtype, device: torch.device, mode: FakeTensorMode) -> Tensor:
    with torch._C._DisableTorchDispatch():
        plain = torch.empty_strided(shape, stride, dtype=dtype, device="meta")
        return without_data(mode, plain, device)
