"""Who trains and who is tested. Whole scripts, or whole groups of siblings, change sides together.

A script has a row for each device type: rows split one by one would train on the answer. A group (hyperparameter
siblings and rewritten twins) is stricter still.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from kilowait.core.arrays import IntArray
from kilowait.core.errors import InputError

FOLDS = 10
"""Of a cross-validation, unless its command is told otherwise."""


def folds(keys: Sequence[str], count: int, seed: int) -> IntArray:
    """A fold 0..count-1 for each row such that equal keys share it, balanced by rows (N,).

    Keys are dealt in random order, the largest first, each to the smallest fold. The result depends on the set of
    keys and the seed, not on the order of the rows. Raises InputError with fewer keys than folds.
    """
    sizes = Counter(keys)
    if count < 2 or len(sizes) < count:
        raise InputError(f"{count} folds need at least 2 and at most as many as scripts or groups, {len(sizes)}")
    fold_of: dict[str, int] = {}
    load = [0] * count
    for key in sorted(_shuffled(sizes, seed), key=lambda key: -sizes[key]):
        fold_of[key] = load.index(min(load))
        load[fold_of[key]] += sizes[key]
    return np.array([fold_of[key] for key in keys], dtype=np.int64)


def holdout(keys: Sequence[str], share: float, seed: int) -> IntArray:
    """0 for the rows of a random `share` of the keys (the test), -1 for the rest (N,); the paper's is 0.1.

    Raises InputError when that leaves either side empty.
    """
    distinct = _shuffled(Counter(keys), seed)
    test_keys = set(distinct[: round(len(distinct) * share)])
    if not test_keys or len(test_keys) == len(distinct):
        raise InputError(f"a test share of {share!r} of {len(distinct)} scripts leaves one side empty")
    return np.array([0 if key in test_keys else -1 for key in keys], dtype=np.int64)


def _shuffled(keys: Counter[str], seed: int) -> list[str]:
    ordered = sorted(keys)
    return [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]
