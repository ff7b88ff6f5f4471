"""Operators that a device runs as one kernel, and that would fall apart into many on tensors without data.

Recurrent layers are one operation forward and one backward, as cuDNN runs them; scaled dot-product attention on a GPU
is the flash kernel for half precision without a mask, and the memory-efficient one otherwise. Dropout draws and scales
at once.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kilowait.predict.dryrun.child.older_torch import keep_to_slow_path
from kilowait.predict.dryrun.pretend.autocast import cast_lower, pretend_autocast
from kilowait.predict.dryrun.pretend.recurrent import pretend_cells
from kilowait.predict.dryrun.recorder import Recorder

FLASH_HEAD = 256
"""The widest head that the flash kernel takes."""


def pretend_kernels(recorder: Recorder) -> None:
    """Replace the recurrent layers, and on a GPU attention."""
    for mode in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        kernel = _kernel(recorder, mode)
        setattr(torch._VF, mode, kernel)
        setattr(torch, mode, kernel)
    setattr(torch, "ctc_loss", _ctc_loss)  # noqa: B010 - the checker has several signatures for it
    nn.modules.rnn._rnn_impls.update(RNN_TANH=torch._VF.rnn_tanh, RNN_RELU=torch._VF.rnn_relu)
    keep_to_slow_path()
    if recorder.target == "cuda":
        functional.scaled_dot_product_attention = attention
        for module in (torch._VF, torch):
            setattr(module, "dropout", _dropout)  # noqa: B010 - the checker has another signature for it
        pretend_autocast()
        pretend_cells(recorder)


def _kernel(recorder: Recorder, mode: str) -> Any:
    def run(data: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        """Arguments as torch._VF.lstm has them: with batch sizes before the state where the data is packed."""
        data, *others = cast_lower([data, *rest])
        packed = isinstance(others[2], (list, tuple))
        state, weights = others[1:3] if packed else others[:2]
        states = [state] if isinstance(state, Tensor) else list(state)
        about = [mode, *others[3 if packed else 2 :]]
        learns = torch.is_grad_enabled()
        return tuple(_Recurrent.apply(recorder, about, learns, len(states), data, *states, *weights))  # type: ignore[no-untyped-call]

    return run


class _Recurrent(torch.autograd.Function):
    """A stack of recurrent layers: (data, states, weights) to (output, last states)."""

    @staticmethod
    def forward(
        ctx: Any, recorder: Recorder, about: list[Any], learns: bool, count: int, data: Tensor, *rest: Tensor
    ) -> Any:
        states, weights = rest[:count], rest[count:]
        directions = 2 if about[5] is True else 1
        output = data.new_empty((*data.shape[:-1], directions * states[0].shape[-1]))
        last_states = [state.new_empty(state.shape) for state in states]
        ctx.recorder, ctx.about, ctx.flops = recorder, about, recurrent_flops(data, weights)
        reserve = data.new_empty(_reserved(data, weights, about) if learns else 0)
        ctx.save_for_backward(data, *rest, output, reserve)
        _see(recorder, "aten._cudnn_rnn", [data, *rest], [output, *last_states], about, ctx.flops)
        return (output, *last_states)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """A gradient for the data and one for the weights: twice the work."""
        saved_tensors = ctx.saved_tensors[:-2]
        input_gradients = [tensor.new_empty(tensor.shape) for tensor in saved_tensors]
        inputs = [*saved_tensors, *(gradient for gradient in gradients if gradient is not None)]
        _see(ctx.recorder, "aten._cudnn_rnn_backward", inputs, input_gradients, ctx.about, 2 * ctx.flops)
        return None, None, None, None, *input_gradients


def _reserved(data: Tensor, weights: Sequence[Tensor], about: list[Any]) -> int:
    """Numbers that cuDNN keeps for the backward pass: of each position the gates, and two states beside them."""
    positions = data.numel() // data.shape[-1]
    gates = {"lstm": 4, "gru": 3}.get(about[0], 1)
    to_states = [weight for weight in weights if weight.dim() == 2][1::2]
    return positions * sum((gates + 2) * weight.shape[0] // gates for weight in to_states)


def recurrent_flops(data: Tensor, weights: Sequence[Tensor]) -> float:
    """Every matrix multiplies every position of every sequence once; pointwise work is left out."""
    positions = data.numel() // data.shape[-1]
    return 2.0 * positions * sum(weight.numel() for weight in weights if weight.dim() == 2)


def _see(
    recorder: Recorder, op: str, inputs: list[Tensor], outputs: list[Tensor], about: list[Any], flops: float
) -> None:
    if recorder.muted == 0:
        recorder.see(op, inputs, outputs, about, lambda: flops)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`scaled_dot_product_attention` as the kernel that a GPU takes."""
    query, key, value = cast_lower([query, key, value])
    if query.dim() != 4:
        shapes = [
            (1,) * (4 - t.dim()) + tuple(t.shape) if t.dim() < 4 else (-1, *t.shape[-3:]) for t in (query, key, value)
        ]
        parts = [t.reshape(shape) for t, shape in zip((query, key, value), shapes)]
        attended = attention(parts[0], parts[1], parts[2], attn_mask, dropout_p, is_causal, scale, enable_gqa)
        return attended.reshape(*query.shape[:-1], value.shape[-1])
    if enable_gqa:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    flash = attn_mask is None and query.dtype in (torch.float16, torch.bfloat16) and query.shape[-1] <= FLASH_HEAD
    if flash:
        attended = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, dropout_p, is_causal, False, scale=scale
        )
    else:
        learns = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
        attended = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, _bias(attn_mask, query, key), learns, dropout_p, is_causal, scale=scale
        )
    output: Tensor = attended[0]
    return output


_real_dropout: Any = torch.dropout


def _dropout(input: Tensor, p: float, train: bool) -> Tensor:  # noqa: A002 - the operator names it so
    """Drawing and scaling in one kernel, as on a GPU."""
    if train and 0 < p < 1 and input.device.type == "cuda":
        kept: Tensor = torch.native_dropout(input, p, train)[0]
        return kept
    plain: Tensor = _real_dropout(input, p, train)
    return plain


_real_ctc_loss: Any = torch.ctc_loss


def _ctc_loss(log_probs: Tensor, targets: Tensor, *rest: Any) -> Tensor:
    """With everything on one device, as it wants tensors without data."""
    arguments = [part.to(log_probs.device) if isinstance(part, Tensor) else part for part in (targets, *rest)]
    loss: Tensor = _real_ctc_loss(log_probs, *arguments)
    return loss


def _bias(mask: Tensor | None, query: Tensor, key: Tensor) -> Tensor | None:
    """The mask as what is added to the scores, of their whole shape."""
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, float("-inf"))
    return mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
