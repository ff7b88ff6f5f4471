"""Which device type is faster: four programs by hand, and splits that leave device types out."""

import numpy as np
import pytest

from kilowait.core.errors import InputError
from kilowait.lab.evaluate.cross_validation import ModelAnswer, anchor_recipe, mean_recipe, new_types
from kilowait.lab.evaluate.device_choice import choice, majority
from kilowait.lab.evaluate.held_out import held_out
from kilowait.lab.evaluate.rounds import anchored_rounds, device_rounds, transfer_rounds
from kilowait.predict.splits import folds
from tests.support.study_world import inputs_of, noisy_times, study_of

MEASURED = np.array([[1.0, 2.0], [1.0, 3.0], [4.0, 8.0], [6.0, 2.0], [5.0, 5.0]])


def test_picks_of_four_programs_by_hand():
    """First, first, second, second are picked: the third wrongly, at 8 s for 4 s; the fifth is a tie and left out."""
    predicted = np.array([[1.0, 9.0], [1.0, 9.0], [9.0, 1.0], [9.0, 1.0], [1.0, 2.0]])
    got = choice(MEASURED, predicted, seed=0)
    assert got.n == 4
    assert got.right == 3 / 4
    assert got.balanced == pytest.approx((2 / 3 + 1) / 2)
    assert got.time_lost == pytest.approx((1 + 1 + 8 + 2) / 8 - 1)
    assert got.ratio_lost == pytest.approx(2 ** (1 / 4) - 1)
    for name in ("right", "balanced", "time_lost", "ratio_lost"):
        low, high = getattr(got, f"{name}_interval")
        assert low <= getattr(got, name) <= high


def test_the_majority_is_right_where_most_are_and_half_right_when_balanced():
    got = majority(MEASURED, seed=0)
    assert (got.right, got.balanced) == (3 / 4, 0.5)
    assert got.time_lost == pytest.approx((1 + 1 + 4 + 6) / 8 - 1)


def test_the_bootstrap_interval_is_that_of_a_share_of_as_many_programs():
    """Half of 200 right: a standard error of sqrt(0.25 / 200) = 0.0354."""
    predicted = np.array([[1.0, 9.0], [9.0, 1.0], [9.0, 1.0], [9.0, 1.0], [1.0, 2.0]])
    got = choice(np.tile(MEASURED, (50, 1)), np.tile(predicted, (50, 1)), seed=0)
    assert (got.n, got.right) == (200, 0.5)
    low, high = got.right_interval
    assert high - low == pytest.approx(2 * 1.96 * 0.0354, rel=0.1)


def test_nothing_to_choose_is_said():
    with pytest.raises(InputError, match="nothing to choose"):
        choice(MEASURED[:3], MEASURED[:3], seed=0)


def test_a_device_type_is_left_out_with_its_programs_or_alone():
    study = study_of(noisy_times(0, scripts=30))
    study3 = study_of(np.concatenate([noisy_times(0, scripts=30), noisy_times(1, scripts=30)], axis=1))
    fold = folds(study3.row_keys(study3.groups), 5, 0)
    rounds = list(device_rounds(study3.device, fold))
    assert (sum(one.tested.astype(int) for one in rounds) == 1).all()
    for one in rounds:
        (device,), (k,) = set(study3.device[one.tested]), set(fold[one.tested])
        for train in (one.train, *(c.train for c in one.calibrations)):
            assert device not in study3.device[train]
            assert k not in fold[train]
        for c in one.calibrations:
            assert not set(study3.device[c.held]) & {device, *study3.device[c.train]}
            assert not set(fold[c.held]) & {k, *fold[c.train]}
    anchored = list(anchored_rounds(study.device))
    assert [set(study.device[one.train]) for one in anchored] == [{1}, {0}]
    assert all(set(study.script[one.train]) == set(study.script[one.tested]) for one in anchored)


def test_another_corpus_is_tested_by_models_of_the_first_alone():
    tested = np.array([False, False, True, False])
    (one,) = transfer_rounds(tested, np.array([0, 1, -1, 0]))
    assert one.train.tolist() == [True, True, False, True]
    assert [c.train.tolist() for c in one.calibrations] == [[False, True, False, False], [True, False, False, True]]
    assert [c.held.tolist() for c in one.calibrations] == [[True, False, False, True], [False, True, False, False]]


def test_a_recipe_that_knows_types_by_name_answers_for_a_new_one_with_the_mean_of_those_it_knows():
    """Times of 1 s and 4 s on the known types: 2 s on the new one."""
    study = study_of(np.tile([1.0, 4.0, 100.0], (6, 1)))
    mask = study.device != 2
    (got,) = new_types(mean_recipe)(inputs_of(study), "runtime_s", [mask])
    assert got.predicted == pytest.approx(np.tile([1.0, 4.0, 2.0], 6))


def test_types_that_are_known_in_part_keep_their_places():
    """Without its first type and without some labels: each remaining label stays with its script and type."""
    times = np.array([[1.0, 2.0, 3.0], [10.0, np.nan, 30.0], [100.0, 200.0, np.nan]])
    study = study_of(times)
    crossed = study.crossed([1, 2])
    assert crossed.device_types == ("B", "C")
    np.testing.assert_array_equal(crossed.metrics["runtime_s"].reshape(3, 2), times[:, 1:])
    rows = study.crossed_mask(study.metrics["runtime_s"] > 2.5, [1, 2])
    assert crossed.metrics["runtime_s"][rows].tolist() == [3.0, 30.0, 200.0]


def test_an_anchor_is_the_programs_own_mean_on_other_types():
    study = study_of(np.array([[1.0, 4.0, 9.0], [10.0, 40.0, 90.0]]))
    found = held_out(anchor_recipe, inputs_of(study), "runtime_s", list(anchored_rounds(study.device)), calibrate=False)
    assert found.predicted.reshape(2, 3)[:, 2] == pytest.approx([2.0, 20.0])


def test_a_new_type_has_intervals_from_types_that_were_new_to_other_models():
    """Errors on every new type are normal with the same spread, and 50 programs calibrate.

    The 5% tails are then cut at the ceil(0.95 * 51) = 49th of 50 or so: 94% are covered rather than 90%.
    """
    rng = np.random.default_rng(4)
    study = study_of(np.exp(0.5 * rng.normal(size=(200, 4))))

    def ones(inputs, metric, train):
        return [ModelAnswer(predicted=np.ones(len(inputs.study.script))) for _ in train]

    fold = folds(study.row_keys(study.groups), 4, 0)
    rounds = list(device_rounds(study.device, fold))
    found = held_out(ones, inputs_of(study), "runtime_s", rounds, by_device=False)
    inside = (found.low <= study.metrics["runtime_s"]) & (study.metrics["runtime_s"] <= found.high)
    assert inside.mean() == pytest.approx(0.94, abs=0.03)
