"""How the record of a matrix product, a convolution or a recurrence is read, and what every reader shares."""

import math
from dataclasses import dataclass
from typing import Any

from kilowait.predict.dryrun.record import Operation

TILE = 64
"""Rows and columns of one block of a matrix product, a size that vendors' kernels choose for most shapes."""


@dataclass(slots=True, kw_only=True)
class WorkReading:
    """What a record says: m, n, k are the sides of the product, or pieces, 1, and the length of each."""

    group: str
    flops: float
    bytes_moved: float
    blocks: float
    m: float = 1.0
    n: float = 1.0
    k: float = 1.0
    matrix: bool = False
    kernels: int | None = None
    extra: tuple[float, ...] = ()


def elements(shapes: list[list[int]]) -> float:
    """How many numbers the largest tensor holds."""
    return float(max((math.prod(s) for s in shapes), default=1))


def moved(operation: Operation, reads: float = 1.0) -> float:
    """Bytes that an operator moves when it reads its inputs `reads` times."""
    return reads * operation.bytes_read + operation.bytes_written


def elementwise(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> WorkReading:
    """Every number by itself: also the reading of what nothing else is known of."""
    count = elements(shapes)
    return WorkReading(
        group=str(operation.kind), flops=operation.flops, bytes_moved=moved(operation), blocks=count / 1024
    )


def product(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> WorkReading:
    """A matrix product of the last two matrices among the arguments; very thin ones are bound by memory."""
    a, b = [s for s in shapes if len(s) >= 2][-2:] if len(shapes) > 1 else (shapes[0], shapes[0])
    batch, m, k, n = math.prod(a[:-2]), a[-2], a[-1], b[-1]
    thin = min(m * batch, n) <= 4
    flops = 2.0 * batch * m * n * k if thin else 2.0 * batch * _up(m, 32) * _up(n, 32) * k
    split = max(1.0, k / 256)  # a long k is split over blocks where there are few tiles
    return WorkReading(
        group="gemv" if thin else "gemm",
        flops=flops,
        bytes_moved=moved(operation),
        blocks=batch * _up(m, TILE) * _up(n, TILE) / TILE**2 * split,
        m=m * batch,
        n=n,
        k=k,
        matrix=True,
        extra=(math.log(max(batch, 1)),),
    )


def _up(value: float, step: int) -> int:
    return math.ceil(value / step) * step


def convolution(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> WorkReading:
    """A convolution, plain or transposed, or its backward pass."""
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
) -> WorkReading:
    """A convolution as `groups` products of (positions, inner * taps) and (inner * taps, outer)."""
    strided = math.prod(stride)
    k = inner * taps / (strided if transposed else 1)
    group = _convolution_group(inner, outer, taps, groups, transposed, dims)
    plain = group in ("conv_depthwise", "conv_pointwise")
    padded = outer if plain else max(outer, 32 if outer > 8 else 16)
    return WorkReading(
        group=group,
        flops=2.0 * groups * positions * padded * (k if plain else max(k, 8)),
        bytes_moved=moved(operation),
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


def _convolution_backward(operation: Operation, shapes: list[list[int]], attributes: list[Any]) -> WorkReading:
    """Gradients of input and weight: two products of the forward one's size."""
    gradient, x, weight = shapes[0], shapes[1], shapes[2]
    taps, inner = math.prod(weight[2:]), weight[1]
    depthwise = inner == 1 and weight[0] == x[1]
    return WorkReading(
        group="conv_depthwise_backward" if depthwise else "conv_backward",
        flops=operation.flops,
        bytes_moved=moved(operation, reads=2.0),
        blocks=2.0 * _up(gradient[0] * math.prod(gradient[2:]), TILE) * _up(weight[0], TILE) / TILE**2,
        m=gradient[0] * math.prod(gradient[2:]),
        n=weight[0],
        k=inner * taps,
        matrix=True,
        extra=(0.0, math.log(taps)),
    )


def convolution_gradients(
    operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]
) -> WorkReading:
    """Gradients of input and weight, as many as are wanted: each a product of the forward one's size."""
    gradient, x, weight = shapes[0], shapes[1], shapes[2]
    transposed, groups, wanted = bool(attributes[7]), attributes[9], attributes[10]
    outer, inner = (weight[1], weight[0] // groups) if transposed else (weight[0] // groups, weight[1])
    positions = gradient[0] * math.prod(gradient[2:])
    reading = _lowered(
        operation, positions, inner, outer, math.prod(weight[2:]), attributes[4], attributes[6], groups, transposed,
        len(x) - 2,
    )  # fmt: skip
    products = max(1, sum(bool(part) for part in wanted[:2]))
    reading.group, reading.flops, reading.kernels = f"{reading.group}_backward", products * reading.flops, products
    reading.bytes_moved = moved(operation, reads=float(products))
    return reading


def recurrent(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> WorkReading:
    """A stack of recurrent layers: a product a step that waits for the one before, and two launches for it.

    Of one operator for the whole stack: data, states (sweeps, samples, width) and weights; mode, bias, layers, dropout,
    training, bidirectional, batch first. Single cells count as products.
    """
    if not name.startswith("_cudnn_rnn"):
        return fused(operation, name, shapes, attributes)
    data, state = shapes[0], shapes[1]
    batch_first = bool(attributes[6]) if len(attributes) > 6 else False
    steps = data[1 if batch_first and len(data) == 3 else 0]
    if len(data) == 2 and len(state) == 3:  # packed: every step of every sample is a row
        steps = max(1, data[0] // state[1])
    samples = state[1] if len(state) == 3 else 1
    gates = max(shape[0] for shape in shapes[2:] if len(shape) == 2)
    return WorkReading(
        group="recurrent_backward" if "backward" in name else "recurrent",
        flops=operation.flops,
        bytes_moved=moved(operation),
        blocks=float(_up(samples, 32) * _up(gates, 32) / 32**2),
        m=samples,
        n=gates,
        k=state[-1],
        matrix=True,
        kernels=2 * steps * state[0],
        extra=(math.log(steps * state[0]),),
    )


def fused(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> WorkReading:
    """Attention and recurrences: products with the FLOPs that the record gives."""
    reading = elementwise(operation, name, shapes, attributes)
    reading.matrix, reading.flops = True, operation.flops
    return reading
