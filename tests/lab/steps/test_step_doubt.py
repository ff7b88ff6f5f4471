"""Intervals from errors of what was left out: in worlds whose errors are known, they hold 90% of a group not seen."""

import numpy as np
import pytest

from kilowait.lab.steps.step_doubt import LeftOutErrors, fitted_doubt, quantiles, quantiles_for_a_source
from kilowait.lab.steps.step_scores import PredictedSteps, step_scores


def world(groups: int, rows: int, seed: int) -> LeftOutErrors:
    """Errors of variance 0.04 and 0.25 times a part that says how unlike a label is."""
    rng = np.random.default_rng(seed)
    unlike = rng.uniform(0, 1, groups * rows)
    doubts = np.stack([np.full(groups * rows, 0.04), unlike], axis=1)
    error = rng.standard_normal(groups * rows) * np.sqrt(doubts @ [1.0, 0.25])
    group = [f"g{i // rows}" for i in range(groups * rows)]
    label = [str(i) for i in range(groups * rows)]
    return LeftOutErrors(error=error, doubts=doubts, group=group, source=group, label=label)


def test_what_doubt_is_made_of_is_found_and_holds_for_a_group_left_out() -> None:
    errors = world(groups=6, rows=400, seed=0)
    is_last = np.array([name == "g5" for name in errors.group])
    others, last = errors.without(is_last), errors.taken(is_last.tolist())
    doubt = fitted_doubt(others)
    assert doubt[1] / doubt[0] == pytest.approx(0.25, rel=0.35)
    ends = quantiles(others, doubt)
    sigma = np.sqrt(last.doubts @ np.array(doubt))
    inside = (last.error >= ends.low * sigma) & (last.error <= ends.high * sigma)
    assert 0.86 <= inside.mean() <= 0.94
    unlike, like = last.doubts[:, 1] > 0.5, last.doubts[:, 1] < 0.5
    assert sigma[unlike].mean() > 1.3 * sigma[like].mean()


def test_a_group_of_many_weighs_as_much_as_one_of_few() -> None:
    small, large = np.full(1000, 0.01), np.full(10, 1.0)
    error = np.concatenate([small * np.tile([-1, 1], 500), large * np.tile([-1, 1], 5)])
    errors = LeftOutErrors(
        error=error,
        doubts=np.ones((1010, 1)),
        group=["many"] * 1000 + ["few"] * 10,
        source=["one"] * 1010,
        label=[str(i) for i in range(1010)],
    )
    ends = quantiles(errors, (1.0,))
    assert (ends.low, ends.high) == (pytest.approx(-1.0), pytest.approx(1.0))


def test_a_label_that_is_predicted_is_left_out_wherever_else_it_was() -> None:
    errors = LeftOutErrors(
        error=np.array([0.1, 0.2, 0.3, 0.4]),
        doubts=np.ones((4, 1)),
        group=["family left out: a", "family left out: b", "source left out: a", "source left out: b"],
        source=["a", "b", "a", "b"],
        label=["x", "y", "x", "y"],
    )
    others = errors.without(np.array([True, False, False, False]))
    assert others.error.tolist() == [0.2, 0.4]
    assert others.of("source").error.tolist() == [0.4]


def test_the_ends_for_a_source_hold_each_by_the_errors_of_the_others() -> None:
    """Of ten sources one has errors four times as large: ends of nine would hold few of its errors."""
    spread = np.repeat([4.0, *np.ones(9)], 400)
    errors = LeftOutErrors(
        error=np.random.default_rng(1).standard_normal(4000) * spread,
        doubts=np.ones((4000, 1)),
        group=[f"source left out: {i // 400}" for i in range(4000)],
        source=[str(i // 400) for i in range(4000)],
        label=[str(i) for i in range(4000)],
    )
    held = []
    for name in dict.fromkeys(errors.source):
        is_of = np.array([source == name for source in errors.source])
        others, one = quantiles_for_a_source(errors.without(is_of), (1.0,)), errors.error[is_of]
        held.append(float(((one >= others.low) & (one <= others.high)).mean()))
    assert 0.86 <= np.mean(held) <= 0.94
    plain, moved = quantiles(errors, (1.0,)), quantiles_for_a_source(errors, (1.0,))
    assert moved.low < plain.low < plain.high < moved.high
    few = errors.taken([source in "01" for source in errors.source])
    assert quantiles_for_a_source(few, (1.0,)) == quantiles(few, (1.0,))


def test_scores_of_a_group_by_hand() -> None:
    measured, predicted = np.array([1.0, 2.0, 10.0]), np.array([1.1, 1.8, 20.0])
    steps = PredictedSteps(
        measured=measured,
        predicted=predicted,
        low=predicted / 1.5,
        high=predicted * 1.5,
        program=["a", "b", "c"],
        board=["T4"] * 3,
    )
    good, bad, everything = step_scores(steps, ["good", "good", "bad"])
    assert (good.n, good.median_error, good.mean_error, good.coverage) == (2, pytest.approx(0.1), pytest.approx(0.1), 1)
    assert good.width == pytest.approx(2.25)
    assert (bad.bias, bad.coverage, bad.r2_log) == (pytest.approx(2.0), 0.0, None)
    assert (everything.group, everything.n) == ("all", 3)
