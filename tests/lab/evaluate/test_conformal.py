"""Conformal intervals: the paper's definition by brute force, what they cover, and what they must never see."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.lab.evaluate.coverage import coverage
from kilowait.lab.evaluate.cross_validation import ModelAnswer, mean_recipe
from kilowait.lab.evaluate.held_out import held_out
from kilowait.lab.evaluate.rounds import fold_rounds
from kilowait.predict.intervals import (
    Residuals,
    few_effects,
    fitted_scale,
    intervals,
    program_weights,
    upper_quantile,
)
from kilowait.predict.splits import folds
from tests.support.study_world import inputs_of, noisy_times, rounds_of, study_of


@pytest.mark.parametrize(("programs", "expected"), [(18, math.inf), (19, 19.0), (39, 38.0), (199, 190.0)])
def test_the_quantile_is_the_ceiling_of_n_plus_1_times_the_level(programs, expected):
    """At 95%: ceil(0.95 (n + 1)) is 19 of 19, 38 of 39, 190 of 199; of 18 it would be the 19th."""
    values = np.random.default_rng(0).permutation(np.arange(1.0, programs + 1))[None]
    got = upper_quantile(values, program_weights(np.arange(programs)), 0.95)
    assert got.tolist() == [expected]


def test_a_program_weighs_the_same_whatever_its_number_of_labels():
    weights = program_weights(np.array([7, 7, 7, 3]))
    assert weights == pytest.approx([1 / 9, 1 / 9, 1 / 9, 1 / 3])


@given(seed=st.integers(0, 10_000), size=st.integers(40, 80), models=st.integers(2, 5))
def test_intervals_are_those_of_cv_plus_by_its_definition(seed, size, models):
    """Barber et al. 2021, (11): the ceil((1 - a)(n + 1))-th of mu_i(x) + r_i, and the mirror image below."""
    rng = np.random.default_rng(seed)
    which, residual, mu = rng.integers(0, models, size), rng.normal(size=size), rng.normal(size=models)
    zeros = np.zeros(size, dtype=np.int64)
    calibration = Residuals(
        value=residual,
        log_predicted=np.zeros(size),
        scale=np.ones(size),
        calibration=which,
        cluster=np.arange(size),
        category=zeros,
    )
    ends = intervals(calibration, mu[:, None], np.ones((models, 1)), np.array([0]))
    ordered = sorted(mu[which[i]] + residual[i] for i in range(size))
    place = math.ceil(0.95 * (size + 1) - 1e-9)
    assert ends.high[0] == pytest.approx(ordered[place - 1])
    assert ends.low[0] == pytest.approx(ordered[size - place])
    assert ends.borrowed == 0


def test_a_category_with_few_programs_borrows_the_extremes_of_all():
    value = np.concatenate([np.linspace(-3, 5, 100), [0.1, 0.2]])
    calibration = Residuals(
        value=value,
        log_predicted=np.zeros(102),
        scale=np.ones(102),
        calibration=np.zeros(102, dtype=np.int64),
        cluster=np.arange(102),
        category=np.array([0] * 100 + [1] * 2),
    )
    ends = intervals(calibration, np.zeros((1, 3)), np.ones((1, 3)), np.array([0, 1, 2]))
    assert (ends.low[1:].tolist(), ends.high[1:].tolist()) == ([-3, -3], [5, 5])
    assert ends.borrowed == 2
    assert ends.high[0] < 5
    with pytest.raises(InputError, match="no residual"):
        intervals(replace(calibration, value=np.array([])), np.zeros((1, 1)), np.ones((1, 1)), np.array([0]))


def test_the_nominal_coverage_lies_in_the_exact_interval_of_what_is_found_on_every_device_type():
    """Six times as noisy on the second type: each has its own residuals, and intervals six times as wide."""
    study = study_of(noisy_times(3))
    found = held_out(mean_recipe, inputs_of(study), "runtime_s", rounds_of(study))
    widths = []
    for device in (0, 1):
        rows = study.device == device
        got = coverage(study.metrics["runtime_s"][rows], found.low[rows], found.high[rows], study.script[rows])
        assert got.share_low <= 0.9 <= got.share_high
        assert max(got.missed_below, got.missed_above) < 0.09
        widths.append(got.width)
    assert widths[1] / widths[0] == pytest.approx(6, rel=0.25)
    # the distance of the 5% and 95% quantiles of a normal is 3.29 standard deviations
    assert widths[0] == pytest.approx(3.29 * 0.1 / math.log(10), rel=0.2)


def test_labels_of_one_program_on_many_types_do_not_count_as_many_programs():
    """Each program's error is the same on all 5 types; pooled over types, coverage over programs is still 90%."""
    rng = np.random.default_rng(5)
    times = np.exp(np.repeat(rng.normal(size=(300, 1)), 5, axis=1))
    study = study_of(times)
    found = held_out(mean_recipe, inputs_of(study), "runtime_s", rounds_of(study), by_device=False)
    one = study.device == 0
    got = coverage(study.metrics["runtime_s"][one], found.low[one], found.high[one], study.script[one])
    assert got.share_low <= 0.9 <= got.share_high


