"""Which of two device types is faster for each program: what a scheduler asks of a prediction first."""

from dataclasses import dataclass

import numpy as np

from kilowait.core.arrays import FloatArray, Mask
from kilowait.core.errors import InputError
from kilowait.report.interval import RESAMPLES

"""Of whole programs, for the intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceAccuracy:
    """How often the faster of two types was picked, and what the wrong picks cost.

    `balanced` is the mean of the shares right among programs faster on the first type and among those faster on the
    second: 0.5 for any constant answer. `time_lost` is the time on the picked types over the time on the faster ones,
    less 1; long programs dominate it, so `ratio_lost` gives the same of the geometric mean over programs. Each with its
    95% bootstrap interval (low, high) over programs.
    """

    n: int
    right: float
    right_interval: tuple[float, float]
    balanced: float
    balanced_interval: tuple[float, float]
    time_lost: float
    time_lost_interval: tuple[float, float]
    ratio_lost: float
    ratio_lost_interval: tuple[float, float]


def choice(measured: FloatArray, predicted: FloatArray, seed: int) -> ChoiceAccuracy:
    """Compare picks with the truth; measured and predicted (n, 2) are times of n programs on the two types.

    Programs that take equally long on both are left out. Raises InputError when one type is never the faster.
    """
    differing = measured[:, 0] != measured[:, 1]
    measured, predicted = measured[differing], predicted[differing]
    truth = measured[:, 1] < measured[:, 0]
    if truth.all() or not truth.any():
        raise InputError(f"one of two device types is the faster for all of {len(truth)} programs: nothing to choose")
    pick = predicted[:, 1] < predicted[:, 0]
    rng = np.random.default_rng(seed)
    scores = _scores(measured, truth, pick)
    rows = rng.integers(0, len(truth), size=(RESAMPLES, len(truth)))
    resampled_scores = np.array([_scores(measured[r], truth[r], pick[r]) for r in rows])
    low, high = np.nanquantile(resampled_scores, [0.025, 0.975], axis=0)
    spans = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    return ChoiceAccuracy(
        n=len(truth),
        right=scores[0],
        right_interval=spans[0],
        balanced=scores[1],
        balanced_interval=spans[1],
        time_lost=scores[2],
        time_lost_interval=spans[2],
        ratio_lost=scores[3],
        ratio_lost_interval=spans[3],
    )


def majority(measured: FloatArray, seed: int) -> ChoiceAccuracy:
    """The accuracy of one constant answer: the type that is faster for more of these very programs."""
    second_is_faster = (measured[:, 1] < measured[:, 0]).sum() * 2 > (measured[:, 1] != measured[:, 0]).sum()
    constant = np.array([2.0, 1.0] if second_is_faster else [1.0, 2.0])
    return choice(measured, np.tile(constant, (len(measured), 1)), seed)


def _scores(measured: FloatArray, truth: Mask, pick: Mask) -> tuple[float, ...]:
    """Share right, balanced, time lost, ratio lost; a resample with one kind of program has no balanced share."""
    right = pick == truth
    shares = [
        float(right[truth == second_faster].mean()) if (truth == second_faster).any() else np.nan
        for second_faster in (False, True)
    ]
    best = measured.min(1)
    picked_time = np.where(pick, measured[:, 1], measured[:, 0])
    return (
        float(right.mean()),
        (shares[0] + shares[1]) / 2,
        float(picked_time.sum() / best.sum() - 1),
        float(np.exp(np.log(picked_time / best).mean()) - 1),
    )
