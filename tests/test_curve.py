"""Training sets of growing size: nested, of whole programs, and never of the tested fold."""

import numpy as np
import pytest

from kilowait.errors import InputError
from kilowait.predict.dataset import Study
from pipelines.curve import training


def study() -> Study:
    """Twenty programs on two types, ten folds of two programs."""
    names = tuple(f"p{i:02}" for i in range(20))
    script, device = (index.ravel() for index in np.indices((20, 2)))
    return Study(
        scripts=names,
        families=names,
        groups=names,
        device_types=("A100", "T4"),
        script=script,
        device=device,
        metrics={"runtime_s": np.ones(40)},
        provenance={},
        measured={"runtime_s": np.ones(40, dtype=np.bool_)},
        spread=np.zeros(40),
        flagged=np.zeros(40, dtype=np.bool_),
        digest="",
    )


def test_more_programs_include_the_fewer() -> None:
    one = study()
    fold = one.script // 2
    few, many = training(one, fold, 3, seed=0), training(one, fold, 18, seed=0)
    for k, (small, large) in enumerate(zip(few, many, strict=True)):
        assert small.sum() == 2 * 3
        assert large.sum() == 2 * 18
        assert not (small & ~large).any()
        assert not (large & (fold == k)).any()


def test_more_programs_than_there_are() -> None:
    with pytest.raises(InputError, match="--sizes: 19 programs, but the folds that train have 2 to 18"):
        training(study(), study().script // 2, 19, seed=0)
