"""What pipelines.alignment computes: predictions for twins by probes that never saw their originals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.lab.evaluate import baselines
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.predict.accuracy import accuracy
from kilowait.predict.probe.ood import Novelty
from kilowait.predict.probe.probe import ProbeConfig, Rows, fit_probes

METRIC = "runtime_s"
Method = Callable[[Mask, IntArray], Tensor]
"""From the training labels' mask (N,) and the tested twins (n,) to predictions (n, D)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinTrial:
    """Twins (T,) of known scripts: `original` is each one's row among the study's scripts, `fold` (S,) who is held out.

    A twin is tested in its original's fold, by what was trained on the others.
    """

    study: Dataset
    original: IntArray
    fold: IntArray

    @property
    def truth(self) -> FloatArray:
        """Measured run times (T, D) of the originals, whose work the twins do."""
        table = np.full((len(self.study.scripts), len(self.study.device_types)), np.nan)
        table[self.study.script, self.study.device] = self.study.metrics[METRIC]
        return table[self.original]

    def splits(self) -> list[tuple[Mask, IntArray]]:
        """For each fold with a twin in it: the training labels' mask and the twins tested."""
        has_label = np.isfinite(self.study.metrics[METRIC])
        tested = self.fold[self.original]
        return [
            (has_label & (self.fold[self.study.script] != k), np.flatnonzero(tested == k)) for k in np.unique(tested)
        ]

    def predict(self, method: Method) -> FloatArray:
        """Out-of-fold predictions (T, D)."""
        out = np.full((len(self.original), len(self.study.device_types)), np.nan)
        for mask, tested in self.splits():
            out[tested] = method(mask, tested).double().numpy()
        return out

    def training_rows(self, mask: Mask, x: Tensor) -> Rows:
        """The labels of the mask with the vectors x (S, d)."""
        return self.study.rows(METRIC, x, mask)


def probe_method(trial: TwinTrial, config: ProbeConfig, x: Tensor, x_twins: Tensor, seed: int) -> Method:
    """A probe of `config` on x (S, d), asked about x_twins (T, d)."""

    def answer(mask: Mask, tested: IntArray) -> Tensor:
        (probe,) = fit_probes(config, [trial.training_rows(mask, x)], trial.study.device_types, seed=seed)
        return probe.predict(x_twins[tested])

    return answer


def nearest_method(trial: TwinTrial, x: Tensor, x_twins: Tensor) -> Method:
    """The label of the most similar known script."""

    def answer(mask: Mask, tested: IntArray) -> Tensor:
        rows, types = trial.training_rows(mask, x), len(trial.study.device_types)
        return baselines.nearest(rows, x_twins[tested], types)

    return answer


def words_method(trial: TwinTrial, texts: Sequence[str], twin_texts: Sequence[str]) -> Method:
    """Ridge on a bag of words."""

    def answer(mask: Mask, tested: IntArray) -> Tensor:
        scripts = sorted(set(trial.study.script[mask].tolist()))
        bag = baselines.bag_of_words([texts[i] for i in scripts], [*texts, *(twin_texts[i] for i in tested)])
        rows = trial.training_rows(mask, bag[: len(texts)])
        return baselines.words_ridge(rows, bag[len(texts) :], len(trial.study.device_types))

    return answer


def mean_method(trial: TwinTrial) -> Method:
    """The geometric mean of each device type."""

    def answer(mask: Mask, tested: IntArray) -> Tensor:
        rows = trial.training_rows(mask, torch.zeros(len(trial.study.scripts), 1))
        return baselines.geometric_mean(rows, len(trial.study.device_types)).repeat(len(tested), 1)

    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """For each twin: its distance (T,) to the known clusters, whether that is too far, and the nearest known script."""

    distance: FloatArray
    unknown: Mask
    nearest: tuple[str, ...]


def neighbourhood(trial: TwinTrial, x: Tensor, x_twins: Tensor, keys: Sequence[str]) -> Neighbourhood:
    """What a detector of unknown programs says, fitted without the twin's fold; `keys` (S,) name equal work."""
    count = len(trial.original)
    distance, unknown, nearest = np.full(count, np.nan), np.zeros(count, dtype=bool), [""] * count
    for mask, tested in trial.splits():
        training_scripts = sorted(set(trial.study.script[mask].tolist()))
        families, names, works = (
            [values[i] for i in training_scripts] for values in (trial.study.families, trial.study.scripts, keys)
        )
        detector = Novelty.fit(x[training_scripts], families, names, keys=works)
        distance[tested] = detector.score(x_twins[tested]).numpy()
        unknown[tested] = detector.unknown(x_twins[tested]).numpy()
        for twin, neighbours in zip(tested, detector.nearest(x_twins[tested]), strict=True):
            nearest[twin] = neighbours[0][0]
    return Neighbourhood(distance=distance, unknown=unknown, nearest=tuple(nearest))


def errors(truth: FloatArray, predicted: FloatArray, seed: int = 0) -> Mapping[str, float | None]:
    """Median absolute error as a share of the measured value with its 95% bootstrap interval over twins, R2 of logs."""
    ape = np.abs(predicted - truth) / truth
    rng = np.random.default_rng(seed)
    draws = [float(np.median(ape[rng.integers(0, len(ape), len(ape))])) for _ in range(1000)]
    scores = accuracy(truth.ravel(), predicted.ravel())
    low, high = np.quantile(draws, [0.025, 0.975])
    return {
        "n": float(truth.size),
        "median_ape": scores.median_ape,
        "low": float(low),
        "high": float(high),
        "r2_log": scores.r2_log,
        "spearman": scores.spearman,
    }
