"""Finished evaluations on disk, so that a killed training run resumes."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kilowait import __version__
from kilowait.predict.accuracy import FloatArray
from kilowait.predict.evaluate import Inputs
from kilowait.predict.splits import Folds
from pipelines.recipes import NamedRecipe


class Memory:
    """Predictions by (labels, vectors, recipe, metric, folds); another input is another name."""

    def __init__(self, folder: Path, inputs: Inputs, *, fresh: bool) -> None:
        self.folder = folder
        self.fresh = fresh
        self.labels = inputs.study.digest
        self.vectors = {k: hashlib.sha256(x.numpy().tobytes()).hexdigest() for k, x in inputs.embeddings.items()}
        folder.mkdir(parents=True, exist_ok=True)

    def recall(self, recipe: NamedRecipe, metric: str, fold: Folds, compute: Callable[[], FloatArray]) -> FloatArray:
        """The remembered predictions, or `compute()` remembered."""
        path = self.folder / f"{self._name(recipe, metric, fold)}.npy"
        if path.exists() and not self.fresh:
            remembered: FloatArray = np.load(path, allow_pickle=False)
            return remembered
        predicted = compute()
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            np.save(file, predicted, allow_pickle=False)
        os.replace(partial, path)
        return predicted

    def _name(self, recipe: NamedRecipe, metric: str, fold: Folds) -> str:
        vectors = [self.vectors[key] for key in recipe.features]
        parts = [__version__, self.labels, *vectors, recipe.identity, metric, fold.tobytes().hex()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
