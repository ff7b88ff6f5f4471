"""FLOPs of one call of an operator: PyTorch's own counts of products, and what it does not count or counts wrongly.

PyTorch takes the weight gradient of a grouped convolution for that of a dense one.

Transforms cost 5 n log2 n (Cooley and Tukey's algorithm, as benchmarks of FFTs count them), half of it for real data.
Factorisations are counted as in Golub and Van Loan (Matrix Computations, 4th edition): of (m, n) matrices, n the
smaller side. An operator of which nothing is known does one operation a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from kilowait.predict.dryrun.child.older_torch import product_flops


def flops_of(func: Any, args: Any, kwargs: Any, result: Any, largest: int) -> float:
    """FLOPs of the call that gave `result`; `largest` is how many numbers its largest tensor has."""
    own_formula = _FORMULAS.get(func._schema.name.removeprefix("aten::"))
    if own_formula is not None:
        return float(own_formula(args, largest))
    counted = product_flops(func, args, kwargs, result)
    return float(largest) if counted is None else counted


def _convolution_gradients(args: Any, _largest: int) -> float:
    """A product of the forward pass' size for each gradient that is wanted: its positions times its weights."""
    gradient, x, weight, transposed, wanted = args[0], args[1], args[2], args[7], args[10]
    side = x if transposed else gradient
    product: float = 2.0 * side.shape[0] * math.prod(side.shape[2:]) * weight.numel()
    return product * float(sum(wanted[:2]))


def _transform(args: Any, largest: int) -> float:
    data: Tensor = args[0]
    return 5.0 * largest * math.log2(max(2, math.prod(data.shape[d] for d in args[1])))


def _half_transform(args: Any, largest: int) -> float:
    return _transform(args, largest) / 2


def _factorisation(share: float) -> Callable[[Any, int], float]:
    """`share` m n^2 for every matrix of a batch."""

    def formula(args: Any, _largest: int) -> float:
        *batch, rows, columns = args[0].shape
        return float(share * math.prod(batch) * rows * columns * min(rows, columns))

    return formula


def _solve(args: Any, _largest: int) -> float:
    """A factorisation and two substitutions for every right-hand side."""
    side, right = args[0].shape[-1], args[1].numel()
    return float(_factorisation(2 / 3)(args, 0) + 2 * side * right)


def _triangular(args: Any, _largest: int) -> float:
    return float(args[0].shape[-1] * args[1].numel())


def _distances(args: Any, _largest: int) -> float:
    """A product of all rows with all rows, after which squares are added."""
    rows, other_rows = args[0], args[1]
    return float(2 * rows.numel() * other_rows.shape[-2])


def _trilinear(args: Any, _largest: int) -> float:
    """Three tensors multiplied where they meet, with dimensions of length 1 put in at args[3:6]."""
    shapes = []
    for tensor, expanded in zip(args[:3], args[3:6]):
        shape = list(tensor.shape)
        for dim in sorted(expanded):
            shape.insert(dim, 1)
        shapes.append(shape)
    return float(3 * math.prod(max(sides) for sides in zip(*shapes)))


_FORMULAS: dict[str, Callable[[Any, int], float]] = {
    "convolution_backward": _convolution_gradients,
    "_fft_c2c": _transform,
    "_fft_r2c": _half_transform,
    "_fft_c2r": _half_transform,
    "linalg_cholesky_ex": _factorisation(1 / 3),
    "_linalg_slogdet": _factorisation(2 / 3),
    "_linalg_det": _factorisation(2 / 3),
    "linalg_lu_factor_ex": _factorisation(2 / 3),
    "linalg_inv_ex": _factorisation(2),
    "linalg_qr": _factorisation(4),  # the triangle, and as much again for Q
    "_linalg_eigh": _factorisation(9),
    "_linalg_svd": _factorisation(21),
    "_linalg_solve_ex": _solve,
    "linalg_solve_triangular": _triangular,
    "triangular_solve": _triangular,
    "_euclidean_dist": _distances,
    "_trilinear": _trilinear,
}