def test_neither_prediction_nor_interval_of_a_fold_depends_on_its_labels():
    times = noisy_times(1, scripts=60)
    study = study_of(times)
    fold = folds(study.row_keys(study.groups), 5, 0)
    before = held_out(mean_recipe, inputs_of(study), "runtime_s", list(fold_rounds(fold)))
    for k in range(5):
        labels = np.where(fold == k, study.metrics["runtime_s"] * 1000, study.metrics["runtime_s"])
        changed = replace(study, metrics={"runtime_s": labels})
        after = held_out(mean_recipe, inputs_of(changed), "runtime_s", list(fold_rounds(fold)))
        for name in ("predicted", "low", "high"):
            np.testing.assert_array_equal(getattr(before, name)[fold == k], getattr(after, name)[fold == k])
        assert (before.high[fold != k] != after.high[fold != k]).any()


def test_no_model_behind_a_calibration_has_seen_its_held_rows_or_the_tested_ones():
    study = study_of(noisy_times(2, scripts=40), group_size=2)
    groups = np.array(study.row_keys(study.groups))
    for one in rounds_of(study, 4):
        assert not set(groups[one.tested]) & set(groups[one.train])
        assert (sum(c.held.astype(int) for c in one.calibrations) + one.tested == 1).all()
        for calibration in one.calibrations:
            seen = set(groups[calibration.train])
            assert not seen & set(groups[one.tested])
            assert not seen & set(groups[calibration.held])


def doubtful(sigma=False, wide=False):
    """The mean recipe that knows that scripts with an odd number are far noisier."""

    def recipe(inputs, metric, train):
        odd = inputs.study.script % 2 == 1
        found = mean_recipe(inputs, metric, train)
        scale = np.where(odd, 8.0, 1.0) if sigma else None
        return [ModelAnswer(predicted=one.predicted, sigma=scale, wide=odd if wide else None) for one in found]

    return recipe


def odd_world(scripts=400):
    rng = np.random.default_rng(9)
    noise = np.where(np.arange(scripts) % 2 == 1, 0.8, 0.1)
    return np.exp(rng.normal(size=(scripts, 1)) * noise[:, None])


@pytest.mark.parametrize("how", ["sigma", "wide"])
def test_where_a_recipe_has_doubts_its_intervals_are_wider_and_elsewhere_narrower(how):
    study = study_of(odd_world())
    odd = study.script % 2 == 1
    plain, told = (
        held_out(recipe, inputs_of(study), "runtime_s", rounds_of(study))
        for recipe in (doubtful(), doubtful(**{how: True}))
    )
    width = {name: np.log10(found.high / found.low) for name, found in (("plain", plain), ("told", told))}
    assert width["told"][odd].mean() / width["told"][~odd].mean() == pytest.approx(8, rel=0.3)
    assert width["told"].mean() < 0.9 * width["plain"].mean()
    for rows in (odd, ~odd):
        got = coverage(study.metrics["runtime_s"][rows], told.low[rows], told.high[rows], study.script[rows])
        assert got.share_low <= 0.9 <= got.share_high


def test_the_interval_holds_the_prediction_and_is_left_out_where_it_is_not_asked_for():
    study = study_of(noisy_times(4, scripts=50))
    found = held_out(mean_recipe, inputs_of(study), "runtime_s", rounds_of(study))
    assert ((found.low > 0) & (found.low <= found.predicted) & (found.predicted <= found.high)).all()
    without = held_out(mean_recipe, inputs_of(study), "runtime_s", rounds_of(study), calibrate=False)
    np.testing.assert_array_equal(without.predicted, found.predicted)
    assert np.isnan(without.low).all()


