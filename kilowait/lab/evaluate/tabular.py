"""Learners of the logarithm of a run time from tables of features, each choosing its settings on inner folds.

Ridge, gradient boosting and extremely randomised trees (scikit-learn), a Gaussian process whose lengths are chosen by
its own evidence, and a perceptron (`mlp`). What a learner adds is shrunk by a share that the inner folds choose too:
one that only adds noise to a good starting point answers with that point.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.predict.probe.mlp import MLPConfig, Task, forward, train

INNER_FOLDS = 3
"""Of those that an evaluation trains on, dealt together: what settings are chosen by."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
EVIDENCE_ROWS = 500
"""That the lengths of a Gaussian process are chosen on."""
NETWORK = MLPConfig(hidden=(64, 32), batch_size=64, max_epochs=80, learning_rate=3e-3, l1=0.0, dropout=0.1)

Estimator = Any
"""scikit-learn's: fit(x, y), predict(x)."""


class Network(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """kilowait's perceptron as scikit-learn's estimators are used."""

    def __init__(self, weight_decay: float = 0.01, seed: int = 0) -> None:
        self.weight_decay = weight_decay
        self.seed = seed

    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        """Train on x (n, d) and y (n,)."""
        task = Task(x=torch.from_numpy(x).float(), y=torch.from_numpy(y).float(), seed=self.seed)
        (self.weights_,) = train(replace(NETWORK, weight_decay=self.weight_decay), [task])
        return self

    def predict(self, x: FloatArray) -> FloatArray:
        """Answers (n,)."""
        answers: FloatArray = forward(self.weights_, torch.from_numpy(x).float()[None])[0].double().numpy()
        return answers


class TabularProcess(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A Gaussian process of one length, which `EVIDENCE_ROWS` rows choose with the variances."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        """Condition on x (n, d) and y (n,)."""
        kernel = ConstantKernel(0.3, (1e-4, 1e2)) * RBF(np.sqrt(x.shape[1]), (0.1, 1e3)) + WhiteKernel(0.05)
        sample = np.random.default_rng(self.seed).permutation(len(y))[:EVIDENCE_ROWS]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a bound that is met is an answer
            fitted_kernel = GaussianProcessRegressor(kernel, normalize_y=True).fit(x[sample], y[sample]).kernel_
        self.process_ = GaussianProcessRegressor(fitted_kernel, optimizer=None, normalize_y=True).fit(x, y)
        return self

    def predict(self, x: FloatArray) -> FloatArray:
        """Answers (n,)."""
        return np.asarray(self.process_.predict(x), dtype=np.float64)


def _boosted(leaves: int, rounds: int, seed: int) -> Estimator:
    return HistGradientBoostingRegressor(
        learning_rate=0.05, max_iter=rounds, max_leaf_nodes=leaves, early_stopping=False, random_state=seed
    )


def _forest(leaf: int, seed: int) -> Estimator:
    return ExtraTreesRegressor(n_estimators=60, min_samples_leaf=leaf, max_features=0.4, random_state=seed)


LEARNERS: Mapping[str, Callable[[int], Sequence[Estimator]]] = {
    "ridge": lambda seed: [make_pipeline(StandardScaler(), Ridge(alpha)) for alpha in (3, 30, 300, 3000)],
    "boosted": lambda seed: [_boosted(leaves, rounds, seed) for leaves, rounds in ((4, 150), (16, 100))],
    "forest": lambda seed: [_forest(leaf, seed) for leaf in (2, 8)],
    "process": lambda seed: [make_pipeline(StandardScaler(), TabularProcess(seed))],
    "network": lambda seed: [make_pipeline(StandardScaler(), Network(decay, seed)) for decay in (0.01, 1.0)],
}
"""The settings that each learner chooses from, given a seed."""
NAMES = {
    "ridge": "ridge regression",
    "boosted": "gradient-boosted trees",
    "forest": "extremely randomised trees",
    "process": "a Gaussian process",
    "network": "a perceptron",
}
"""What each is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A learner with the settings it chose, and the share of its answers that counts."""

    estimator: Estimator
    share: float

    def predict(self, x: FloatArray) -> FloatArray:
        """Answers (n,) to x (n, d)."""
        return np.asarray(self.share * self.estimator.predict(x), dtype=np.float64)


def fit(learner: str, x: FloatArray, y: FloatArray, fold: IntArray, seed: int, *, shrink: bool) -> Fitted:
    """Fit a learner of `LEARNERS` to x (n, d) and y (n,); settings are those of the least mean |error| on inner folds.

    `fold` (n,) says which rows must stay together; a few of them are one inner fold. With `shrink` the share is
    chosen as well, else it is 1.
    """
    candidates = LEARNERS[learner](seed)
    if len(candidates) == 1 and not shrink:
        return Fitted(estimator=candidates[0].fit(x, y), share=1.0)
    _, fold_index = np.unique(fold, return_inverse=True)
    split = PredefinedSplit(fold_index % INNER_FOLDS)
    shares = SHARES if shrink else (1.0,)
    predictions = [cross_val_predict(candidate, x, y, cv=split) for candidate in candidates]
    errors = [[float(np.abs(y - share * t).mean()) for share in shares] for t in predictions]
    best, share = divmod(int(np.argmin(errors)), len(shares))
    return Fitted(estimator=candidates[best].fit(x, y), share=shares[share])
