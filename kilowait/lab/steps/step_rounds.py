"""What is left out together when labelled steps are predicted: kinds of network, whole sources, GPU types."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kilowait.core.arrays import Mask
from kilowait.core.errors import InputError
from kilowait.lab.steps.labelled_steps import OPERATORS, LabelledStep
from kilowait.predict.splits import folds

FAMILY, SOURCE, TYPE = "family", "source", "type"
_KEYS: dict[str, Callable[[LabelledStep], str]] = {
    FAMILY: lambda label: label.family,
    SOURCE: lambda label: label.source,
    TYPE: lambda label: label.gpu,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRound:
    """Labels `tested` (N,) by a model of the labels `train` (N,); `novelty` says what of theirs it has not seen."""

    novelty: str
    tested: Mask
    train: Mask


def step_rounds(labels: Sequence[LabelledStep], novelty: str, count: int, seed: int) -> Iterator[StepRound]:
    """`count` rounds in each of which other families or types are left out, or one a source.

    Single operators are never tested, and never left out as a source: they are no programs. Raises InputError for
    fewer than two groups.
    """
    keys = [_KEYS[novelty](label) for label in labels]
    whole = np.array([label.source != OPERATORS for label in labels])
    names = sorted({key for key, is_whole in zip(keys, whole, strict=True) if is_whole})
    if len(names) < 2:
        raise InputError(f"to leave out a {novelty} there must be two at least, got {', '.join(names) or 'none'}")
    index = np.array([names.index(key) if key in names else -1 for key in keys])
    fold_of_name = np.arange(len(names)) if novelty == SOURCE else folds(names, min(count, len(names)), seed)
    fold = np.where(index >= 0, fold_of_name[index], -1)
    for k in range(int(fold.max()) + 1):
        left_out = fold == k
        if novelty == FAMILY:
            left_out = left_out & whole
        yield StepRound(novelty=novelty, tested=left_out & whole, train=~left_out)
