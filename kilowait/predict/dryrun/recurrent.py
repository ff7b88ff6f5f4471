"""LSTM, GRU and plain recurrent networks as the one operator that a GPU runs them as.

Without cuDNN at hand PyTorch takes a recurrent layer apart into thousands of small operators, one set a time step, or
fails on a GRU; with cuDNN it is one call for all layers and steps. `fused_recurrences` puts that call in their
place, with its backward pass, so that a dry run sees what a GPU would do. On a CPU nothing is changed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

_NAMES = ("lstm", "gru", "rnn_tanh", "rnn_relu")


@torch.library.custom_op("kilowait::recurrence", mutates_args=())
def _recurrence(x: Tensor, h: Tensor, weights: Sequence[Tensor], width: int, steps: int, sweeps: int) -> Tensor:
    """All layers and time steps: x (rows, features) -> (rows, width); `sweeps` are layers times directions."""
    raise NotImplementedError("kilowait::recurrence exists in dry runs only")


@torch.library.custom_op("kilowait::recurrence_backward", mutates_args=())
def _recurrence_backward(
    gradient: Tensor, x: Tensor, h: Tensor, weights: Sequence[Tensor], steps: int, sweeps: int
) -> list[Tensor]:
    """Gradients of x, h and the weights, in that order."""
    raise NotImplementedError("kilowait::recurrence_backward exists in dry runs only")


@_recurrence.register_fake
def _(x: Tensor, h: Tensor, weights: Sequence[Tensor], width: int, steps: int, sweeps: int) -> Tensor:
    return x.new_empty((x.shape[0], width))


@_recurrence_backward.register_fake
def _(gradient: Tensor, x: Tensor, h: Tensor, weights: Sequence[Tensor], steps: int, sweeps: int) -> list[Tensor]:
    return [torch.empty_like(t) for t in (x, h, *weights)]


def _remember(ctx: Any, inputs: Any, output: Tensor) -> None:
    x, h, weights, _, ctx.steps, ctx.sweeps = inputs
    ctx.save_for_backward(x, h, *weights)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    x, h, *weights = ctx.saved_tensors
    found = torch.ops.kilowait.recurrence_backward(gradient, x, h, weights, ctx.steps, ctx.sweeps)
    return found[0], found[1], list(found[2:]), None, None, None


_recurrence.register_autograd(_differentiate, setup_context=_remember)


def _products(rows: int, weights: Sequence[Any]) -> int:
    """Two FLOPs for each row and each number of each weight matrix."""
    return sum(2 * rows * shape[0] * shape[1] for shape in weights if len(shape) == 2)


@register_flop_formula(torch.ops.kilowait.recurrence)
def _forward_flops(x: Any, h: Any, weights: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return _products(x[0], weights)


@register_flop_formula(torch.ops.kilowait.recurrence_backward)
def _backward_flops(gradient: Any, x: Any, h: Any, weights: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return 2 * _products(x[0], weights)


@contextmanager
def fused_recurrences(target: str) -> Iterator[None]:
    """Inside, recurrent modules call one operator where `target` is "cuda"."""
    if target != "cuda":
        yield
        return
    saved = {name: getattr(torch._VF, name) for name in _NAMES}
    for name in _NAMES:
        setattr(torch._VF, name, _fused(name == "lstm"))
    try:
        yield
    finally:
        for name, function in saved.items():
            setattr(torch._VF, name, function)


def _fused(cell: bool) -> Callable[..., Any]:
    """What stands for `torch._VF.lstm` (with a cell state) and its like."""

    def call(*args: Any) -> Any:
        packed = isinstance(args[1], Tensor) and isinstance(args[3], list | tuple)
        x, state = args[0], args[2] if packed else args[1]
        weights, _, layers, _, _, both = args[3:9] if packed else args[2:8]
        states = tuple(state) if cell else (state,)
        sweeps = layers * (2 if both else 1)
        width = states[0].shape[-1] * (2 if both else 1)
        rows, steps = (x, args[1].shape[0]) if packed else _rows(x, batch_first=args[8])
        output = torch.ops.kilowait.recurrence(rows, states[0], list(weights), width, steps, sweeps)
        ends = tuple(torch.empty_like(s) for s in states)
        return (output.view(*x.shape[:-1], width), *ends)

    return call


def _rows(x: Tensor, *, batch_first: bool) -> tuple[Tensor, int]:
    """Every time step of every sample as a row, and the number of steps."""
    return x.reshape(-1, x.shape[-1]), x.shape[1 if batch_first else 0]
