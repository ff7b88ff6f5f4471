"""Finished evaluations on disk, so that a killed run resumes."""

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from kilowait import __version__
from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.core.errors import InputError
from kilowait.files.atomic import replacing
from kilowait.lab.evaluate.cross_validation import Inputs, ModelAnswer
from kilowait.predict.device_model.efficiency import Terms

from .recipes import NamedRecipe


class PredictionCache:
    """Predictions by (labels, vectors, recipe, metric, folds); another input is another name."""

    def __init__(self, folder: Path, inputs: Inputs, *, fresh: bool) -> None:
        self.folder = folder
        self.fresh = fresh
        self.labels = inputs.study.digest
        self.vectors = {k: hashlib.sha256(x.numpy().tobytes()).hexdigest() for k, x in inputs.embeddings.items()}
        folder.mkdir(parents=True, exist_ok=True)

    def recall(self, recipe: NamedRecipe, metric: str, fold: IntArray, compute: Callable[[], FloatArray]) -> FloatArray:
        """The remembered predictions, or `compute()` remembered."""
        path = self.folder / f"{self._name(recipe, metric, fold)}.npy"
        if path.exists() and not self.fresh:
            remembered: FloatArray = np.load(path, allow_pickle=False)
            return remembered
        predicted = compute()
        with replacing(path) as partial, partial.open("wb") as file:
            np.save(file, predicted, allow_pickle=False)
        return predicted

    def _name(self, recipe: NamedRecipe, metric: str, fold: IntArray) -> str:
        vectors = [self.vectors[key] for key in recipe.features]
        parts = [__version__, self.labels, *vectors, recipe.identity, metric, fold.tobytes().hex()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


class AnswerFiles:
    """What models answered, one file a trained model: a recipe asked again for the same training mask reads it.

    The name of a file holds everything the answer follows from but kilowait's code; of that, the version.
    """

    def __init__(self, folder: Path, inputs: Inputs, *, fresh: bool = False) -> None:
        self.folder, self.inputs, self.fresh = folder, inputs, fresh
        self.vectors = {k: hashlib.sha256(x.numpy().tobytes()).hexdigest() for k, x in inputs.embeddings.items()}
        self.dry_runs = _digest_of(inputs)
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, recipe: NamedRecipe) -> NamedRecipe:
        """The recipe, with its answers kept, and its base's; only those that are missing are trained, together."""
        if recipe.base is not None and recipe.over is not None:
            recipe = replace(recipe, recipe=recipe.over(self.of(recipe.base).recipe))

        def answer(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
            paths = [self._path(recipe, metric, mask) for mask in train]
            todo = [i for i, path in enumerate(paths) if self.fresh or not path.exists()]
            results = recipe.recipe(inputs, metric, [train[i] for i in todo]) if todo else []
            for i, result in zip(todo, results, strict=True):
                _save(paths[i], result)
            by_index = dict(zip(todo, results, strict=True))
            return [by_index[i] if i in by_index else _read(path) for i, path in enumerate(paths)]

        return replace(recipe, recipe=answer)

    def _path(self, recipe: NamedRecipe, metric: str, mask: Mask) -> Path:
        inputs = [self.vectors[key] for key in recipe.features]
        inputs += [self.dry_runs, repr(asdict(Terms()))] if recipe.needs_dry_runs else []
        inputs += [repr(self.inputs.together)] if recipe.over is not None else []
        rows = np.packbits(mask).tobytes().hex()
        parts = [__version__, self.inputs.study.digest, *inputs, recipe.identity, metric, rows]
        name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
        return self.folder / f"{name}.npz"


def _digest_of(inputs: Inputs) -> str:
    """The digest of the dry runs."""
    digest = hashlib.sha256()
    for script, run in sorted(inputs.dry_runs.items()):
        digest.update(script.encode() + (b"" if run is None else run.to_json()))
    return digest.hexdigest()


def _save(path: Path, answer: ModelAnswer) -> None:
    columns = {"predicted": answer.predicted, "sigma": answer.sigma, "wide": answer.wide}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **{name: column for name, column in columns.items() if column is not None})


def _read(path: Path) -> ModelAnswer:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return ModelAnswer(
                predicted=archive["predicted"],
                sigma=archive.get("sigma"),
                wide=archive.get("wide"),
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: no remembered answer ({error}); delete it, or run with --fresh") from error
