"""Ridge regression on scripts and device types in closed form, linear or with a Gaussian kernel.

The prediction for script x on device type d is an average for d plus a function of x that the types share plus a
smaller one of d's own: the kernel of two rows is k(x, x') (share + (1 - share) [d = d']). What a type with few
labels cannot learn by itself it takes from the others. The penalty and the kernel's width are chosen inside the
training rows by cross-validation over whole keys (scripts or groups of siblings), so no caller can leak.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kilowait.core.errors import InputError

Kind = Literal["linear", "gaussian"]
INNER_FOLDS = 5
"""Folds of the choice of penalty and width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelConfig:
    """Which kernel, and what its cross-validation may choose from.

    `penalties` are multiples of the kernel's mean diagonal; `widths` multiples of the median distance between
    training scripts (Gaussian only); `share` in [0, 1] is the part of the function that all types have in common.
    """

    kind: Kind = "linear"
    penalties: tuple[float, ...] = (1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
    widths: tuple[float, ...] = (0.5, 0.7, 1.0, 1.5, 2.0, 4.0)
    share: float = 0.9

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "gaussian"):
            raise InputError(f"kernel must be linear or gaussian, got {self.kind!r}")
        if not self.penalties or min(self.penalties) <= 0 or not self.widths or min(self.widths) <= 0:
            raise InputError(f"penalties and widths must be > 0, got {self.penalties!r} and {self.widths!r}")
        if not 0 <= self.share <= 1:
            raise InputError(f"share must be in [0, 1], got {self.share!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFit:
    """A fitted function of (script, type): support (S, d), dual (S, D), offset (D,).

    Width 0 means linear: then dual holds the weights (d, D) and support no row, for nothing else is needed.
    """

    support: Tensor
    dual: Tensor
    offset: Tensor
    width: Tensor

    def predict(self, x: Tensor) -> Tensor:
        """x (N, d) -> (N, D)."""
        width = float(self.width)
        return (x if width == 0 else gram(x, self.support, width)) @ self.dual + self.offset


def fit(
    config: KernelConfig, x: Tensor, script: Tensor, device: Tensor, y: Tensor, keys: Tensor, types: int
) -> KernelFit:
    """Fit on x (S, d), one row of it a script; script, device, y (N,); keys (S,) stay together in the choice.

    Every type needs a row. The averages of the types carry no penalty and are solved for together with the function, so
    that a type measured on long scripts only is not taken for a slow one. Solved in float64.
    """
    x, y = x.double(), y.double()
    residual = y - _means(y, device, types, y.mean())[device]
    mean_residual = _means(residual, script, x.shape[0], torch.zeros((), dtype=torch.float64))
    width, penalty = _choose(config, x, mean_residual, keys)
    k = gram(x, x, width)
    share = config.share + (1 - config.share) * (device[:, None] == device[None, :])
    system = k[script][:, script] * share
    system.diagonal().add_(penalty * float(k.diagonal().mean()))
    indicator = torch.nn.functional.one_hot(device, types).double()
    solved = torch.cholesky_solve(torch.cat([y[:, None], indicator], 1), torch.linalg.cholesky(system))
    offset = torch.linalg.solve(indicator.T @ solved[:, 1:], indicator.T @ solved[:, 0])
    alpha = solved[:, 0] - solved[:, 1:] @ offset
    type_dual = torch.zeros(x.shape[0], types, dtype=torch.float64).index_put_((script, device), alpha, accumulate=True)
    dual = config.share * type_dual.sum(1, keepdim=True) + (1 - config.share) * type_dual
    if width == 0:
        return _fit32(x[:0], x.T @ dual, offset, width)
    return _fit32(x, dual, offset, width)


def gram(a: Tensor, b: Tensor, width: float) -> Tensor:
    """k(a, b) (N, S): the dot product over d for width 0, else exp(-|a - b|^2 / (2 width^2))."""
    if width == 0:
        return a @ b.T
    return torch.exp(torch.cdist(a, b).square() / (-2 * width * width))


def _fit32(support: Tensor, dual: Tensor, offset: Tensor, width: float) -> KernelFit:
    return KernelFit(support=support.float(), dual=dual.float(), offset=offset.float(), width=torch.tensor(width))


def _means(values: Tensor, index: Tensor, count: int, missing: Tensor) -> Tensor:
    """Mean of `values` for each index in range(count); `missing` where there is none."""
    total = torch.zeros(count, dtype=values.dtype).index_add_(0, index, values)
    number = torch.bincount(index, minlength=count)
    return torch.where(number > 0, total / number.clamp(min=1), missing)


def _choose(config: KernelConfig, x: Tensor, y: Tensor, keys: Tensor) -> tuple[float, float]:
    """The (width, penalty) of least squared error over folds of whole keys; ties go to the earlier."""
    fold = _inner_folds(keys)
    least_error, settings = math.inf, (0.0, 1.0)
    for width in _widths(config, x):
        errors = _errors(gram(x, x, width), y, fold, config.penalties)
        index = int(errors.argmin())
        if float(errors[index]) < least_error:
            least_error, settings = float(errors[index]), (width, config.penalties[index])
    return settings


def _widths(config: KernelConfig, x: Tensor) -> Sequence[float]:
    if config.kind == "linear":
        return (0.0,)
    distances = torch.pdist(x)
    median = float(distances[distances > 0].median()) if (distances > 0).any() else 1.0
    return [factor * median for factor in config.widths]


def _inner_folds(keys: Tensor) -> Tensor:
    """A fold for each row such that equal keys share it."""
    distinct = sorted(set(keys.tolist()))
    position = torch.searchsorted(torch.tensor(distinct), keys)
    order = torch.randperm(len(distinct), generator=torch.Generator().manual_seed(0))
    return order[position] % INNER_FOLDS


def _errors(k: Tensor, y: Tensor, fold: Tensor, penalties: Sequence[float]) -> Tensor:
    """Held-out squared error of each penalty, from one eigendecomposition a fold."""
    scale = float(k.diagonal().mean())
    errors = torch.zeros(len(penalties), dtype=torch.float64)
    for held_fold in range(INNER_FOLDS):
        train, test = fold != held_fold, fold == held_fold
        if not train.any() or not test.any():
            continue
        values, vectors = torch.linalg.eigh(k[train][:, train])
        cross = k[test][:, train] @ vectors
        target = vectors.T @ y[train]
        for index, penalty in enumerate(penalties):
            guess = cross @ (target / (values.clamp(min=0) + penalty * scale))
            errors[index] += (guess - y[test]).square().sum()
    return errors
