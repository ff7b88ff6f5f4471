"""Attention of packages that a GPU alone can run, as the kernel that PyTorch has for the same product.

flash-attn and xformers hold (batch, sequence, heads, width), PyTorch (batch, heads, sequence, width).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kilowait.predict.dryrun.recorder import Recorder

Functions = dict[str, dict[str, Any]]
"""What stands in, by module and name."""


def attention_packages(recorder: Recorder) -> Functions:
    """What flash-attn and xformers offer."""
    flash = {
        "flash_attn_func": attend,
        "flash_attn_qkvpacked_func": _packed,
        "flash_attn_kvpacked_func": _key_value_packed,
        "flash_attn_with_kvcache": _with_cache,
        **_varlen(recorder),
    }
    return {
        "flash_attn": flash,
        "flash_attn.flash_attn_interface": flash,
        "flash_attn_interface": flash,
        "flash_attn.bert_padding": {
            "unpad_input": _unpad, "pad_input": _pad, "index_first_axis": lambda data, indices: data[indices]
        },
        "flash_attn.modules.mha": {"FlashSelfAttention": SelfAttention, "FlashCrossAttention": CrossAttention},
        "flash_attn.flash_attention": {"FlashAttention": SelfAttention},
        "flash_attn.ops.rms_norm": {"RMSNorm": nn.RMSNorm, "rms_norm": _rms_norm},
        "flash_attn.losses.cross_entropy": {"CrossEntropyLoss": CrossEntropy},
        "xformers": {},
        "xformers.ops": {
            "memory_efficient_attention": _memory_efficient,
            "LowerTriangularMask": Causal,
            "unbind": torch.unbind,
            "fmha": SimpleNamespace(memory_efficient_attention=_memory_efficient, attn_bias=_BIASES),
        },
        "xformers.ops.fmha": {"memory_efficient_attention": _memory_efficient, "attn_bias": _BIASES},
        "xformers.ops.fmha.attn_bias": vars(_BIASES),
    }  # fmt: skip


class Causal:
    """A mask that lets each position see those before it."""

    def __init__(self, *_: Any, **__: Any) -> None: ...


_BIASES = SimpleNamespace(LowerTriangularMask=Causal)


def attend(
    q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0, softmax_scale: Any = None, causal: bool = False,
    *_: Any, return_attn_probs: bool = False, **__: Any,
) -> Any:  # fmt: skip
    """`flash_attn_func`; fewer heads of keys than of queries are shared."""
    turned = [part.transpose(1, 2) for part in (q, k, v)]
    if turned[0].shape[1] != turned[1].shape[1]:
        output = _grouped(turned, dropout_p, causal, softmax_scale)
    else:
        output = functional.scaled_dot_product_attention(
            turned[0], turned[1], turned[2], None, dropout_p, causal, scale=softmax_scale
        )
    output = output.transpose(1, 2)
    return (output, output.new_empty((q.shape[0], q.shape[2], q.shape[1])), None) if return_attn_probs else output


def _grouped(parts: list[Tensor], dropout_p: float, causal: bool, scale: Any) -> Tensor:
    """Keys and values are read by several heads: expanded, which copies nothing."""
    q, k, v = parts
    groups = q.shape[1] // k.shape[1]
    k, v = (
        part.unsqueeze(2).expand(-1, -1, groups, -1, -1).reshape(part.shape[0], -1, *part.shape[2:]) for part in (k, v)
    )
    return functional.scaled_dot_product_attention(q, k, v, None, dropout_p, causal, scale=scale)


def _packed(qkv: Tensor, *args: Any, **kwargs: Any) -> Any:
    return attend(*qkv.unbind(2), *args, **kwargs)


def _key_value_packed(q: Tensor, kv: Tensor, *args: Any, **kwargs: Any) -> Any:
    return attend(q, *kv.unbind(2), *args, **kwargs)


def _with_cache(q: Tensor, k_cache: Tensor, v_cache: Tensor, *_: Any, causal: bool = False, **__: Any) -> Any:
    return attend(q, k_cache, v_cache, causal=causal and q.shape[1] > 1)


def _varlen(recorder: Recorder) -> dict[str, Any]:
    def varlen(
        q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: Tensor, cu_seqlens_k: Any = None, max_seqlen_q: Any = None,
        max_seqlen_k: Any = None, dropout_p: float = 0.0, softmax_scale: Any = None, causal: bool = False,
        *_: Any, **__: Any,
    ) -> Any:  # fmt: skip
        """Sequences one after the other (tokens, heads, width), taken to be equally long."""
        batch = max(1, cu_seqlens_q.shape[0] - 1)
        recorder.assume("flash-attn: the packed sequences are equally long", "modelled")
        split = [_rows(part, batch) for part in (q, k, v)]
        return attend(split[0], split[1], split[2], dropout_p, softmax_scale, causal).flatten(0, 1)[: q.shape[0]]

    def packed(qkv: Tensor, cu_seqlens: Tensor, *args: Any, **kwargs: Any) -> Any:
        kwargs = {name: value for name, value in kwargs.items() if name != "max_seqlen"}
        return varlen(*qkv.unbind(1), cu_seqlens, **kwargs)

    return {"flash_attn_varlen_func": varlen, "flash_attn_varlen_qkvpacked_func": packed}


def _rows(data: Tensor, batch: int) -> Tensor:
    """(tokens, ...) as (batch, tokens / batch, ...), filled up where it does not divide."""
    lacking = -data.shape[0] % batch
    if lacking:
        data = torch.cat([data, data.new_empty((lacking, *data.shape[1:]))])
    return data.unflatten(0, (batch, -1))


def _unpad(hidden_states: Tensor, attention_mask: Tensor, *_: Any, **__: Any) -> Any:
    """Without padding, as nothing is known of it."""
    batch, length = hidden_states.shape[:2]
    device = hidden_states.device
    ends = torch.arange(0, (batch + 1) * length, length, dtype=torch.int32, device=device)
    indices = torch.arange(batch * length, device=device)
    return hidden_states.flatten(0, 1), indices, ends, length, torch.full((batch,), length, device=device)


def _pad(hidden_states: Tensor, _indices: Tensor, batch: int, seqlen: int) -> Tensor:
    return hidden_states.new_empty((batch, seqlen, *hidden_states.shape[1:])).copy_(
        _rows(hidden_states, batch)[:, :seqlen]
    )


def _memory_efficient(
    query: Tensor, key: Tensor, value: Tensor, attn_bias: Any = None, p: float = 0.0, scale: Any = None, **_: Any
) -> Tensor:
    causal, mask = isinstance(attn_bias, Causal), attn_bias if isinstance(attn_bias, Tensor) else None
    if query.dim() == 3:
        rows = [part.unsqueeze(2) for part in (query, key, value)]
        return _memory_efficient(rows[0], rows[1], rows[2], attn_bias, p, scale).squeeze(2)
    turned = [part.transpose(1, 2) for part in (query, key, value)]
    attended = functional.scaled_dot_product_attention(turned[0], turned[1], turned[2], mask, p, causal, scale=scale)
    return attended.transpose(1, 2)


def _rms_norm(data: Tensor, weight: Tensor, epsilon: float = 1e-6) -> Tensor:
    return functional.rms_norm(data, weight.shape, weight, epsilon)


class SelfAttention(nn.Module):
    """Attention over packed queries, keys and values (batch, sequence, 3, heads, width)."""

    def __init__(self, causal: bool = False, softmax_scale: Any = None, attention_dropout: float = 0.0, **_: Any):
        super().__init__()
        self.causal, self.scale, self.dropout = causal, softmax_scale, attention_dropout

    def forward(self, qkv: Tensor, *_: Any, causal: Any = None, **__: Any) -> Any:
        """(batch, sequence, heads, width)."""
        return _packed(qkv, self.dropout if self.training else 0.0, self.scale, bool(causal or self.causal))


class CrossAttention(SelfAttention):
    """Attention of queries over packed keys and values."""

    def forward(self, q: Tensor, kv: Tensor, *_: Any, **__: Any) -> Any:
        """(batch, sequence, heads, width)."""
        return _key_value_packed(q, kv, self.dropout if self.training else 0.0, self.scale, self.causal)


class CrossEntropy(nn.CrossEntropyLoss):
    """The fused loss, which takes options that the plain one does not have."""

    def __init__(self, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0, **_: Any):
        super().__init__(ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing)
