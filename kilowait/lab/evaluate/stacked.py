"""Recipes that learn run times from tables of features, or what a base recipe gets wrong.

Features come in sets: the embedding's vectors, a dry run's sums, counts of the source's syntax tree, each beside the
device type's sheet. With a base the target is log(measured / base), where the base's answers for the training rows are
out of fold too: for a model without fold k, those to the rows of fold j are by the base without j and k.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.core.gpu_type import GpuType
from kilowait.lab.evaluate import tabular
from kilowait.lab.evaluate.cross_validation import Inputs, ModelAnswer, Recipe
from kilowait.lab.evaluate.run_features import pair_features, run_features, sheet_features
from kilowait.lab.evaluate.static_features import static_features
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.splits import folds

FeatureSet = Literal["embedding", "run", "static"]
"""The vectors of the language model; a dry run's sums with rooflines; counts of the syntax tree."""
SETS: tuple[FeatureSet, ...] = get_args(FeatureSet)
COMPONENTS = 48
"""Principal components of the vectors, from those of the training scripts."""
INNER = 5
"""Folds of the training labels."""


class FeatureTables:
    """The features of a study's labels, made once: x(mask) has a row for each of the N labels."""

    def __init__(self, inputs: Inputs, keys: Sequence[str]) -> None:
        study = inputs.study
        sheets = [_sheet(name, inputs.devices) for name in study.device_types]
        runs = [inputs.dry_runs.get(script) for script in study.scripts]
        self.study = study
        self.static = np.stack([static_features(text) for text in inputs.texts])
        self.run = np.stack([run_features(run) for run in runs])
        self.pair = np.stack([pair_features(run, sheets) for run in runs])
        self.sheet = np.stack([sheet_features(sheet) for sheet in sheets])
        self.vectors = inputs.x(keys).double().numpy() if keys else None

    def x(self, sets: Sequence[FeatureSet], mask: Mask) -> FloatArray:
        """The features (N, d) of `sets`, beside the device type's sheet and name; `mask` (N,) are training rows."""
        script, device = self.study.script, self.study.device
        parts = [self.sheet[device], np.eye(len(self.sheet))[device]]
        if "static" in sets:
            parts.append(self.static[script])
        if "run" in sets:
            parts += [self.run[script], self.pair[script, device]]
        if "embedding" in sets:
            parts.append(self._components(sorted(set(script[mask].tolist())))[script])
        return np.concatenate(parts, axis=1)

    def _components(self, scripts: Sequence[int]) -> FloatArray:
        assert self.vectors is not None, "no feature keys were given"
        scaler = StandardScaler().fit(self.vectors[scripts])
        scaled = scaler.transform(self.vectors)
        count = min(COMPONENTS, len(scripts) - 1, scaled.shape[1])
        return np.asarray(PCA(count, random_state=0).fit(scaled[scripts]).transform(scaled))


def _sheet(name: str, devices: Mapping[str, GpuType | None]) -> Specification:
    gpu = devices.get(name)
    return Specification.named(name) if gpu is None else Specification.of(gpu)


def stacked_recipe(
    sets: Sequence[FeatureSet], keys: Sequence[str], learner: str, seed: int, base: Recipe | None = None
) -> Recipe:
    """A learner of `tabular` on some feature sets, vectors being those of `keys`; `base` is what it corrects, if any.

    Inner folds are `INNER` of what `Inputs.together` keeps together, dealt over the whole study: where those of an
    evaluation are the same, the base's models for calibration and for inner folds are too, and are trained once.
    """
    cache = _Known(keys)

    def answer(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
        tables, log = cache.tables(inputs), np.log(inputs.study.metrics[metric])
        answers = []
        for mask in train:
            fold = _inner(inputs, mask, seed)
            base_answer, base_log = cache.started(base, inputs, metric, mask, fold)
            start, middle = np.log(base_answer.predicted), 0.0 if base else float(log[mask].mean())
            x = tables.x(sets, mask)
            train_x = np.column_stack([x, base_log])[mask]
            model = tabular.fit(
                learner, train_x, (log - base_log - middle)[mask], fold[mask], seed, shrink=base is not None
            )
            predicted = np.exp(start + middle + model.predict(np.column_stack([x, start])))
            answers.append(ModelAnswer(predicted=predicted, sigma=base_answer.sigma, wide=base_answer.wide))
        return answers

    return answer


def _inner(inputs: Inputs, mask: Mask, seed: int) -> IntArray:
    """Inner folds (N,) of what stays together; of groups where the rows of `mask` have fewer than three such."""
    study = inputs.study
    row_keys = study.row_keys(inputs.together or study.groups)
    few_keys = len({key for key, in_mask in zip(row_keys, mask, strict=True) if in_mask}) < 3
    keys = study.row_keys(study.groups) if few_keys else row_keys
    return folds(keys, min(INNER, len(set(keys))), seed)


class _Known:
    """What a recipe made before: the tables of the study it was last asked about, the base's answers on it."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys
        self.inputs: Inputs | None = None

    def tables(self, inputs: Inputs) -> FeatureTables:
        """The features of a study."""
        if self.inputs is not inputs:
            self.inputs, self.made = inputs, FeatureTables(inputs, self.keys)
            self.answers: dict[tuple[str, bytes], ModelAnswer] = {}
        return self.made

    def started(
        self, base: Recipe | None, inputs: Inputs, metric: str, mask: Mask, fold: IntArray
    ) -> tuple[ModelAnswer, FloatArray]:
        """The base's answer trained on `mask`, and logarithms (N,) that are out of fold for the rows of `mask`.

        Without a base 1 s for everything.
        """
        if base is None:
            return ModelAnswer(predicted=np.ones(len(mask))), np.zeros(len(mask))
        inner = sorted(set(fold[mask].tolist()))
        masks = [mask, *(mask & (fold != j) for j in inner)]
        for train_mask in masks:
            if (metric, train_mask.tobytes()) not in self.answers:
                (self.answers[metric, train_mask.tobytes()],) = base(inputs, metric, [train_mask])
        full_answer, *parts = (self.answers[metric, train_mask.tobytes()] for train_mask in masks)
        base_log = np.log(full_answer.predicted)
        for j, part in zip(inner, parts, strict=True):
            rows = mask & (fold == j)
            base_log[rows] = np.log(part.predicted[rows])
        return full_answer, base_log
