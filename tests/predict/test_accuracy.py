"""Error metrics, by hand, and the splits they are computed under."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.predict.accuracy import accuracy, noise_floor
from kilowait.predict.splits import folds, holdout


def test_errors_of_three_predictions_by_hand():
    # |errors| 1, 0, 2; relative 1, 0, 1/2; squared total 42/9 around the mean 7/3; logs 0, l, 2l around l
    got = accuracy(np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 2.0]))
    assert got.n == 3
    assert got.mae == pytest.approx(1.0)
    assert got.rmse == pytest.approx(math.sqrt(5 / 3))
    assert got.mape == pytest.approx(0.5)
    assert got.median_ape == pytest.approx(0.5)
    assert got.r2 == pytest.approx(1 - 5 / (42 / 9))
    assert got.r2_log == pytest.approx(0.0)
    assert got.spearman is None
    assert got.nonpositive == 0


def test_spearman_gives_ties_their_average_rank():
    # ranks 0 1 2 3 against 0.5 0.5 3 2: 3.5 / sqrt(5 * 4.5)
    got = accuracy(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 10.0, 30.0, 20.0]))
    assert got.spearman == pytest.approx(3.5 / math.sqrt(22.5))


def test_perfect_predictions_have_no_error():
    values = np.array([0.1, 3.0, 7.0])
    got = accuracy(values, values)
    assert (got.mae, got.rmse, got.mape, got.r2, got.r2_log, got.spearman) == (0, 0, 0, 1, 1, pytest.approx(1))


def test_predictions_below_zero_are_counted_and_stand_at_a_tenth_of_the_smallest_label_in_the_logarithm():
    # logs 0 and 1 (base 10): prediction -5 counts as 0.1, log -1; errors 1 and 0 around the mean 0.5
    got = accuracy(np.array([1.0, 10.0]), np.array([-5.0, 10.0]))
    assert got.nonpositive == 1
    assert got.r2_log == pytest.approx(1 - 1 / 0.5)
    assert got.mae == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("measured", "predicted", "message"),
    [
        ([1.0, math.nan], [1.0, 1.0], "1 of 2 measured values"),
        ([1.0, 2.0], [math.inf, math.nan], "2 of 2 predictions"),
        ([1.0, 2.0], [1.0], "against"),
        ([], [], "no measured values"),
        ([0.0], [1.0], "must be > 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(measured, predicted, message):
    with pytest.raises(InputError, match=message):
        accuracy(np.array(measured), np.array(predicted))


def test_the_noise_floor_is_half_the_spread_of_a_pair():
    got = noise_floor(np.array([10.0, 20.0]), np.array([0.1, 0.2]))
    assert got.mae == pytest.approx(1.25)  # 0.5 and 2
    assert got.mape == pytest.approx(0.075)


def test_half_the_spread_has_the_size_of_a_labels_own_error():
    """Simulated pairs around a known mean: the floor's mean relative error is that of the labels."""
    rng = np.random.default_rng(3)
    runs = 50 * (1 + 0.02 * rng.normal(size=(20_000, 2)))
    label = runs.mean(1)
    floor = noise_floor(label, np.abs(runs[:, 0] - runs[:, 1]) / label)
    assert floor.mape == pytest.approx(np.abs(label - 50).mean() / 50, rel=0.03)


KEYS = st.lists(st.sampled_from([f"k{i}" for i in range(12)]), min_size=24, max_size=60)


@given(keys=KEYS, count=st.integers(2, 5), seed=st.integers(0, 1000))
def test_a_key_never_stands_in_two_folds_and_every_fold_is_tested(keys, count, seed):
    keys += [f"k{i}" for i in range(5)]
    fold = folds(keys, count, seed)
    assert all(len({f for f, k in zip(fold, keys, strict=True) if k == key}) == 1 for key in keys)
    assert set(fold) == set(range(count))


@given(keys=KEYS, seed=st.integers(0, 1000))
def test_folds_do_not_depend_on_the_order_of_the_rows(keys, seed):
    keys += ["k1", "k2", "k3"]
    by_key = dict(zip(keys, folds(keys, 3, seed), strict=True))
    assert by_key == dict(zip(keys[::-1], folds(keys[::-1], 3, seed), strict=True))


def test_folds_of_pairs_are_even():
    keys = [f"script{i}" for i in range(50) for _ in range(2)]
    assert np.bincount(folds(keys, 10, 1)).tolist() == [10] * 10


def test_holdout_tests_one_script_in_ten_whole():
    keys = [f"script{i}" for i in range(520) for _ in range(2)]
    tested = holdout(keys, 0.1, 5)
    assert (tested == 0).sum() == 104
    assert len({k for k, t in zip(keys, tested, strict=True) if t == 0}) == 52
    assert (holdout(keys, 0.1, 6) != tested).any()


def test_splits_that_leave_a_side_empty_are_refused():
    with pytest.raises(InputError, match="10 folds"):
        folds(["a", "b"], 10, 0)
    with pytest.raises(InputError, match="one side empty"):
        holdout(["a", "b"], 0.1, 0)
