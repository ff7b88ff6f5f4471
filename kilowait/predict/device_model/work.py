"""An operation as the device model sees it: how much work, of what class, and in how many independent pieces.

Everything here comes from the shapes and attributes in a dry run's record; no device enters. A matrix product of
(m, k) and (k, n) is counted in tiles of 64 x 64; a convolution is read as the product it is lowered to, with m output
positions, n output channels and k inputs of each. Widths below a tile are padded to what kernels compute anyway.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

from kilowait.predict.dryrun.operators import base_name
from kilowait.predict.dryrun.record import Kind, Operation

TILE = 64
"""Rows and columns of one block of a matrix product, a size that vendors' kernels choose for most shapes."""
DIMENSIONS = 12
"""Of `Work.shape`."""
_FLOATS = {"float64": 8, "complex64": 8, "complex128": 16, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One call of an operator.

    `group` is the class that shares an efficiency, `flops` what a kernel computes (padding included), `bytes_moved`
    what it reads and writes if nothing is cached (a normalisation reads its input twice), `blocks` the pieces that can run
    at the same time, `kernels` the launches. `shape` (DIMENSIONS,) are logarithms that tell operations of a class apart.
    """

    group: str
    op: str
    dtype: str
    matrix: bool
    flops: float
    bytes_moved: float
    blocks: float
    kernels: int
    shape: tuple[float, ...]


def work_of(operation: Operation) -> Work:
    """Read an operation's record; what its attributes do not tell is left at the value for plain tensors."""
    shapes: list[list[int]] = json.loads(operation.shapes)
    attributes: list[Any] = json.loads(operation.attributes)
    name = base_name(operation.op)
    reader = _READERS.get(operation.kind, _elementwise)
    try:
        got = reader(operation, name, shapes, attributes)
    except (IndexError, TypeError, ValueError, ZeroDivisionError):  # an overload with other arguments
        got = _elementwise(operation, name, shapes, attributes)
    return Work(
        group=got.group,
        op=name,
        dtype=operation.dtype,
        matrix=got.matrix,
        flops=max(got.flops, 1.0),
        bytes_moved=max(got.bytes_moved, 1.0),
        blocks=max(got.blocks, 1.0),
        kernels=operation.kernels,
        shape=_shape(got, operation.dtype),
    )


@dataclass(slots=True, kw_only=True)
class _Read:
    """What a reader found: m, n, k are the sides of the product, or pieces, 1, and the length of each."""

    group: str
    flops: float
    bytes_moved: float
    blocks: float
    m: float = 1.0
    n: float = 1.0
    k: float = 1.0
    matrix: bool = False
    extra: tuple[float, ...] = ()


def _shape(got: _Read, dtype: str) -> tuple[float, ...]:
    sides = [got.flops, got.bytes_moved, got.m, got.n, got.k, got.blocks]
    logs = [math.log(max(side, 1e-3)) for side in sides] + list(got.extra[:5])
    wide = math.log(_FLOATS.get(dtype, 4) / 4)
    return (*logs, *([0.0] * (DIMENSIONS - 1 - len(logs))), wide)


def _elements(shapes: list[list[int]]) -> float:
    return float(max((math.prod(s) for s in shapes), default=1))


def _moved(operation: Operation, reads: float = 1.0) -> float:
    return reads * operation.bytes_read + operation.bytes_written


def _elementwise(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> _Read:
    count = _elements(shapes)
    return _Read(group=str(operation.kind), flops=operation.flops, bytes_moved=_moved(operation), blocks=count / 1024)


def _product(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> _Read:
    a, b = [s for s in shapes if len(s) >= 2][-2:] if len(shapes) > 1 else (shapes[0], shapes[0])
    batch, m, k, n = math.prod(a[:-2]), a[-2], a[-1], b[-1]
    thin = min(m * batch, n) <= 4
    flops = 2.0 * batch * m * n * k if thin else 2.0 * batch * _up(m, 32) * _up(n, 32) * k
    split = max(1.0, k / 256)  # a long k is split over blocks where there are few tiles
    return _Read(
        group="gemv" if thin else "gemm",
        flops=flops,
        bytes_moved=_moved(operation),
        blocks=batch * _up(m, TILE) * _up(n, TILE) / TILE**2 * split,
        m=m * batch,
        n=n,
        k=k,
        matrix=True,
        extra=(math.log(max(batch, 1)),),
    )


def _up(value: float, step: int) -> int:
    return math.ceil(value / step) * step


def _convolution(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> _Read:
    if "backward" in name:
        return _convolution_backward(operation, shapes, attributes)
    x, weight = shapes[0], shapes[1]
    stride, padding, dilation, transposed, output_padding, groups = attributes[3:9]
    dims, taps = range(len(x) - 2), math.prod(weight[2:])
    if transposed:
        inner, outer = weight[0] // groups, weight[1]
        sides = [
            (x[2 + i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (weight[2 + i] - 1) + output_padding[i] + 1
            for i in dims
        ]
    else:
        inner, outer = x[1] // groups, weight[0] // groups
        sides = [(x[2 + i] + 2 * padding[i] - dilation[i] * (weight[2 + i] - 1) - 1) // stride[i] + 1 for i in dims]
    return _lowered(
        operation, x[0] * math.prod(sides), inner, outer, taps, stride, dilation, groups, bool(transposed), len(x) - 2
    )


def _lowered(
    operation: Operation,
    positions: int,
    inner: int,
    outer: int,
    taps: int,
    stride: list[int],
    dilation: list[int],
    groups: int,
    transposed: bool,
    dims: int,
) -> _Read:
    """A convolution as `groups` products of (positions, inner * taps) and (inner * taps, outer)."""
    strided = math.prod(stride)
    k = inner * taps / (strided if transposed else 1)
    group = _convolution_group(inner, outer, taps, groups, transposed, dims)
    plain = group in ("conv_depthwise", "conv_pointwise")
    padded = outer if plain else max(outer, 32 if outer > 8 else 16)
    return _Read(
        group=group,
        flops=2.0 * groups * positions * padded * (k if plain else max(k, 8)),
        bytes_moved=_moved(operation),
        blocks=groups * _up(positions, TILE) * _up(outer, TILE) / TILE**2,
        m=positions,
        n=outer,
        k=k,
        matrix=True,
        extra=(
            math.log(strided),
            math.log(taps),
            math.log(groups),
            math.log(math.prod(dilation)),
            math.log(inner),
        ),
    )


def _convolution_group(inner: int, outer: int, taps: int, groups: int, transposed: bool, dims: int) -> str:
    if inner == 1 and outer <= 2 and groups > 1:
        return "conv_depthwise"
    if taps == 1 and not transposed:
        return "conv_pointwise"
    return f"conv{'_transposed' if transposed else ''}_{max(dims, 2)}d{'_grouped' if groups > 1 else ''}"


def _convolution_backward(operation: Operation, shapes: list[list[int]], attributes: list[Any]) -> _Read:
    """Gradients of input and weight: two products of the forward one's size."""
    gradient, x, weight = shapes[0], shapes[1], shapes[2]
    taps, inner = math.prod(weight[2:]), weight[1]
    depthwise = inner == 1 and weight[0] == x[1]
    return _Read(
        group="conv_depthwise_backward" if depthwise else "conv_backward",
        flops=operation.flops,
        bytes_moved=_moved(operation, reads=2.0),
        blocks=2.0 * _up(gradient[0] * math.prod(gradient[2:]), TILE) * _up(weight[0], TILE) / TILE**2,
        m=gradient[0] * math.prod(gradient[2:]),
        n=weight[0],
        k=inner * taps,
        matrix=True,
        extra=(0.0, math.log(taps)),
    )


def _normalisation(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> _Read:
    """Batch norm works by channel, group norm by group of a sample, layer norm by row; each reads its input twice."""
    count = _elements(shapes)
    if "batch_norm" in name:
        group, pieces = "batch_norm", float(shapes[0][1])
    elif "group_norm" in name:
        group, pieces = "group_norm", float(attributes[3] * attributes[6]) if len(attributes) > 6 else 1.0
    else:
        row = next((math.prod(a) for a in attributes if isinstance(a, list) and a and type(a[0]) is int), shapes[0][-1])
        group, pieces = "layer_norm", count / max(row, 1)
    group += "_backward" if "backward" in name else ""
    return _Read(
        group=group,
        flops=operation.flops,
        bytes_moved=_moved(operation, reads=2.0),
        blocks=pieces,
        m=pieces,
        k=count / max(pieces, 1.0),
    )


def _along(shape: list[int], attributes: list[Any]) -> tuple[int, int]:
    """How many elements are taken together, and how far apart they lie: over all dimensions unless some are named."""
    named = next((a for a in attributes[1:] if _is_dims(a)), None)
    dims = [named] if isinstance(named, int) else named if named else range(len(shape))
    axes = [d % len(shape) for d in dims] if shape else []
    return math.prod(shape[a] for a in axes), math.prod(shape[max(axes, default=-1) + 1 :])


def _is_dims(value: Any) -> bool:
    return type(value) is int or (isinstance(value, list) and bool(value) and all(type(v) is int for v in value))


def _reduction(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> _Read:
    count, shape = _elements(shapes), shapes[0] if shapes else []
    lossy = "loss" in name  # its integers are modes, not dimensions
    taken, inner = (int(count), 1) if lossy else _along(shape, attributes)
    arg = name in ("max", "min", "argmax", "argmin", "aminmax", "median", "mode")
    return _Read(
        group="reduction_arg" if arg else "reduction",
        flops=operation.flops,
        bytes_moved=_moved(operation),
        blocks=count / 2048,
        m=count / max(taken, 1),
        k=taken,
        extra=(math.log(max(inner, 1)), float(inner > 1)),
    )


def _rows(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> _Read:
    """Softmax and scans: rows are independent, neighbours in memory share a block."""
    count, shape = _elements(shapes), shapes[0] if shapes else []
    taken, inner = _along(shape, attributes)
    rows = count / max(taken, 1)
    composite = name == "logsumexp"  # several kernels over its input
    reads = 4.0 if composite else 2.0 if operation.kind == Kind.SOFTMAX else 1.0
    return _Read(
        group="logsumexp" if composite else str(operation.kind),
        flops=operation.flops,
        bytes_moved=_moved(operation, reads=reads),
        blocks=rows / (32 if inner > 1 else 1),
        m=rows,
        k=taken,
        extra=(math.log(max(inner, 1)), float(inner > 1)),
    )


def _pooling(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> _Read:
    window = attributes[1] if len(attributes) > 1 and isinstance(attributes[1], list) else [1]
    got = _elementwise(operation, name, shapes, attributes)
    got.group = "pool_max" if "max" in name else "pool_average"
    got.extra = (math.log(max(1, math.prod(window))),)
    return got


def _fused(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> _Read:
    """Attention and recurrences: products with the FLOPs that the record gives."""
    got = _elementwise(operation, name, shapes, attributes)
    got.matrix, got.flops = True, operation.flops
    return got


_READERS = {
    Kind.GEMM: _product,
    Kind.CONVOLUTION: _convolution,
    Kind.NORMALISATION: _normalisation,
    Kind.REDUCTION: _reduction,
    Kind.SOFTMAX: _rows,
    Kind.SCAN: _rows,
    Kind.POOLING: _pooling,
    Kind.ATTENTION: _fused,
    Kind.RECURRENT: _fused,
}