def test_a_prediction_that_is_no_number_is_refused():
    def broken(inputs, metric, train):
        return [ModelAnswer(predicted=np.full(len(inputs.study.script), np.nan)) for _ in train]

    study = study_of(noisy_times(4, scripts=50))
    with pytest.raises(InputError, match="NaN or infinity"):
        held_out(broken, inputs_of(study), "runtime_s", rounds_of(study))


def test_the_small_model_of_residuals_follows_them():
    """Residuals ten times as large for long programs as for short ones."""
    rng = np.random.default_rng(0)
    log = rng.uniform(-5, 5, size=3000)
    residual = rng.normal(size=3000) * np.where(log > 0, 1.0, 0.1)
    low, high = fitted_scale(residual, log, np.array([-4.0, 4.0]))
    assert 4 < high / low < 20
    assert fitted_scale(residual[:9], log[:9], np.zeros(3)).tolist() == [1, 1, 1]


def test_coverage_by_hand():
    """9 of 10 inside; Clopper and Pearson's 95% interval of 9 / 10 is 0.5550 to 0.9975."""
    measured = np.arange(1.0, 11.0)
    got = coverage(measured, measured * 0.5, np.append(measured[:9] * 5, 9.9), np.arange(10))
    assert (got.n, got.share) == (10, 0.9)
    assert (got.share_low, got.share_high) == (pytest.approx(0.5550, abs=1e-4), pytest.approx(0.9975, abs=1e-4))
    assert (got.missed_below, got.missed_above) == (0, 0.1)
    assert got.width == pytest.approx((9 + math.log10(9.9 / 5)) / 10)
    with pytest.raises(InputError, match="0 < low <= high"):
        coverage(measured, measured, measured / 2, np.arange(10))


def test_labels_that_miss_together_say_less_about_coverage():
    """200 programs with 5 equal labels each, 90% covered: a standard error of sqrt(0.09 / 200) = 0.0212, not 0.0095."""
    measured, program = np.ones(1000), np.repeat(np.arange(200), 5)
    high = np.where(program < 180, 2.0, 0.9)
    got = coverage(measured, np.full(1000, 0.5), high, program)
    assert got.program_high - got.program_low == pytest.approx(2 * 1.96 * 0.0212, rel=0.1)
    assert got.share_high - got.share_low == pytest.approx(2 * 1.96 * 0.0095, rel=0.1)


def test_few_effects_stretch_as_students_t_does_and_remainders_do_not():
    """Scores without a remainder of two effects: t(1) at 95% is 6.314, normal 1.645, sqrt(1 + 1/2) = 1.225."""
    effect = np.repeat([0, 1], 50)
    assert few_effects(np.where(effect, 1.0, -1.0), effect) == pytest.approx(6.3138 / 1.6449 * 1.5**0.5, rel=1e-3)
    alike = np.tile(np.array([-1.0, 1.0]), 50)
    assert few_effects(alike, effect) == 1
    assert few_effects(alike, np.zeros(100, dtype=np.int64)) == 1
    many = np.random.default_rng(0).normal(size=400).repeat(5)
    assert few_effects(many, np.arange(400).repeat(5)) == pytest.approx(1, abs=0.01)


def test_a_further_effect_is_covered_although_few_are_known():
    """Effects of standard deviation 1 shared by 40 rows, remainders of 0.3; 8 effects known, a ninth is predicted."""
    rng, inside, plain = np.random.default_rng(3), [], []
    for _ in range(300):
        effect = np.repeat(np.arange(8), 40)
        scores = rng.normal(size=8)[effect] + 0.3 * rng.normal(size=320)
        truth = rng.normal() + 0.3 * rng.normal(size=40)
        for stretched, out in ((effect, inside), (None, plain)):
            zeros, ones = np.zeros(320), np.ones(320)
            own = Residuals(
                value=scores,
                log_predicted=zeros,
                scale=ones,
                calibration=np.zeros(320, dtype=np.int64),
                cluster=np.tile(np.arange(40), 8),
                category=np.zeros(320, dtype=np.int64),
                effect=stretched,
            )
            ends = intervals(own, np.zeros((1, 40)), np.ones((1, 40)), np.zeros(40, dtype=np.int64))
            out.append(((ends.low <= truth) & (truth <= ends.high)).mean())
    assert np.mean(plain) < 0.86
    assert 0.87 < np.mean(inside) < 0.95
