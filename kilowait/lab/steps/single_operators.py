"""Measured times of single operators (NeuSight's layout) as dry runs of one operation each.

The columns are op, gpu, latency_ms, precision and dims, which reads like `B=80 M=336 N=174 K=400`. Forward passes in
float32, products and convolutions without TF32 where `precision` says so.
"""

import hashlib
import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kilowait.core import hardware
from kilowait.files.rows import needs, read_csv
from kilowait.predict.dryrun.record import Completeness, DryRun, Kind, Operation

_COLUMNS = ("op", "gpu", "latency_ms", "precision", "dims")
_FLOAT = 4.0
_Dims = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """Seconds of an operator on a GPU type, and the dry run that stands for it."""

    run: DryRun
    op: str
    gpu: str
    seconds: float


def read_operator_times(path: Path, *, shapes: Mapping[str, int], others: int, seed: int) -> list[OperatorTime]:
    """Of each operator as many shapes as `shapes` says (`others` where it does not), drawn by `seed`, on every type.

    Raises InputError for a file that is no such table.
    """
    by_shape: dict[str, dict[str, list[Mapping[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for row in (line.values for line in read_csv(path, needs(path, _COLUMNS))):
        if row["op"] in _MAKERS and hardware.is_known(row["gpu"]):
            by_shape[row["op"]][row["dims"]].append(row)
    rng, found = random.Random(seed), []
    for op, rows in sorted(by_shape.items()):
        for dims in rng.sample(sorted(rows), min(shapes.get(op, others), len(rows))):
            found += [_time(row) for row in rows[dims]]
    return found


def _time(row: Mapping[str, str]) -> OperatorTime:
    dims = {name: int(value) for name, value in (part.split("=") for part in row["dims"].split())}
    operation = _MAKERS[row["op"]](row["op"], dims)
    text = json.dumps([row["op"], row["dims"], row["precision"]])
    run = DryRun(
        content_hash=hashlib.sha256(text.encode()).hexdigest(),
        target="cuda",
        completeness=Completeness.WHOLE,
        operations=(operation,),
    )
    return OperatorTime(
        run=run, op=row["op"], gpu=hardware.canonical(row["gpu"]), seconds=float(row["latency_ms"]) / 1e3
    )


def _operation(
    op: str, kind: Kind, shapes: list[list[int]], written: float, flops: float, attributes: list[Any]
) -> Operation:
    return Operation(
        op=f"aten.{op}",
        kind=kind,
        dtype="float32",
        device="cuda",
        count=1.0,
        flops=flops,
        bytes_read=_FLOAT * sum(math.prod(shape) for shape in shapes),
        bytes_written=_FLOAT * written,
        kernels=1,
        shapes=json.dumps(shapes),
        attributes=json.dumps(attributes),
        precision="ieee" if kind == Kind.CONVOLUTION else "",
    )


def _elementwise(op: str, dims: _Dims) -> Operation:
    """Of one matrix, or of two: names that end in u take a number as the other."""
    unary = op in ("gelu", "relu", "tanh") or op.endswith("u")
    shape = [dims["B"], dims["H"]]
    numbers = math.prod(shape)
    name = op.removesuffix("u") if op not in ("gelu", "relu") else op
    attributes = ["T"] if op in ("gelu", "relu", "tanh") else ["T", 2.0] if unary else ["T", "T"]
    return _operation(name, Kind.ELEMENTWISE, [shape] * (1 if unary else 2), numbers, numbers, attributes)


def _softmax(_op: str, dims: _Dims) -> Operation:
    shape = [dims["B"], dims["H"]]
    return _operation("_softmax", Kind.SOFTMAX, [shape], math.prod(shape), math.prod(shape), ["T", -1, False])


def _layer_norm(_op: str, dims: _Dims) -> Operation:
    shape, width = [dims["B"], dims["H"]], [dims["H"]]
    numbers = math.prod(shape)
    attributes = ["T", width, "T", "T", 1e-5]
    return _operation(
        "native_layer_norm", Kind.NORMALISATION, [shape, width, width], numbers + 2 * dims["B"], numbers, attributes
    )


def _bmm(_op: str, dims: _Dims) -> Operation:
    batch, m, n, k = dims["B"], dims["M"], dims["N"], dims["K"]
    shapes = [[batch, m, k], [batch, k, n]]
    return _operation("bmm", Kind.GEMM, shapes, batch * m * n, 2.0 * batch * m * n * k, ["T", "T"])


def _linear(_op: str, dims: _Dims) -> Operation:
    m, n, k = dims["B"] * dims["M"], dims["N"], dims["K"]
    shapes = [[n], [m, k], [k, n]]
    return _operation("addmm", Kind.GEMM, shapes, m * n, 2.0 * m * n * k, ["T", "T", "T"])


def _convolution(_op: str, dims: _Dims) -> Operation:
    batch, inner, outer = dims["B"], dims["Input_Channel"], dims["Output_Channel"]
    taps, side, stride, padding = dims["Kernel_Szie"], dims["Input_Size"], dims["Stride"], dims["Padding"]
    out = (side + 2 * padding - taps) // stride + 1
    positions = batch * out * out
    attributes = ["T", "T", "T", [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1]
    shapes = [[batch, inner, side, side], [outer, inner, taps, taps], [outer]]
    flops = 2.0 * positions * outer * inner * taps * taps
    return _operation("convolution", Kind.CONVOLUTION, shapes, positions * outer, flops, attributes)


_MAKERS: dict[str, Callable[[str, _Dims], Operation]] = {
    **dict.fromkeys(["add", "addu", "div", "divu", "mul", "mulu", "pow", "powu", "gelu", "relu", "tanh"], _elementwise),
    "softmax": _softmax,
    "ln": _layer_norm,
    "bmm": _bmm,
    "linear": _linear,
    "conv": _convolution,
}
