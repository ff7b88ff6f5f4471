"""How far a source is from what the probe was trained on: a Mahalanobis distance to the nearest training cluster.

Clusters are the known kinds of program (families, or whatever the caller's labels say). Embeddings are projected on the
whitened principal components of the training set; the clusters share one covariance, shrunk as Ledoit and Wolf (2004)
have it, because a cluster has far fewer members than the space has dimensions. Of what was tried (pipelines.ood
prints the comparison) this tells a left-out family best from held-out members of known ones.

The distance says whether a program's kind is known. It says little about the size of the error: a known kind can be
predicted badly, and is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import InputError, ModelError
from kilowait.predict.splits import folds

FALSE_ALARMS = 0.05
"""Share of known programs that the default threshold takes for unknown."""
COMPONENTS = 32
CALIBRATION_FOLDS = 5
_NAMES = ("center", "spread", "projection", "centers", "points", "threshold")


@dataclass(frozen=True, slots=True, kw_only=True)
class Novelty:
    """A fitted detector: tensors, and the names of the S training programs in the order of `points`.

    `center` and `spread` (d,) standardise, `projection` (d, k) ends in a space where a cluster has unit covariance;
    `centers` (C, k) and `points` (S, k) lie there. `threshold` is a distance.
    """

    tensors: Mapping[str, Tensor]
    programs: tuple[str, ...]

    def __post_init__(self) -> None:
        missing = [name for name in _NAMES if name not in self.tensors]
        if missing:
            raise ModelError(f"a novelty detector needs the tensors {', '.join(_NAMES)}; lacks {', '.join(missing)}")
        if len(self.programs) != len(self.tensors["points"]):
            raise ModelError(f"{len(self.programs)} names for {len(self.tensors['points'])} known programs")

    @classmethod
    def fit(
        cls,
        x: Tensor,
        clusters: Sequence[str],
        programs: Sequence[str],
        *,
        keys: Sequence[str] | None = None,
        false_alarms: float = FALSE_ALARMS,
        components: int = COMPONENTS,
        seed: int = 0,
    ) -> Self:
        """From embeddings x (S, d) of known programs, the cluster and the name of each.

        The threshold is the smallest that takes at most a share `false_alarms` of known programs for unknown, as
        found on programs held out in turn; `keys` keep programs together there that say the same (default: each
        alone). Raises InputError for shapes that do not match, or a share that so few programs cannot show.
        """
        keys = programs if keys is None else keys
        if not len(x) == len(clusters) == len(programs) == len(keys):
            raise InputError(f"{len(x)} embeddings, {len(clusters)} clusters, {len(programs)} names, {len(keys)} keys")
        if not 0 < false_alarms < 1 or (len(x) + 1) * false_alarms < 1:
            raise InputError(f"false_alarms must be in (0, 1) and at least 1 in {len(x) + 1}, got {false_alarms!r}")
        if not torch.isfinite(x).all():
            raise InputError("embeddings must be finite; drop the programs that have none")
        held_out = torch.empty(len(x))
        fold = folds(keys, CALIBRATION_FOLDS, seed)
        for k in range(CALIBRATION_FOLDS):
            train, test = np.flatnonzero(fold != k).tolist(), np.flatnonzero(fold == k).tolist()
            space = _space(x[train], [clusters[i] for i in train], components)
            held_out[test] = _distance(space, x[test])
        tensors = _space(x, clusters, components)
        tensors["threshold"] = _upper_quantile(held_out, false_alarms)
        return cls(tensors=tensors, programs=tuple(programs))

    @property
    def threshold(self) -> float:
        """The largest distance of what counts as known."""
        return float(self.tensors["threshold"])

    def score(self, x: Tensor) -> Tensor:
        """Embeddings x (N, d) -> distances (N,) to the nearest cluster, in its standard deviations."""
        self._check(x)
        return _distance(self.tensors, x)

    def unknown(self, x: Tensor) -> Tensor:
        """x (N, d) -> whether each is out of distribution (N,)."""
        return self.score(x) > self.threshold

    def nearest(self, x: Tensor, count: int = 1) -> list[list[tuple[str, float]]]:
        """x (N, d) -> for each the `count` nearest known programs and their distances, nearest first."""
        self._check(x)
        nearest = torch.cdist(_project(self.tensors, x), self.tensors["points"]).sort(dim=1, stable=True)
        rows = zip(nearest.indices[:, :count].tolist(), nearest.values[:, :count].tolist(), strict=True)
        return [[(self.programs[i], d) for i, d in zip(*row, strict=True)] for row in rows]

    def _check(self, x: Tensor) -> None:
        width = self.tensors["center"].shape[0]
        if x.shape[1] != width:
            raise ModelError(f"the detector takes embeddings of {width} numbers, got {x.shape[1]}")


def _space(x: Tensor, clusters: Sequence[str], components: int) -> dict[str, Tensor]:
    """The tensors but for the threshold: principal components, then what makes a cluster's covariance the unit."""
    center, spread = x.mean(0), x.std(0, correction=0)
    spread = torch.where(spread > 1e-12, spread, torch.ones_like(spread))
    z = ((x - center) / spread).double()
    _, s, vh = torch.linalg.svd(z, full_matrices=False)
    k = max(1, min(components, int((s > s[0] * 1e-6).sum())))
    projection = vh[:k].T / s[:k] * len(x) ** 0.5
    means, index = _means(z @ projection, clusters)
    projection = projection @ _whitener((z @ projection - means[index]).numpy())
    points = z @ projection
    tensors = {"center": center, "spread": spread, "projection": projection, "points": points}
    return {name: t.float().contiguous() for name, t in {**tensors, "centers": _means(points, clusters)[0]}.items()}


def _whitener(residuals: FloatArray) -> Tensor:
    """W (k, k) with W W^T the inverse of the residuals' shrunk covariance."""
    from sklearn.covariance import ledoit_wolf  # takes a second to load, and a fitted detector does not need it

    covariance, _ = ledoit_wolf(residuals, assume_centered=True)
    values, vectors = torch.linalg.eigh(torch.from_numpy(np.ascontiguousarray(covariance)))
    whitener: Tensor = vectors / values.clamp(min=float(values.max()) * 1e-9).clamp(min=1e-12).sqrt()
    return whitener


def _means(z: Tensor, clusters: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The mean of each cluster (C, k), and which cluster each row is of (S,)."""
    position = {name: i for i, name in enumerate(sorted(set(clusters)))}
    index = torch.tensor([position[name] for name in clusters])
    total = torch.zeros(len(position), z.shape[1], dtype=z.dtype).index_add_(0, index, z)
    return total / torch.bincount(index).unsqueeze(1), index


def _project(tensors: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return ((x - tensors["center"]) / tensors["spread"]) @ tensors["projection"]


def _distance(tensors: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return torch.cdist(_project(tensors, x), tensors["centers"]).amin(1)


def _upper_quantile(scores: Tensor, share: float) -> Tensor:
    """The score that a new known program exceeds with probability at most `share` (split conformal)."""
    rank = int(np.ceil((len(scores) + 1) * (1 - share)))
    return scores.sort().values[min(rank, len(scores)) - 1].clone()
