"""A recorded operation as a call that can be written down: its overload, and each argument as text.

Numbers that only data depend on (rates, thresholds, fills) are replaced: what is kept are shapes, dimensions and sizes.
Words are kept where PyTorch knows them; nothing else of a record reaches the text.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kilowait.core.errors import InputError
from kilowait.predict.dryrun.record import Operation

TENSOR = "T"
_TENSORS = re.compile(r"T\*(\d+)")
_NAME = re.compile(r"aten\.([a-z_][a-z0-9_]*)(\.[a-zA-Z0-9_]+)?")
_TORCH_WORD = re.compile(r"torch\.[a-z_]+\d*[a-z_0-9]*")
_WORDS = frozenset({"none", "mean", "sum", "tanh", "floor", "trunc", "ortho", "forward", "backward", "reflect", "ij"})
_SIZES = frozenset({"arange", "linspace", "logspace", "range"})
"""Operators whose numbers say how large the result is."""
_UNSAFE = frozenset({"set_", "resize_", "from_file", "resize_as_", "as_strided_", "_local_scalar_dense"})


@dataclass(frozen=True)
class RecordedCall:
    """`arguments` and `named` are texts with {0}, {1}, ... where the tensors of `shapes` go."""

    operation: Operation
    name: str
    arguments: tuple[str, ...]
    named: Mapping[str, str]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def text(self) -> str:
        """The call, with places for tensors."""
        named = [f"{name}={value}" for name, value in self.named.items()]
        return f"aten.{self.name}({', '.join([*self.arguments, *named])})"


def recorded_call(operation: Operation) -> RecordedCall:
    """The call of an operation; raises InputError for one that cannot be made again."""
    name = _NAME.fullmatch(operation.op)
    if name is None or name.group(1) in _UNSAFE or not hasattr(torch.ops.aten, name.group(1)):
        raise InputError(f"{operation.op[:80]} cannot be cloned: it is no operator of PyTorch that can be repeated")
    shapes = tuple(tuple(int(size) for size in shape) for shape in json.loads(operation.shapes))
    attributes = json.loads(operation.attributes)
    plain, named = _divided(attributes, name.group(1))
    places, words = iter(range(len(shapes))), _Words(operation, name.group(1))
    arguments = tuple(words.text(value, kind, places) for value, kind in plain)
    by_name = {key: words.text(value, kind, places) for key, (value, kind) in named.items() if value != "generator"}
    if next(places, None) is not None:
        raise InputError(f"{operation.op} cannot be cloned: its record does not say where its tensors go")
    return RecordedCall(operation, name.group(1), arguments, by_name, shapes)


Typed = tuple[Any, str]


def _divided(attributes: Sequence[Any], name: str) -> tuple[list[Typed], dict[str, Typed]]:
    """Arguments by place and by name, each with its type in the operator's schema."""
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{name}"):
        types = {argument.name: str(argument.type) for argument in schema.arguments}
        cut = len(attributes)
        while cut and _is_named(attributes[cut - 1], types):
            cut -= 1
        plain = list(zip(attributes[:cut], types.values(), strict=False))
        if cut <= len(types) and all(_fits(value, kind) for value, kind in plain):
            return plain, {key: (value, types[key]) for key, value in attributes[cut:]}
    raise InputError(f"aten.{name} cannot be cloned: this PyTorch has no overload with its arguments")


def _is_named(value: Any, types: Mapping[str, str]) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in types


def _fits(value: Any, kind: str) -> bool:
    """Whether a recorded value can stand for an argument of a type, as far as the two tell."""
    is_list = isinstance(value, list) or (isinstance(value, str) and _TENSORS.fullmatch(value) is not None)
    if value is None:
        return kind.startswith("Optional")
    if isinstance(value, str) and (value == TENSOR or is_list):
        return "Tensor" in kind and ("List" in kind) == is_list
    if is_list:
        return "List" in kind
    return "Tensor" not in kind and not kind.startswith("List")


@dataclass
class _Words:
    """Writes arguments; numbers that data alone depend on become others, each larger than the one before."""

    operation: Operation
    name: str
    fills: int = 0

    def text(self, value: Any, kind: str, places: Iterator[int]) -> str:
        if isinstance(value, str) and (many := _TENSORS.fullmatch(value)):
            return "[" + ", ".join(self.text(TENSOR, kind, places) for _ in range(int(many.group(1)))) + "]"
        if isinstance(value, list):
            return "[" + ", ".join(self.text(one, kind, places) for one in value) + "]"
        if value == TENSOR:
            place = next(places, None)
            if place is None:
                raise InputError(f"{self.operation.op} cannot be cloned: its record lacks the shape of a tensor")
            return f"{{{place}}}"
        if value is None or isinstance(value, bool):
            return str(value)
        return self._word(value) if isinstance(value, str) else self._number(value, kind)

    def _number(self, value: float, kind: str) -> str:
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InputError(f"{self.operation.op} cannot be cloned: an argument is {str(value)[:40]!r}")
        is_drawn = self.name.startswith(("randint", "random_")) and "List" not in kind
        is_data = is_drawn or "number" in kind or "Scalar" in kind or "float" in kind
        if not is_data or self.name in _SIZES:
            return repr(value)
        self.fills += 1
        if self.name.startswith("pow") and value in (2, 3, 0.5, -0.5, -1):
            return repr(value)  # each of these has a kernel of its own
        return repr(self.fills if isinstance(value, int) else 0.25 * self.fills)

    def _word(self, value: str) -> str:
        if value.split(":")[0] in ("cpu", "cuda"):
            return "device" if value.startswith("cuda") else '"cpu"'
        if _TORCH_WORD.fullmatch(value) and hasattr(torch, value.removeprefix("torch.")):
            return value
        if value in _WORDS:
            return f'"{value}"'
        raise InputError(f"{self.operation.op} cannot be cloned: an argument is {value[:40]!r}")
