"""Which measured jobs say something about which: the covariance of the residuals of two jobs.

A residual is log(measured / predicted). That of a job on a GPU type is taken as a sum of independent normal parts: one
that the whole site shares, one of the GPU type, one of the source (its content hash: what it took before, it takes
again), one of the owner, one that sources with near embeddings share on every type and one that they share on this type
alone, and the noise of a single measurement. Nearness is exp(-d^2 / (2 (width m)^2)) of the distance d of standardised
vectors, m the median distance between the sources of the training jobs (Rasmussen and Williams 2006, equation 2.31 and
section 4.2.4). With no training job nothing is known of any part, and the mean of all is 0: nothing is corrected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.core.errors import InputError

Vectors = NDArray[np.float32]
Numbers = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variances:
    """Variance of each part of a residual (in logarithms, squared), and the `width` of nearness in median distances."""

    site: float = 0.05
    gpu_type: float = 0.05
    source: float = 0.15
    owner: float = 0.01
    near: float = 0.25
    near_on_type: float = 0.01
    noise: float = 0.01
    width: float = 0.7

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (np.isfinite(value) and value >= 0) or (field.name in ("noise", "width") and value == 0):
                raise InputError(
                    f"{field.name} of a correction must be finite and >= 0 (noise, width > 0), got {value!r}"
                )

    @property
    def signal(self) -> float:
        """Of the residual of a job without its noise."""
        return float(sum(getattr(self, name) for name in PARTS))


NAMES = ("gpu_type", "source", "owner")
PARTS = tuple(field.name for field in fields(Variances) if field.name not in ("noise", "width"))
"""The names of the parts that jobs share, in the order of their matrices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSpace:
    """Puts vectors where distances are compared: `center` and `spread` (d,)."""

    center: Vectors
    spread: Vectors

    @classmethod
    def of(cls, vectors: Vectors) -> Self:
        """The space where the training sources' vectors (u, d) have mean 0, equal variances and median distance 1.

        A column that never varies counts for nothing.
        """
        center, spread = vectors.mean(0), vectors.std(0)
        spread = np.where(spread > 1e-6 * max(float(spread.max(initial=0.0)), 1e-6), spread, np.inf)
        z = ((vectors - center) / spread).astype(np.float32)
        squares = np.einsum("ij,ij->i", z, z)
        squared = squared_distances(z, z, squares, squares)[np.triu_indices(len(z), 1)]
        median = float(np.sqrt(np.median(squared))) if len(squared) else 0.0
        return cls(center=center, spread=(spread * (median or 1.0)).astype(np.float32))

    def place(self, vectors: Vectors) -> Vectors:
        """Vectors (u, d) in this space, as exactly as they are stored."""
        placed = np.clip((vectors - self.center) / self.spread, -6e4, 6e4)
        exact: Vectors = placed.astype(np.float16).astype(np.float32)
        return exact


@dataclass(frozen=True, kw_only=True)
class JobFeatures:
    """n jobs, each on one GPU type: names (n,) and the index (n,) of its source's vector among `vectors` (u, d).

    The vectors lie in a `VectorSpace`, which the caller keeps.
    """

    gpu_type: Sequence[str]
    source: Sequence[str]
    owner: Sequence[str]
    vector: IntArray
    vectors: Vectors

    def __post_init__(self) -> None:
        sizes = {len(self.gpu_type), len(self.source), len(self.owner), len(self.vector)}
        if len(sizes) != 1 or self.vectors.ndim != 2:
            raise InputError(f"jobs of a correction need a name and a vector each, got {sorted(sizes)} of them")

    def __len__(self) -> int:
        return len(self.gpu_type)

    @cached_property
    def squares(self) -> Vectors:
        """The squared length of each vector (u,)."""
        squared_lengths: Vectors = np.einsum("ij,ij->i", self.vectors, self.vectors)
        return squared_lengths

    @cached_property
    def places(self) -> Mapping[str, Mapping[str, IntArray]]:
        """The indices of the jobs that have each name, by kind of name; empty names are left out."""
        places: dict[str, dict[str, list[int]]] = {kind: {} for kind in NAMES}
        for kind in NAMES:
            for i, name in enumerate(getattr(self, kind)):
                places[kind].setdefault(name, []).append(i)
        return {
            kind: {name: np.array(jobs) for name, jobs in by_name.items() if name} for kind, by_name in places.items()
        }

    def where(self, chosen: IntArray) -> "JobFeatures":
        """The jobs of these indices (m,), with the vectors that they need."""
        vector_index, vector = np.unique(self.vector[chosen], return_inverse=True)
        names = {name: tuple(getattr(self, name)[i] for i in chosen) for name in NAMES}
        return JobFeatures(**names, vector=vector.astype(np.int64), vectors=self.vectors[vector_index])


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How alike m jobs are to n others; their covariance is a weighted sum. All matrices are (m, n).

    `squared` are the squared distances of their vectors.
    """

    same_type: Mask
    same_source: Mask
    same_owner: Mask
    squared: FloatArray

    @classmethod
    def between(cls, a: JobFeatures, b: JobFeatures) -> Self:
        """The likeness of jobs a (m) to jobs b (n), whose vectors lie in one space."""
        squared = squared_distances(a.vectors, b.vectors, a.squares, b.squares)
        return cls(
            same_type=_equal(a, b, "gpu_type"),
            same_source=_equal(a, b, "source"),
            same_owner=_equal(a, b, "owner"),
            squared=squared[a.vector][:, b.vector],
        )

    @classmethod
    def among(cls, jobs: JobFeatures) -> Self:
        """Of jobs (n) to each other, in double precision: rounded distances need not be those of any vectors."""
        exact = jobs.vectors.astype(np.float64)
        squares = np.einsum("ij,ij->i", exact, exact)
        return cls(
            same_type=_equal(jobs, jobs, "gpu_type"),
            same_source=_equal(jobs, jobs, "source"),
            same_owner=_equal(jobs, jobs, "owner"),
            squared=squared_distances(exact, exact, squares, squares)[jobs.vector][:, jobs.vector],
        )

    def parts(self, width: float) -> Mapping[str, FloatArray]:
        """The matrix of each of `PARTS`."""
        nearness = np.exp(-self.squared / (2 * width**2))
        return {
            "site": np.ones_like(nearness),
            "gpu_type": self.same_type.astype(np.float64),
            "source": self.same_source.astype(np.float64),
            "owner": self.same_owner.astype(np.float64),
            "near": nearness,
            "near_on_type": nearness * self.same_type,
        }

    def covariance(self, variances: Variances) -> FloatArray:
        """The covariance (m, n) of the residuals, without noise."""
        total = np.exp(-self.squared / (2 * variances.width**2))
        total *= variances.near + variances.near_on_type * self.same_type
        total += variances.site + variances.gpu_type * self.same_type
        total += variances.source * self.same_source
        total += variances.owner * self.same_owner
        return total


def squared_distances(a: Numbers, b: Numbers, a_squares: Numbers, b_squares: Numbers) -> FloatArray:
    """Between the rows of a (m, d) and b (n, d), whose squared lengths are known: (m, n)."""
    squared = a_squares[:, None] + b_squares[None] - 2 * (a @ b.T)
    return np.maximum(squared.astype(np.float64), 0.0)


def _equal(a: JobFeatures, b: JobFeatures, kind: str) -> Mask:
    """Whether each job of a and each of b have the same name of this kind (m, n)."""
    equal = np.zeros((len(a), len(b)), dtype=np.bool_)
    for name, rows in a.places[kind].items():
        if name in b.places[kind]:
            equal[np.ix_(rows, b.places[kind][name])] = True
    return equal
