"""What a program is told when it asks for the value of a tensor: its own where known, else that of the recorder.

Where it asks whether something is wrong (NaN, infinite), the answer is no.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kilowait.predict.dryrun.dry_program import by_the_program, in_forward
from kilowait.predict.dryrun.values import assumed_of, values_of

if TYPE_CHECKING:
    from kilowait.predict.dryrun.recorder import Recorder

_DOUBT = "_kilowait_doubt"


def value_said(recorder: Recorder, tensor: Tensor) -> float | int | bool:
    """The value of a single number; what is not known counts as asked for."""
    constant = values_of(tensor)
    if constant is None:
        constant = getattr(tensor, "constant", None)
    if constant is None and not in_forward():
        constant = assumed_of(tensor)
    if constant is not None:
        with torch._C._DisableTorchDispatch():  # type: ignore[no-untyped-call, unused-ignore]
            value: float | int | bool = constant.item()
        return value
    if not hasattr(tensor, _DOUBT) and in_forward():
        recorder.guess("what forward does may depend on the value of a tensor; 1 was assumed")
    scalar = 0.0 if hasattr(tensor, _DOUBT) else getattr(tensor, _MIDDLE, recorder.scalar)
    recorder.unknown_answers += 1
    if tensor.dtype == torch.bool:
        if not hasattr(tensor, _DOUBT):
            _decide(recorder)
        return bool(scalar)
    return scalar if tensor.dtype.is_floating_point else int(scalar)


def same_said(recorder: Recorder, func: Any, args: Any, kwargs: Any) -> bool:
    """Whether two tensors hold the same: asked of their values where these are known."""
    known = [values_of(tensor) for tensor in args[:2]]
    if any(value is None for value in known) or args[0].shape != args[1].shape:
        _decide(recorder)
        return bool(args[0].shape == args[1].shape)
    with torch._C._DisableTorchDispatch():  # type: ignore[no-untyped-call, unused-ignore]
        return bool(func(*known, *args[2:], **kwargs))


_doubts: list[bool] = []
"""Not empty once something was marked: most programs never ask."""


def mark_doubt(op: str, inputs: list[Tensor], args: Any, result: Any) -> None:
    """Mark what asks whether numbers are NaN or infinite, and what is made of that alone."""
    if not isinstance(result, Tensor):
        return
    asks = op in ("aten.isnan", "aten.isinf") or (op == "aten.ne" and len(inputs) == 2 and inputs[0] is inputs[1])
    asks = asks or (op == "aten.eq" and len(inputs) == 1 and args[1] in (math.inf, -math.inf))
    if asks or (_doubts and inputs and all(hasattr(t, _DOUBT) for t in inputs)):
        _doubts[:] = [True]
        setattr(result, _DOUBT, True)


_MIDDLE = "_kilowait_middle"
_SAME = frozenset(
    ("aten.select", "aten.squeeze", "aten.view", "aten.clone", "aten.detach", "aten.alias", "aten._to_copy")
)


def mark_chance(op: str, inputs: list[Tensor], args: Any, result: Any) -> None:
    """A number that is drawn evenly lies between the ends of its range, and not at one."""
    if op in ("aten.rand", "aten.rand_like"):
        setattr(result, _MIDDLE, _HALF)
    elif op in ("aten.uniform_", "aten.uniform"):
        low, high = args[1] if len(args) > 1 else 0.0, args[2] if len(args) > 2 else 1.0
        setattr(result, _MIDDLE, low + (high - low) * _HALF)
    elif op in _SAME and inputs and hasattr(inputs[0], _MIDDLE):
        setattr(result, _MIDDLE, getattr(inputs[0], _MIDDLE))


_HALF = 0.5 + 2.0**-20
"""About the middle, and no number that a program would write down."""


def _decide(recorder: Recorder) -> None:
    if by_the_program():
        recorder.decide()
