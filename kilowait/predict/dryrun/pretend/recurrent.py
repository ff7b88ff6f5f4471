"""The cells of recurrent networks on a GPU: two products and one kernel for all the gates (LSTM and GRU).

On tensors without data they would fall apart into a dozen kernels. Plain cells are that many on a GPU, too.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kilowait.predict.dryrun.pretend.autocast import cast_lower
from kilowait.predict.dryrun.recorder import Recorder


def pretend_cells(recorder: Recorder) -> None:
    """Replace what `nn.LSTMCell` and `nn.GRUCell` call."""

    def lstm_cell(data: Tensor, states: tuple[Tensor, Tensor], *weights: Any) -> tuple[Tensor, ...]:
        return tuple(_cell(recorder, "lstm", data, list(states), list(weights)))

    def gru_cell(data: Tensor, state: Tensor, *weights: Any) -> Tensor:
        new_state: Tensor = _cell(recorder, "gru", data, [state], list(weights))[0]
        return new_state

    for owner in (torch, torch._VF):
        for name, cell in (("lstm_cell", lstm_cell), ("gru_cell", gru_cell)):
            setattr(owner, name, cell)


def _cell(recorder: Recorder, mode: str, data: Tensor, states: list[Tensor], weights: list[Any]) -> Any:
    """New states from data (B, I), states (B, H), weights (G H, I) and (G H, H), biases (G H,) or None."""
    data, *states = cast_lower([data, *states])
    to_data, to_state, *biases = cast_lower(weights)
    gates = torch.mm(data, to_data.t()), torch.mm(states[0], to_state.t())
    present_biases = [bias for bias in biases if bias is not None]
    return _Gates.apply(recorder, mode, len(states), *gates, *states[-1:], *present_biases)  # type: ignore[no-untyped-call]


class _Gates(torch.autograd.Function):
    """The pointwise part of a cell: gates of data and state (B, G H), the last state (B, H), biases."""

    @staticmethod
    def forward(ctx: Any, recorder: Recorder, mode: str, count: int, *inputs: Tensor) -> Any:
        state = inputs[2]
        new_states = tuple(state.new_empty(state.shape) for _ in range(count))
        workspace = inputs[0].new_empty((state.shape[0], (4 if mode == "lstm" else 5) * state.shape[1]))
        ctx.recorder, ctx.op = recorder, f"aten._thnn_fused_{mode}_cell"
        ctx.save_for_backward(workspace, *inputs)
        _see(recorder, ctx.op, list(inputs), [*new_states, workspace])
        return new_states

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Gradients of all inputs; those of the biases are sums over samples, a kernel each."""
        workspace, *inputs = ctx.saved_tensors
        input_gradients = [part.new_empty(part.shape) for part in inputs]
        operands = [workspace, *inputs[2:3], *(gradient for gradient in gradients if gradient is not None)]
        _see(ctx.recorder, f"{ctx.op}_backward", operands, input_gradients[:3])
        for bias in input_gradients[3:]:
            _see(ctx.recorder, "aten.sum", input_gradients[:1], [bias])
        return None, None, None, *input_gradients


def _see(recorder: Recorder, op: str, inputs: list[Tensor], outputs: list[Tensor]) -> None:
    if recorder.muted == 0:
        attributes: list[Any] = ["T", [0]] if op == "aten.sum" else ["T"] * len(inputs)
        recorder.see(op, inputs, outputs, attributes, lambda: float(max(t.numel() for t in (*inputs, *outputs))))
