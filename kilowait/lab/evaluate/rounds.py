"""Who trains, who calibrates and who is tested, one round after another.

A round tests some rows with a model that has not seen them, and gives them intervals from the residuals of its
calibrations: models that have seen neither the tested rows nor the rows whose residuals they give. The model that
leaves out folds j and k calibrates round k on fold j and round j on fold k, so K folds need K (K + 1) / 2 models.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kilowait.core.arrays import IntArray, Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRows:
    """A model trained on the rows of `train` (N,), and the rows `held` (N,) whose residuals it gives."""

    train: Mask
    held: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The rows `tested` (N,) by a model of the rows `train` (N,), with what calibrates their intervals."""

    tested: Mask
    train: Mask
    calibrations: Sequence[CalibrationRows]


def fold_rounds(fold: IntArray) -> Iterator[Round]:
    """Cross-validation: a round a fold, calibrated on each of the others (fold as in `splits.folds`, or families)."""
    count = int(fold.max()) + 1
    for k in range(count):
        other_folds = [j for j in range(count) if j != k]
        yield Round(
            tested=fold == k,
            train=fold != k,
            calibrations=[CalibrationRows(train=(fold != k) & (fold != j), held=fold == j) for j in other_folds],
        )


def device_rounds(device: IntArray, fold: IntArray) -> Iterator[Round]:
    """A device type and a fold of programs are new together: neither has a row in training.

    Calibrated on every other type as if it were new as well, on one further fold of programs.
    """
    count = int(fold.max()) + 1
    for d in sorted(set(device.tolist())):
        for k in range(count):
            j = k ^ 1 if k ^ 1 < count else 0  # folds in pairs, so that two rounds share a model
            train = (device != d) & (fold != k)
            calibrations = [
                CalibrationRows(train=train & (device != e) & (fold != j), held=(device == e) & (fold == j))
                for e in sorted(set(device.tolist()) - {d})
            ]
            yield Round(tested=(device == d) & (fold == k), train=train, calibrations=calibrations)


def anchored_rounds(device: IntArray) -> Iterator[Round]:
    """A device type is new, the programs are not: each has its labels on the other types.

    Calibrated on every other type as if it were new as well.
    """
    types = sorted(set(device.tolist()))
    for d in types:
        other_types = [e for e in types if e != d]
        yield Round(
            tested=device == d,
            train=device != d,
            calibrations=[CalibrationRows(train=(device != d) & (device != e), held=device == e) for e in other_types],
        )


def transfer_rounds(tested: Mask, fold: IntArray) -> Iterator[Round]:
    """One round: the rows of one corpus tested by a model of another's; `fold` (N,) is -1 for the tested rows."""
    train = ~tested
    yield Round(
        tested=tested,
        train=train,
        calibrations=[
            CalibrationRows(train=train & (fold != j), held=train & (fold == j)) for j in range(int(fold.max()) + 1)
        ],
    )
