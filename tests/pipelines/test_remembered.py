"""pipelines.evaluate.answer_cache: a killed evaluation takes up where it was, and forgets what it should not know."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kilowait.core.errors import InputError
from kilowait.lab.evaluate.cross_validation import Inputs, ModelAnswer
from kilowait.lab.evaluate.dataset import Dataset
from pipelines.evaluate.answer_cache import AnswerFiles
from pipelines.evaluate.recipes import NamedRecipe

MASKS = [np.array([i != k for i in range(4)]) for k in range(4)]


def world(digest: str = "labels") -> Inputs:
    times = np.array([1.0, 2.0, 3.0, 4.0])
    study = Dataset(
        digest=digest,
        scripts=("a", "b", "c", "d"),
        families=("f",) * 4,
        groups=("a", "b", "c", "d"),
        device_types=("T4",),
        script=np.arange(4),
        device=np.zeros(4, dtype=np.int64),
        metrics={"runtime_s": times},
        measured={"runtime_s": np.ones(4, dtype=np.bool_)},
        provenance={},
        spread=np.zeros(4),
        flagged=np.zeros(4, dtype=np.bool_),
    )
    return Inputs(study=study, embeddings={}, texts=["", "", "", ""])


class Counting:
    """A recipe that answers with the sum of its training labels and notes what it was asked."""

    def __init__(self, sigma: bool = False) -> None:
        self.asked: list[int] = []
        self.sigma = sigma

    def __call__(self, inputs, metric, train):
        self.asked += [int(np.flatnonzero(~mask)[0]) for mask in train]
        totals = [inputs.study.metrics[metric][mask].sum() for mask in train]
        sigma = np.full(4, 0.5) if self.sigma else None
        return [ModelAnswer(predicted=np.full(4, total), sigma=sigma, wide=np.arange(4) == 1) for total in totals]


def test_only_what_is_missing_is_trained_and_the_rest_is_read_back(tmp_path: Path) -> None:
    recipe = Counting(sigma=True)
    inputs = world()
    AnswerFiles(tmp_path, inputs).of(NamedRecipe(name="sum", recipe=recipe)).recipe(inputs, "runtime_s", MASKS[:2])
    again = AnswerFiles(tmp_path, inputs).of(NamedRecipe(name="sum", recipe=recipe))
    found = again.recipe(inputs, "runtime_s", MASKS)
    assert recipe.asked == [0, 1, 2, 3]
    assert [answer.predicted[0] for answer in found] == [9.0, 8.0, 7.0, 6.0]
    assert all(answer.sigma.tolist() == [0.5] * 4 for answer in found)
    assert all(answer.wide.tolist() == [False, True, False, False] for answer in found)


def test_other_labels_and_other_recipes_are_other_answers_and_fresh_forgets_all(tmp_path: Path) -> None:
    recipe = Counting()
    named, inputs = NamedRecipe(name="sum", recipe=recipe), world()
    for each in (inputs, world("other labels")):
        AnswerFiles(tmp_path, each).of(named).recipe(each, "runtime_s", MASKS[:1])
    AnswerFiles(tmp_path, inputs).of(replace(named, name="other")).recipe(inputs, "runtime_s", MASKS[:1])
    assert recipe.asked == [0, 0, 0]
    AnswerFiles(tmp_path, inputs, fresh=True).of(named).recipe(inputs, "runtime_s", MASKS[:1])
    assert recipe.asked == [0, 0, 0, 0]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    inputs = world()
    answers = AnswerFiles(tmp_path, inputs).of(NamedRecipe(name="sum", recipe=Counting()))
    answers.recipe(inputs, "runtime_s", MASKS[:1])
    (file,) = tmp_path.glob("*.npz")
    file.write_bytes(b"no archive")
    with pytest.raises(InputError, match=file.name):
        answers.recipe(inputs, "runtime_s", MASKS[:1])
