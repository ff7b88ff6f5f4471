"""What policies may see: properties of every kind of information, and cases one can work out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.lab.backtest.scenario.noise import ErrorPool
from kilowait.lab.backtest.scenario.paper_scenario import Sample, paper_scenario, sample_rng
from kilowait.lab.study.information import (
    MENU_S,
    Bias,
    InjectedError,
    MeasuredErrors,
    NoPrediction,
    Oracle,
    UserEstimates,
    information_rng,
    rounded_up_s,
    seen_through,
    typical_jobs,
)
from tests.support.timelines import job

KINDS = (
    Oracle(),
    NoPrediction(typical={t: Prediction(runtime_s=7, energy_kwh=1) for t in ("A100", "A6000")}),
    UserEstimates(),
    MeasuredErrors(pool=ErrorPool(model="m", log_errors=np.array([[[0.1, 0.2], [0.3, 0.4]]]), dropped=0)),
    InjectedError(level=0.5, shared=False),
    InjectedError(level=0.5, shared=True),
    Bias(factor=2.0),
    Bias(factor=2.0, gpu_type="A6000"),
)


def scenario():
    return paper_scenario(sample_rng(1, "test", 0), classes="calibrated")


def ratios(sample):
    """seen over true seconds of every job, by type."""
    return {
        t: np.array([s.seen[t].runtime_s / s.truth[t].runtime_s for s in sample.submissions]) for t in sample.inventory
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_only_what_is_seen_changes_and_the_same_draw_repeats(kind):
    sample = scenario()
    seen = seen_through(kind, sample, information_rng(1, 0))
    assert [(s.job, s.truth) for s in seen.submissions] == [(s.job, s.truth) for s in sample.submissions]
    assert seen.inventory == sample.inventory
    assert seen == seen_through(kind, sample, information_rng(1, 0))
    assert (seen == sample) == isinstance(kind, Oracle)


def test_without_a_prediction_every_job_looks_like_the_mean_of_other_jobs():
    earlier = [
        Sample(submissions=(job("a", A100=(10, 1), A6000=(20, 3)),), inventory={"A100": 1, "A6000": 1}),
        Sample(submissions=(job("b", A100=(30, 2)),), inventory={"A100": 1, "A6000": 1}),
    ]
    seen = seen_through(typical_jobs(earlier), scenario(), information_rng(1, 0))
    for submission in seen.submissions:
        assert submission.seen == {
            "A100": Prediction(runtime_s=20, energy_kwh=1.5),
            "A6000": Prediction(runtime_s=20, energy_kwh=3),
        }


def test_a_type_that_no_earlier_job_used_is_named():
    with pytest.raises(InputError, match="run on A100"):
        seen_through(NoPrediction(typical={}), scenario(), information_rng(1, 0))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1, 300), (300, 300), (301, 600), (3601, 5400), (7 * 86_400, 604_800), (604_801, 1_209_600), (9e5, 1_209_600)],
)
def test_estimates_are_round(seconds, said):
    assert rounded_up_s(seconds) == said


def test_an_estimate_without_stretch_by_hand():
    one = job("a", gpus=2, A100=(3500, 0.5), A6000=(9999, 0.9))
    sample = Sample(submissions=(one,), inventory={"A100": 2, "A6000": 2})
    (seen,) = seen_through(UserEstimates(badness=0.0), sample, information_rng(1, 0)).submissions
    # 3500 s on the A100 are called an hour on either; two boards at 400 W draw 0.8 kWh in it, two at 300 W 0.6
    assert [seen.seen[t].runtime_s for t in ("A100", "A6000")] == [3600, 3600]
    assert [seen.seen[t].energy_kwh for t in ("A100", "A6000")] == pytest.approx([0.8, 0.6])


@given(st.floats(0.1, 1e6), st.floats(0, 9), st.integers(0, 1000))
def test_users_never_guess_too_little_and_always_a_round_time(seconds, badness, seed):
    sample = Sample(submissions=(job("a", A100=(seconds, 1)),), inventory={"A100": 1})
    (seen,) = seen_through(UserEstimates(badness=badness), sample, information_rng(seed, 0)).submissions
    guess_s = seen.seen["A100"].runtime_s
    assert guess_s >= seconds
    assert guess_s in MENU_S or guess_s % MENU_S[-1] == 0
    below = [value for value in MENU_S if value < guess_s] or [0.0]
    assert below[-1] < seconds * (1 + badness) * (1 + 1e-9)


def many(count):
    return Sample(
        submissions=tuple(job(f"j{i:05}", A100=(100, 1), A6000=(200, 2)) for i in range(count)),
        inventory={"A100": 1, "A6000": 1},
    )


@pytest.mark.parametrize("level", [0.1, 0.5, 1.0])
def test_the_level_of_an_error_is_what_it_says(level):
    error = InjectedError(level=level, shared=False)
    found = ratios(seen_through(error, many(20_000), information_rng(3, 0)))["A100"]
    assert np.median(np.maximum(found, 1 / found)) - 1 == pytest.approx(level, rel=0.05)
    assert np.median(found) == pytest.approx(1, abs=0.03)
    assert np.median(np.abs(found - 1)) == pytest.approx(error.median_ape, rel=0.05)


def test_shared_errors_keep_the_ratio_between_types_and_independent_ones_do_not():
    shared = ratios(seen_through(InjectedError(level=0.5, shared=True), many(2000), information_rng(3, 0)))
    np.testing.assert_allclose(shared["A100"], shared["A6000"])
    apart = ratios(seen_through(InjectedError(level=0.5, shared=False), many(2000), information_rng(3, 0)))
    assert abs(np.corrcoef(np.log(apart["A100"]), np.log(apart["A6000"]))[0, 1]) < 0.1


def test_levels_are_paired_and_energy_takes_the_factor_of_the_seconds():
    low, high = (
        seen_through(InjectedError(level=level, shared=False), many(50), information_rng(3, 0)) for level in (0.1, 0.9)
    )
    scale = math.log(1.9) / math.log(1.1)
    for t in ("A100", "A6000"):
        np.testing.assert_allclose(np.log(ratios(high)[t]), scale * np.log(ratios(low)[t]))
    for submission in high.submissions:
        seen, truth = submission.seen["A6000"], submission.truth["A6000"]
        assert seen.energy_kwh / truth.energy_kwh == pytest.approx(seen.runtime_s / truth.runtime_s)


def test_no_error_is_the_truth():
    error = InjectedError(level=0.0, shared=False)
    assert error.median_ape == 0
    assert seen_through(error, many(3), information_rng(3, 0)) == many(3)


def test_bias_of_one_type():
    seen = seen_through(Bias(factor=0.5, gpu_type="A6000"), many(1), information_rng(3, 0)).submissions[0].seen
    assert seen == {
        "A100": Prediction(runtime_s=100, energy_kwh=1),
        "A6000": Prediction(runtime_s=100, energy_kwh=1),
    }


def test_what_is_seen_never_moves_the_sample():
    drawn = information_rng(1, 0).random(8)
    for role in ("test", "validation"):
        assert not np.array_equal(drawn, sample_rng(1, role, 0).random(8))


@pytest.mark.parametrize(
    "make",
    [
        lambda: UserEstimates(badness=-1),
        lambda: InjectedError(level=math.nan, shared=True),
        lambda: Bias(factor=0),
    ],
)
def test_parameters_out_of_range_are_refused(make):
    with pytest.raises(InputError, match="must be finite"):
        make()
