"""The forward pass of a Llama decoder without its head, in plain torch: what the embedded model needs.

transformers has the same network and loads any model, but importing it takes longer than a whole prediction.
Parameters have the names of transformers' LlamaModel, so that its files load as they are; tests hold both against
each other. Inference only, one text at a time; weights have no random start, they are read from a file.

Not covered: other architectures, biases, scaled rotary embeddings, key-value caches, padding. `Llama.check` refuses
a configuration that asks for one of them.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kilowait.core.errors import ModelError

_PLAIN = {"model_type": "llama", "hidden_act": "silu", "attention_bias": False, "mlp_bias": False}


class Llama(nn.Module):
    """Token ids (1, T) to the last block's output after the final norm (1, T, d)."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width: int = config["hidden_size"]
        self.rotary = (int(config["head_dim"]), float(config["rope_parameters"]["rope_theta"]))
        self.embed_tokens = TokenEmbedding(config["vocab_size"], width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config["num_hidden_layers"]))
        self.norm = RMSNorm(width, config["rms_norm_eps"])

    @staticmethod
    def check(config: Mapping[str, Any]) -> None:
        """Raises ModelError when this network would not compute what `config` describes."""
        for name, plain in _PLAIN.items():
            if config.get(name) != plain:
                raise ModelError(f"not a plain Llama: {name} is {config.get(name)!r}, not {plain!r}")
        rope = config.get("rope_parameters", {}).get("rope_type")
        if rope != "default":
            raise ModelError(f"not a plain Llama: rope_type is {rope!r}, not 'default'")

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> Tensor:
        """`use_cache` is there because callers of transformers' models say it; there is no cache."""
        hidden: Tensor = self.embed_tokens(input_ids).to(self.norm.weight.dtype)
        turn = rotations(input_ids.shape[1], *self.rotary, hidden)
        for layer in self.layers:
            hidden = layer(hidden, turn)
        return self.norm(hidden)  # type: ignore[no-any-return]


class Linear(nn.Linear):
    """Without a bias and without a random start."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class TokenEmbedding(nn.Embedding):
    """Without a random start. The table may be held in another type than the rest: its rows are cast when read."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class Block(nn.Module):
    """One decoder block: attention, then the gated network, each added to what came in."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = GatedNetwork(config["hidden_size"], config["intermediate_size"])
        self.input_layernorm = RMSNorm(config["hidden_size"], config["rms_norm_eps"])
        self.post_attention_layernorm = RMSNorm(config["hidden_size"], config["rms_norm_eps"])

    def forward(self, hidden: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        """(1, T, d) -> (1, T, d)."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), turn)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Causal attention with rotary positions; several heads share a key and a value."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, self.head_dim = config["hidden_size"], config["head_dim"]
        self.heads, self.shared = config["num_attention_heads"], config["num_key_value_heads"]
        self.q_proj = Linear(width, self.heads * self.head_dim)
        self.k_proj = Linear(width, self.shared * self.head_dim)
        self.v_proj = Linear(width, self.shared * self.head_dim)
        self.o_proj = Linear(self.heads * self.head_dim, width)

    def forward(self, hidden: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        """(1, T, d) -> (1, T, d)."""
        q_BHTK = rotate(self._split(self.q_proj(hidden), self.heads), turn)
        k_BHTK = rotate(self._split(self.k_proj(hidden), self.shared), turn)
        v_BHTK = self._split(self.v_proj(hidden), self.shared)
        heads_per_key = self.heads // self.shared
        mixed = functional.scaled_dot_product_attention(
            q_BHTK,
            k_BHTK.repeat_interleave(heads_per_key, 1),
            v_BHTK.repeat_interleave(heads_per_key, 1),
            is_causal=True,
        )
        return self.o_proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(*x.shape[:2], heads, self.head_dim).transpose(1, 2)


class GatedNetwork(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = Linear(width, inner)
        self.up_proj = Linear(width, inner)
        self.down_proj = Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, d) -> (1, T, d)."""
        return self.down_proj(functional.silu(self.gate_proj(x), inplace=True).mul_(self.up_proj(x)))  # type: ignore[no-any-return]


class RMSNorm(nn.Module):
    """x / rms(x) * weight, the root mean square taken in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d)."""
        exact = x.float()
        return self.weight * (exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype)


def rotations(tokens: int, head_dim: int, theta: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine (T, head_dim) of each position's angles, on the device and in the type of `like`."""
    exponents = torch.arange(0, head_dim, 2, device=like.device, dtype=torch.float32) / head_dim
    angles = torch.outer(torch.arange(tokens, device=like.device, dtype=torch.float32), theta**-exponents)
    all_angles = torch.cat([angles, angles], dim=1)
    return all_angles.cos().to(like.dtype), all_angles.sin().to(like.dtype)


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the pairs (i, i + head_dim / 2) of x (..., T, head_dim) by their positions' angles."""
    cos, sin = turn
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
