"""Autocast on a pretended GPU: PyTorch's own does not take a tensor without data for one on a GPU and leaves it alone.

The lists are those of PyTorch's documentation of CUDA operators under autocast: products and convolutions in the lower
precision, what sums or grows fast in float32. A parameter is cast once in a region, as PyTorch does it.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from kilowait.predict.dryrun.child.older_torch import autocast_dtype
from kilowait.predict.dryrun.tensor_memory.storages import not_held

_LOWER = (
    "__matmul__ __rmatmul__ addbmm addmm addmv addr baddbmm bilinear bmm chain_matmul conv1d conv2d conv3d conv_tbc "
    "conv_transpose1d conv_transpose2d conv_transpose3d einsum linear matmul mm mv multi_dot prelu tensordot vecdot "
    "rnn_tanh_cell rnn_relu_cell"
)
_FULL = (
    "__pow__ __rpow__ acos asin cosh cosine_embedding_loss cosine_similarity cross_entropy ctc_loss cdist "
    "cumprod cumsum dist erfinv exp expm1 group_norm gaussian_nll_loss hinge_embedding_loss huber_loss "
    "instance_norm kl_div l1_loss layer_norm log log10 log1p log2 log_softmax logsumexp margin_ranking_loss "
    "mse_loss multi_margin_loss nll_loss norm normalize pdist poisson_nll_loss pow prod reciprocal rsqrt sinh "
    "smooth_l1_loss soft_margin_loss softmax softmin softplus sum tan triplet_margin_loss "
    "binary_cross_entropy_with_logits"
)
_READ_AS_FLOAT32 = ("softmax", "log_softmax", "sum", "prod", "cumsum", "cumprod")
"""Kernels that read float16 and compute in float32, where autocast asks for that: there is no copy of the argument."""
_OWNERS = (torch, Tensor, functional, torch._VF, torch.linalg)
_FLOATS = (torch.float16, torch.bfloat16, torch.float32)
_cast_already: dict[int, tuple[Tensor, Tensor]] = {}


def pretend_autocast() -> None:
    """Make operators look at autocast themselves."""
    for names, lower in ((_LOWER, True), (_FULL, False)):
        for name in names.split():
            for owner in _OWNERS:
                if callable(vars(owner).get(name) or getattr(owner, name, None)):
                    setattr(owner, name, _looking(getattr(owner, name), lower, name in _READ_AS_FLOAT32))
    clear = torch.clear_autocast_cache

    def forget() -> None:
        _cast_already.clear()
        clear()

    torch.clear_autocast_cache = forget


def _looking(function: Callable[..., Any], lower: bool, read_as_float32: bool = False) -> Callable[..., Any]:
    @wraps(function)
    def looking(*args: Any, **kwargs: Any) -> Any:
        lower_dtype = autocast_dtype()
        if lower_dtype is not None:
            dtype = lower_dtype if lower else torch.float32
            with not_held() if read_as_float32 and lower_dtype == torch.float16 else nullcontext():
                args, kwargs = tuple(cast(list(args), dtype)), {name: cast(a, dtype) for name, a in kwargs.items()}
        return function(*args, **kwargs)

    return looking


def cast_lower(arguments: list[Any]) -> list[Any]:
    """The tensors among the arguments, also in lists, as autocast hands them to a kernel of lower precision."""
    dtype = autocast_dtype()
    cast_all: list[Any] = arguments if dtype is None else cast(arguments, dtype)
    return cast_all


def cast(value: Any, dtype: torch.dtype) -> Any:
    """Tensors on the GPU in another precision, also in lists and tuples; float64 stays what it is."""
    if isinstance(value, (list, tuple)) and any(isinstance(part, (Tensor, list, tuple)) for part in value):
        return type(value)(cast(part, dtype) for part in value) if type(value) in (list, tuple) else value
    if not isinstance(value, Tensor) or value.dtype not in _FLOATS or value.dtype == dtype:
        return value
    if value.device.type != "cuda":
        return value
    if dtype == torch.float32 or not (value.is_leaf and value.requires_grad and torch.is_autocast_cache_enabled()):
        return value.to(dtype)
    cached = _cast_already.get(id(value))
    if cached is None or cached[1].dtype != dtype:
        cached = _cast_already[id(value)] = (value, value.to(dtype))
    return cached[1]
