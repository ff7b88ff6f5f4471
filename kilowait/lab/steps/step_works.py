"""Labelled steps as arrays: every predictor that kilowait's is set beside reads the same operations and sheets."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.lab.steps.labelled_steps import LabelledStep
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.work import BACKWARD, READING
from kilowait.predict.device_model.workload import Workload

LAYERS = ("conv", "gemm", "attention", "norm", "pool", "recurrent", "rest")
"""Classes of operations, by how their group's name begins; products of a thin matrix go with the others."""
SIDES = slice(2, 5)
"""The logarithms of a product's sides among the numbers of a work's shape."""


@dataclass(frozen=True)
class StepWorks:
    """N labels of P programs over U works on G types; `load` is without the host's start.

    `program` and `type` (N,) index programs and `sheets`, `seconds` (N,) are measured, `origin` (N,) names who measured
    which program.
    """

    load: Workload
    sheets: tuple[Specification, ...]
    program: IntArray
    type: IntArray
    seconds: FloatArray
    origin: tuple[str, ...]

    @classmethod
    def of(cls, labels: Sequence[LabelledStep]) -> Self:
        """The labels side by side; equal programs are one."""
        runs = {label.run.content_hash: label.run for label in labels}
        names, types = list(runs), list(dict.fromkeys(label.gpu for label in labels))
        place = {name: i for i, name in enumerate(names)}
        return cls(
            load=Workload.of([runs[name] for name in names], reading=READING),
            sheets=tuple(Specification.named(name) for name in types),
            program=np.array([place[label.run.content_hash] for label in labels]),
            type=np.array([types.index(label.gpu) for label in labels]),
            seconds=np.array([label.seconds for label in labels]),
            origin=tuple(label.origin for label in labels),
        )

    @cached_property
    def launched(self) -> FloatArray:
        """1 for works that run a kernel (U,), 0 for views and the like."""
        return np.asarray(self.load.columns.kernels > 0, dtype=np.float64)

    @cached_property
    def layer(self) -> IntArray:
        """The class of each work (U,)."""
        return np.array([_layer(work.group) for work in self.load.columns.works])

    @cached_property
    def half(self) -> FloatArray:
        """1 for works in half precision (U,)."""
        return np.array([float(work.dtype in ("float16", "bfloat16")) for work in self.load.columns.works])

    @cached_property
    def backward(self) -> FloatArray:
        """1 for works of a backward pass (U,)."""
        return np.array([float(BACKWARD in work.variant) for work in self.load.columns.works])

    @cached_property
    def sides(self) -> FloatArray:
        """Sides of products, or what stands for them (U, 3)."""
        return np.exp([work.shape[SIDES] for work in self.load.columns.works])

    @cached_property
    def rates(self) -> FloatArray:
        """FLOP/s that a sheet gives each work (U, G): of tensor cores where the work may use them."""
        works = self.load.columns.works
        return np.array(
            [
                [s.matrix_flops(w.dtype, tf32=False) if w.matrix else s.plain_flops(w.dtype) for s in self.sheets]
                for w in works
            ]
        )

    @cached_property
    def bandwidths(self) -> FloatArray:
        """Bytes a second of each type (G,)."""
        return np.array([sheet.bandwidth for sheet in self.sheets])

    def summed(self, values: FloatArray) -> FloatArray:
        """Values of one call of each work (U, ...) summed over every program's calls (P, ...)."""
        count = self.load.count.reshape(-1, *([1] * (values.ndim - 1)))
        return self.load.added(count * values[self.load.work])


def _layer(group: str) -> int:
    name = "gemm" if group == "gemv" else group
    return next((i for i, layer in enumerate(LAYERS) if name.startswith(layer)), len(LAYERS) - 1)
