"""Recipes side by side: out-of-fold predictions of every probe and baseline under the same splits.

A recipe takes a study and the training masks of some folds, and answers with its predictions for every label,
one array a fold; only the tested ones are read. All folds come at once so that networks can train together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kilowait.errors import InputError
from kilowait.predict import baselines
from kilowait.predict.accuracy import FloatArray
from kilowait.predict.dataset import Study
from kilowait.predict.probe import ProbeConfig, fit_probes
from kilowait.predict.splits import Folds

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A study with what recipes may look at: vectors (S, d) by feature key, and the texts of the scripts."""

    study: Study
    embeddings: Mapping[str, Tensor]
    texts: Sequence[str]

    def x(self, features: Sequence[str]) -> Tensor:
        """The vectors of several feature configurations side by side (S, d)."""
        return torch.cat([self.embeddings[key] for key in features], dim=1)

    def answers(self, table: Tensor) -> FloatArray:
        """A prediction for every script and type (S, D) as one for every label (N,)."""
        return table.double().numpy()[self.study.script, self.study.device]


Recipe = Callable[[Inputs, str, Sequence[Mask]], list[FloatArray]]


def probe_recipe(config: ProbeConfig, *, seed: int, device: str = "cpu") -> Recipe:
    """Probes of one configuration."""

    def answer(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[FloatArray]:
        x = inputs.x(config.features)
        problems = [inputs.study.rows(metric, x, mask) for mask in train]
        probes = fit_probes(config, problems, inputs.study.device_types, seed=seed, device=device)
        return [inputs.answers(probe.predict(x)) for probe in probes]

    return answer


def mean_recipe(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[FloatArray]:
    """The geometric mean of the training labels on each device type."""
    study, types = inputs.study, len(inputs.study.device_types)
    nothing = torch.zeros(len(study.scripts), 1)
    means = (baselines.geometric_mean(study.rows(metric, nothing, mask), types) for mask in train)
    return [inputs.answers(mean.repeat(len(study.scripts), 1)) for mean in means]


def nearest_recipe(features: Sequence[str]) -> Recipe:
    """The label of the most similar training script."""

    def answer(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[FloatArray]:
        x, types = inputs.x(features), len(inputs.study.device_types)
        rows = (inputs.study.rows(metric, x, mask) for mask in train)
        return [inputs.answers(baselines.nearest(r, x, types)) for r in rows]

    return answer


def words_recipe(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[FloatArray]:
    """Ridge on a bag of words whose vocabulary and weights come from the training scripts."""
    study, results = inputs.study, []
    for mask in train:
        scripts = sorted(set(study.script[mask].tolist()))
        bag = baselines.bag_of_words([inputs.texts[i] for i in scripts], inputs.texts)
        rows = study.rows(metric, bag, mask)
        results.append(inputs.answers(baselines.words_ridge(rows, bag, len(study.device_types))))
    return results


def blend(*recipes: Recipe) -> Recipe:
    """The geometric mean of several recipes' predictions (all > 0)."""

    def answer(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[FloatArray]:
        each = [recipe(inputs, metric, train) for recipe in recipes]
        return [np.exp(np.mean(np.log(fold), axis=0)) for fold in zip(*each, strict=True)]

    return answer


def out_of_fold(recipe: Recipe, inputs: Inputs, metric: str, fold: Folds) -> FloatArray:
    """Each label's prediction by a model that has not seen its fold (N,).

    `fold` is 0.. for tested rows and -1 for rows that only train; the answer is NaN where a row is not tested or
    its label is missing. Raises InputError when a prediction is not finite.
    """
    labelled = np.isfinite(inputs.study.metrics[metric])
    count = int(fold.max()) + 1
    answers = recipe(inputs, metric, [(fold != k) & labelled for k in range(count)])
    predicted = np.full(len(fold), np.nan)
    for k, answer in enumerate(answers):
        tested = (fold == k) & labelled
        if not np.isfinite(answer[tested]).all():
            raise InputError(f"{metric}: a model answered with NaN or infinity in fold {k}")
        predicted[tested] = answer[tested]
    return predicted
