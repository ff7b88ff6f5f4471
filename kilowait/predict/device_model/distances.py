"""Squared distances between rows, in NumPy alone: SciPy takes a third of a second to load, in every prediction."""

from typing import Literal

import numpy as np

from kilowait.core.arrays import FloatArray


def cdist(a: FloatArray, b: FloatArray, metric: Literal["sqeuclidean"]) -> FloatArray:
    """Squared Euclidean distances (A, B) of rows (A, d) from rows (B, d); as SciPy's, which knows more metrics."""
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    total = np.zeros((len(left), len(right)))
    for column in range(left.shape[1]):
        total += np.square(left[:, column, None] - right[None, :, column])
    return total
