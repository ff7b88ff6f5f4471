"""What a program has set that decides how fast its products run: TF32, and whether cuDNN may try its algorithms."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from kilowait.predict.dryrun.operators import kind_of
from kilowait.predict.dryrun.record import Kind

TF32, IEEE = "tf32", "ieee"
_GOVERNED = {Kind.GEMM: "matmul", Kind.ATTENTION: "matmul", Kind.CONVOLUTION: "conv", Kind.RECURRENT: "rnn"}
_BY_DEFAULT = {"matmul": False, "conv": True, "rnn": True}
"""Whether PyTorch lets float32 be rounded to TF32 on tensor cores unless the program says otherwise."""
_FLOATS = ("float32", "complex64")
_FORBIDDEN, _FORCED = "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"


@cache
def _governed(op: str) -> str:
    return _GOVERNED.get(kind_of(op), "")


def precision_of(op: str, dtype: str) -> str:
    """TF32 or IEEE where a product in float32 departs from PyTorch's default, else empty."""
    what = _governed(op)
    if not what or dtype not in _FLOATS:
        return ""
    allowed = _allowed(what)
    return "" if allowed == _BY_DEFAULT[what] else TF32 if allowed else IEEE


def tries_algorithms(op: str) -> bool:
    """Whether cuDNN times its algorithms for a convolution and takes the fastest (`cudnn.benchmark`)."""
    return _governed(op) == "conv" and bool(torch._C._get_cudnn_benchmark())


def _allowed(what: str) -> bool:
    if os.environ.get(_FORBIDDEN) == "0":
        return False
    if what == "matmul" and os.environ.get(_FORCED) == "1":
        return True
    getter: Callable[[str, str], Any] | None = getattr(torch._C, "_get_fp32_precision_getter", None)
    if getter is not None:  # since 2.9; it knows what the older names set, and they may refuse to answer
        return bool(getter("cuda", what) == TF32)
    return bool(torch._C._get_cublas_allow_tf32() if what == "matmul" else torch._C._get_cudnn_allow_tf32())
