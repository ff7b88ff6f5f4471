"""Operators of a program's own: run on tensors without data by their Python body, else guessed by their schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from kilowait.predict.dryrun.recorder import Recorder


def stand_in_custom_operators(recorder: Recorder) -> None:
    """Remember the bodies of operators that the program registers."""
    _remember_custom_op(recorder)
    _remember_library(recorder)
    tolerate_missing_operators()


def _remember_custom_op(recorder: Recorder) -> None:
    make = getattr(torch.library, "custom_op", None)
    if make is None:  # before PyTorch 2.4
        return

    def custom_op(name: str, fn: Any = None, **kwargs: Any) -> Any:
        if fn is None:
            return lambda function: custom_op(name, function, **kwargs)
        recorder.bodies[name] = fn
        return make(name, fn, **kwargs)

    torch.library.custom_op = custom_op
    triton_op = getattr(torch.library, "triton_op", None)
    if triton_op is not None:
        torch.library.triton_op = custom_op
        torch.library.wrap_triton = lambda kernel: kernel


def _remember_library(recorder: Recorder) -> None:
    register = torch.library.Library.impl

    def impl(self: Any, op_name: Any, fn: Any, dispatch_key: str = "", *args: Any, **kwargs: Any) -> Any:
        if isinstance(op_name, str) and dispatch_key in ("", "CPU", "CUDA", "CompositeExplicitAutograd"):
            recorder.bodies[f"{self.ns}::{op_name.rpartition('::')[2]}"] = fn
        return register(self, op_name, fn, dispatch_key, *args, **kwargs)

    torch.library.Library.impl = impl


def guessed_result(recorder: Recorder, func: Any, args: Any, kwargs: Any) -> Any:
    """What an operator of which nothing is known gives: tensors like its first one. Raises TypeError without one."""
    values = [*args, *kwargs.values()]
    first = next((value for value in values if isinstance(value, Tensor)), None)
    if first is None:
        raise TypeError(f"operator {func.name()}: no tensor among its arguments")
    recorder.unmodelled.add(f"operator {func.name()}", func._schema.name.replace("::", "."))
    kinds = [result.type.kind() for result in func._schema.returns]
    made = [torch.empty_like(first) if kind == "TensorType" else [torch.empty_like(first)] for kind in kinds]
    return tuple(made) if len(made) > 1 else made[0] if made else None


def tolerate_missing_operators() -> None:
    """Let a library register what an operator does on shapes even where its own binary cannot be loaded here."""
    register = torch.library.register_fake

    def register_fake(op: Any, func: Any = None, *args: Any, **kwargs: Any) -> Any:
        try:
            made = register(op, func, *args, **kwargs)
        except RuntimeError:
            return func
        if func is not None:
            return made

        def tolerant(function: Any) -> Any:
            try:
                return made(function)
            except RuntimeError:
                return function

        return tolerant

    torch.library.register_fake = register_fake
