"""Which of two boards is the faster one for a program, measured and predicted."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from kilowait.core.arrays import FloatArray

APART = 1.1
"""Pairs whose measured times differ by less than this factor are not asked for."""
NAMED = "A100", "A6000"
"""The pair that is named apart; a board's other memory sizes count as it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardOrder:
    """`pairs` of boards that one program was measured on and that differ, and the share put in the `right` order.

    `named_pairs` and `named_right` are those of `NAMED`. A share of no pairs is None.
    """

    pairs: int
    right: float | None
    named_pairs: int
    named_right: float | None

    @classmethod
    def of(
        cls, programs: Sequence[str], boards: Sequence[str], measured: FloatArray, predicted: FloatArray
    ) -> "BoardOrder":
        """Of N rows: a program's name, its board, seconds measured and predicted; equal predictions are wrong."""
        right, named = [], []
        for i, j in _pairs(programs, boards):
            if max(measured[i], measured[j]) > APART * min(measured[i], measured[j]):
                is_right = (measured[i] < measured[j]) == (predicted[i] < predicted[j]) and predicted[i] != predicted[j]
                right.append(bool(is_right))
                if {_family(boards[i]), _family(boards[j])} == set(NAMED):
                    named.append(bool(is_right))
        return cls(pairs=len(right), right=_share(right), named_pairs=len(named), named_right=_share(named))


def _pairs(programs: Sequence[str], boards: Sequence[str]) -> Iterator[tuple[int, int]]:
    rows = defaultdict(list)
    for row, program in enumerate(programs):
        rows[program].append(row)
    for group in rows.values():
        yield from ((i, j) for i, j in combinations(group, 2) if boards[i] != boards[j])


def _family(board: str) -> str:
    return next((name for name in NAMED if board == name or board.startswith(f"{name}-")), board)


def _share(right: Sequence[bool]) -> float | None:
    return float(np.mean(right)) if right else None
