"""An operation as the device model sees it: how much work, of what class, and in how many independent pieces.

Everything here comes from the shapes and attributes in a dry run's record; no device enters. A matrix product of
(m, k) and (k, n) is counted in tiles of 64 x 64; a convolution is read as the product it is lowered to, with m output
positions, n output channels and k inputs of each. Widths below a tile are padded to what kernels compute anyway.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kilowait.predict.device_model.reading import (
    WorkReading,
    convolution,
    convolution_gradients,
    elements,
    elementwise,
    fused,
    moved,
    product,
    recurrent,
)
from kilowait.predict.device_model.specifications import TF32
from kilowait.predict.dryrun.operators import base_name
from kilowait.predict.dryrun.record import Kind, Operation

SCALES = np.array([1.5, 1.5, 1.5, 0.7, 1.0, 1.5, 0.7, 0.7, 0.7, 0.7, 0.7, 0.5])
"""How far apart in each number of `Work.shape` (logarithms) works are a unit unlike."""
DIMENSIONS = len(SCALES)
READING = 2
BACKWARD = "backward"
_ROUNDED = (Kind.CONVOLUTION, Kind.RECURRENT)
_HALF = ("float16", "bfloat16")
_FLOATS = {"float64": 8, "complex64": 8, "complex128": 16, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One call of an operator.

    `group` is the class that shares an efficiency, `flops` what a kernel computes (padding included), `bytes_moved`
    what it reads and writes if nothing is cached (a normalisation reads its input twice), `blocks` the pieces that can
    run at the same time, `kernels` the launches. `shape` (DIMENSIONS,) are logarithms that tell operations of a class
    apart. `variant` are precision, memory format and pass where they are not plain float32 forward, since `READING` 2.
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
    variant: str = ""


def work_of(operation: Operation, reading: int = 1) -> Work:
    """Read an operation's record; what its attributes do not tell is left at the value for plain tensors.

    `reading` is how: a fitted model reads as it did when it was fitted (`READING` is the newest).
    """
    work = _read(operation, _READERS)
    if reading == 1:
        return work
    if operation.kind == Kind.CONVOLUTION and "backward" in work.op:
        work = _read(operation, {Kind.CONVOLUTION: convolution_gradients})
    matrix = work.matrix and not work.group.startswith("conv_depthwise")  # no tensor core and no product serves these
    dtype = _dtype(operation) if matrix else work.dtype
    return replace(work, matrix=matrix, dtype=dtype, variant=_variant(operation, dtype))


def _dtype(operation: Operation) -> str:
    """TF32 for products in float32 that may be rounded to it: by default convolutions and recurrences."""
    rounded = operation.precision == TF32 if operation.precision else operation.kind in _ROUNDED
    return TF32 if rounded and operation.dtype in ("float32", "complex64") else operation.dtype


def _variant(operation: Operation, dtype: str) -> str:
    precision = "" if _FLOATS.get(dtype, 4) == 4 and dtype != TF32 else "half" if dtype in _HALF else dtype
    return "/".join([precision, operation.layout, BACKWARD if operation.backward else ""]).strip("/")


def _read(operation: Operation, readers: Mapping[str, "_Reader"]) -> Work:
    shapes: list[list[int]] = json.loads(operation.shapes)
    attributes: list[Any] = json.loads(operation.attributes)
    name = base_name(operation.op)
    reader = readers.get(operation.kind, elementwise)
    try:
        reading = reader(operation, name, shapes, attributes)
    except (IndexError, TypeError, ValueError, ZeroDivisionError):  # an overload with other arguments
        reading = elementwise(operation, name, shapes, attributes)
    return Work(
        group=reading.group,
        op=name,
        dtype=operation.dtype,
        matrix=reading.matrix,
        flops=max(reading.flops, 1.0),
        bytes_moved=max(reading.bytes_moved, 1.0),
        blocks=max(reading.blocks, 1.0),
        kernels=operation.kernels if reading.kernels is None else reading.kernels,
        shape=_shape(reading, operation.dtype),
    )


def _shape(reading: WorkReading, dtype: str) -> tuple[float, ...]:
    sides = [reading.flops, reading.bytes_moved, reading.m, reading.n, reading.k, reading.blocks]
    logs = [math.log(max(side, 1e-3)) for side in sides] + list(reading.extra[:5])
    wide = math.log(_FLOATS.get(dtype, 4) / 4)
    return (*logs, *([0.0] * (DIMENSIONS - 1 - len(logs))), wide)


def _normalisation(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> WorkReading:
    """Batch norm works by channel, group norm by group of a sample, layer norm by row; each reads its input twice."""
    count = elements(shapes)
    if "batch_norm" in name:
        group, pieces = "batch_norm", float(shapes[0][1])
    elif "group_norm" in name:
        group, pieces = "group_norm", float(attributes[3] * attributes[6]) if len(attributes) > 6 else 1.0
    else:
        row = next((math.prod(a) for a in attributes if isinstance(a, list) and a and type(a[0]) is int), shapes[0][-1])
        group, pieces = "layer_norm", count / max(row, 1)
    group += "_backward" if "backward" in name else ""
    return WorkReading(
        group=group,
        flops=operation.flops,
        bytes_moved=moved(operation, reads=2.0),
        blocks=pieces,
        m=pieces,
        k=count / max(pieces, 1.0),
    )


def _along(shape: list[int], attributes: list[Any]) -> tuple[int, int]:
    """How many elements are taken together, and how far apart they lie: over all dimensions unless some are named."""
    given_dims = next((a for a in attributes[1:] if _is_dims(a)), None)
    dims = [given_dims] if isinstance(given_dims, int) else given_dims if given_dims else range(len(shape))
    axes = [d % len(shape) for d in dims] if shape else []
    return math.prod(shape[a] for a in axes), math.prod(shape[max(axes, default=-1) + 1 :])


def _is_dims(value: Any) -> bool:
    return type(value) is int or (isinstance(value, list) and bool(value) and all(type(v) is int for v in value))


def _reduction(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> WorkReading:
    count, shape = elements(shapes), shapes[0] if shapes else []
    lossy = "loss" in name  # its integers are modes, not dimensions
    reduced, inner = (int(count), 1) if lossy else _along(shape, attributes)
    arg = name in ("max", "min", "argmax", "argmin", "aminmax", "median", "mode")
    return WorkReading(
        group="reduction_arg" if arg else "reduction",
        flops=operation.flops,
        bytes_moved=moved(operation),
        blocks=count / 2048,
        m=count / max(reduced, 1),
        k=reduced,
        extra=(math.log(max(inner, 1)), float(inner > 1)),
    )


def _rows(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> WorkReading:
    """Softmax and scans: rows are independent, neighbours in memory share a block."""
    count, shape = elements(shapes), shapes[0] if shapes else []
    row_length, inner = _along(shape, attributes)
    rows = count / max(row_length, 1)
    composite = name == "logsumexp"  # several kernels over its input
    reads = 4.0 if composite else 2.0 if operation.kind == Kind.SOFTMAX else 1.0
    return WorkReading(
        group="logsumexp" if composite else str(operation.kind),
        flops=operation.flops,
        bytes_moved=moved(operation, reads=reads),
        blocks=rows / (32 if inner > 1 else 1),
        m=rows,
        k=row_length,
        extra=(math.log(max(inner, 1)), float(inner > 1)),
    )


def _pooling(operation: Operation, name: str, shapes: list[list[int]], attributes: list[Any]) -> WorkReading:
    window = attributes[1] if len(attributes) > 1 and isinstance(attributes[1], list) else [1]
    reading = elementwise(operation, name, shapes, attributes)
    reading.group = "pool_max" if "max" in name else "pool_average"
    reading.extra = (math.log(max(1, math.prod(window))),)
    return reading


_Reader = Callable[[Operation, str, list[list[int]], list[Any]], WorkReading]
_READERS: dict[str, _Reader] = {
    Kind.GEMM: product,
    Kind.CONVOLUTION: convolution,
    Kind.NORMALISATION: _normalisation,
    Kind.REDUCTION: _reduction,
    Kind.SOFTMAX: _rows,
    Kind.SCAN: _rows,
    Kind.POOLING: _pooling,
    Kind.ATTENTION: fused,
    Kind.RECURRENT: recurrent,
}
