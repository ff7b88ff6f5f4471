"""Two predictors on the same labels."""

import numpy as np
import pytest

from kilowait.core.errors import InputError
from kilowait.lab.evaluate.paired import paired


def test_errors_and_their_difference_are_means_of_logarithms():
    measured = np.array([1.0, 1.0, 2.0, 2.0])
    found = paired(measured, 2 * measured, 4 * measured, np.array([0, 0, 1, 1]))
    assert (found.error, found.more) == (pytest.approx(np.log(2)), pytest.approx(-np.log(2)))
    assert found.low == found.high == pytest.approx(-np.log(2))  # every resample has the same difference


def test_programs_are_drawn_whole():
    """Four labels a program that miss together say no more than one: the interval is as wide."""
    rng = np.random.default_rng(0)
    one, other = np.exp(rng.normal(size=60)), np.exp(rng.normal(size=60))
    alone = paired(np.ones(60), one, other, np.arange(60))
    repeated = paired(np.ones(240), np.repeat(one, 4), np.repeat(other, 4), np.repeat(np.arange(60), 4))
    assert (repeated.low, repeated.high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    assert alone.low < alone.more < alone.high


def test_no_labels_are_refused():
    with pytest.raises(InputError, match="no labels"):
        paired(np.array([]), np.array([]), np.array([]), np.array([], dtype=np.int64))
