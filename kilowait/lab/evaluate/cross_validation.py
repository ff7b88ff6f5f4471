"""Recipes side by side: out-of-fold predictions of every probe and baseline under the same splits.

A recipe takes a study and the training masks of some folds, and answers with its predictions for every label,
one `ModelAnswer` a fold; only the tested ones are read. All folds come at once so that networks can train together. It
may look at everything in `Inputs` but the labels outside its mask. A device type may have no label in the mask: a
recipe that knows devices only by name answers for it with `new_types`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.core.errors import InputError
from kilowait.core.gpu_type import GpuType
from kilowait.lab.evaluate import baselines
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.probe.probe import ProbeConfig, fit_probes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """What one trained model expects of all N labels, tested or not.

    `predicted` (N,) is in the metric's unit. `sigma` (N,) > 0, where the model has one, is how far off it expects the
    logarithm of a prediction to be: intervals scale with it. `wide` (N,) marks the rows that the model has less
    to say about than about others (its dry run failed, its source is unlike the training sources): they have
    intervals of their own, from residuals of such rows.
    """

    predicted: FloatArray
    sigma: FloatArray | None = None
    wide: Mask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A study with what recipes may look at.

    Vectors (S, d) by feature key, the texts of the scripts, dry runs by content hash (None for a script whose dry
    run failed), and the published specification of each device type (None for one the catalogue lacks, as CPUs).
    `together` names for each script what folds keep together (S,), the groups unless given: recipes that deal inner
    folds keep to it.
    """

    study: Dataset
    embeddings: Mapping[str, Tensor]
    texts: Sequence[str]
    dry_runs: Mapping[str, DryRun | None] = field(default_factory=dict)
    devices: Mapping[str, GpuType | None] = field(default_factory=dict)
    together: Sequence[str] | None = None

    def x(self, features: Sequence[str]) -> Tensor:
        """The vectors of several feature configurations side by side (S, d)."""
        return torch.cat([self.embeddings[key] for key in features], dim=1)

    def answers(self, table: Tensor) -> ModelAnswer:
        """A prediction for every script and type (S, D) as one for every label (N,)."""
        return ModelAnswer(predicted=table.double().numpy()[self.study.script, self.study.device])


Recipe = Callable[[Inputs, str, Sequence[Mask]], list[ModelAnswer]]


def probe_recipe(config: ProbeConfig, *, seed: int, device: str = "cpu") -> Recipe:
    """Probes of one configuration."""

    def answer(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
        x = inputs.x(config.features)
        problems = [inputs.study.rows(metric, x, mask) for mask in train]
        probes = fit_probes(config, problems, inputs.study.device_types, seed=seed, device=device)
        return [inputs.answers(probe.predict(x)) for probe in probes]

    return answer


def mean_recipe(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
    """The geometric mean of the training labels on each device type."""
    study, types = inputs.study, len(inputs.study.device_types)
    no_vectors = torch.zeros(len(study.scripts), 1)
    means = (baselines.geometric_mean(study.rows(metric, no_vectors, mask), types) for mask in train)
    return [inputs.answers(mean.repeat(len(study.scripts), 1)) for mean in means]


def anchor_recipe(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
    """The geometric mean of the script's own training labels, on whatever types; of all labels where it has none."""
    study, results = inputs.study, []
    for mask in train:
        log = np.log(study.metrics[metric][mask])
        count = np.bincount(study.script[mask], minlength=len(study.scripts))
        total = np.bincount(study.script[mask], weights=log, minlength=len(study.scripts))
        mean = np.where(count > 0, total / np.maximum(count, 1), log.mean())
        results.append(ModelAnswer(predicted=np.exp(mean)[study.script]))
    return results


def nearest_recipe(features: Sequence[str]) -> Recipe:
    """The label of the most similar training script."""

    def answer(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
        x, types = inputs.x(features), len(inputs.study.device_types)
        rows = (inputs.study.rows(metric, x, mask) for mask in train)
        return [inputs.answers(baselines.nearest(r, x, types)) for r in rows]

    return answer


def words_recipe(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
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

    def answer(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
        answers = [recipe(inputs, metric, train) for recipe in recipes]
        logs = [
            np.mean([np.log(fold_answer.predicted) for fold_answer in fold], axis=0)
            for fold in zip(*answers, strict=True)
        ]
        return [ModelAnswer(predicted=np.exp(log)) for log in logs]

    return answer


def new_types(recipe: Recipe) -> Recipe:
    """`recipe` trained on the device types it has labels of; on any other the geometric mean of its answers on those.

    For models that know a device type by its name alone.
    """

    def answer(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
        trained_types = [sorted(set(inputs.study.device[mask].tolist())) for mask in train]
        all_types = list(range(len(inputs.study.device_types)))
        if all(types == all_types for types in trained_types):
            return recipe(inputs, metric, train)
        return [
            _on_known(recipe, inputs, metric, mask, types) for mask, types in zip(train, trained_types, strict=True)
        ]

    return answer


def _on_known(recipe: Recipe, inputs: Inputs, metric: str, mask: Mask, types: Sequence[int]) -> ModelAnswer:
    """One model of the device types `types`, asked for every label through a study of one row a script and type."""
    study = inputs.study
    (answer,) = recipe(replace(inputs, study=study.crossed(types)), metric, [study.crossed_mask(mask, types)])
    table = answer.predicted.reshape(len(study.scripts), len(types))
    full = np.repeat(np.exp(np.log(table).mean(1, keepdims=True)), len(study.device_types), axis=1)
    full[:, types] = table
    return ModelAnswer(predicted=full[study.script, study.device])


def out_of_fold(recipe: Recipe, inputs: Inputs, metric: str, fold: IntArray) -> FloatArray:
    """Each label's prediction by a model that has not seen its fold (N,).

    `fold` is 0.. for tested rows and -1 for rows that only train; the answer is NaN where a row is not tested or
    its label is missing. Raises InputError when a prediction is not finite.
    """
    labelled = np.isfinite(inputs.study.metrics[metric])
    count = int(fold.max()) + 1
    answers = recipe(inputs, metric, [(fold != k) & labelled for k in range(count)])
    predicted = np.full(len(fold), np.nan)
    for k, answer in enumerate(answers):
        test_rows = (fold == k) & labelled
        if not np.isfinite(answer.predicted[test_rows]).all():
            raise InputError(f"{metric}: a model answered with NaN or infinity in fold {k}")
        predicted[test_rows] = answer.predicted[test_rows]
    return predicted
