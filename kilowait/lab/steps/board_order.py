"""Which of two boards is the faster one for a program, measured and predicted."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from kilowait.core.arrays import FloatArray

APART = 1.1
"""Pairs whose measured times differ by less than this factor are not asked for."""
NAMED = "A100", "A6000"
"""The pair that is named apart; a board's other memory sizes count as it."""
LONG_S = 1e-3
"""What both boards of a *long* pair take at least: below, a step is mostly its launches, and a board's host decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardOrder:
    """`pairs` of boards that one program was measured on and that differ, and the share put in the `right` order.

    `named_pairs` and `named_right` are those of `NAMED`, the `long` ones of pairs of at least `LONG_S`. A share of no
    pairs is None.
    """

    pairs: int
    right: float | None
    named_pairs: int
    named_right: float | None
    long_pairs: int
    long_right: float | None
    named_long_pairs: int
    named_long_right: float | None

    @classmethod
    def of(
        cls, programs: Sequence[str], boards: Sequence[str], measured: FloatArray, predicted: FloatArray
    ) -> "BoardOrder":
        """Of N rows: a program's name, its board, seconds measured and predicted; equal predictions are wrong."""
        found = [
            _Pair(
                is_right=bool((measured[i] - measured[j]) * (predicted[i] - predicted[j]) > 0),
                named={_family(boards[i]), _family(boards[j])} == set(NAMED),
                long=bool(min(measured[i], measured[j]) >= LONG_S),
            )
            for i, j in _pairs(programs, boards)
            if max(measured[i], measured[j]) > APART * min(measured[i], measured[j])
        ]
        return cls(
            pairs=len(found),
            right=_share(found),
            named_pairs=sum(pair.named for pair in found),
            named_right=_share([pair for pair in found if pair.named]),
            long_pairs=sum(pair.long for pair in found),
            long_right=_share([pair for pair in found if pair.long]),
            named_long_pairs=sum(pair.named and pair.long for pair in found),
            named_long_right=_share([pair for pair in found if pair.named and pair.long]),
        )


class _Pair(NamedTuple):
    """Two boards that one program was measured on."""

    is_right: bool
    named: bool
    long: bool


def _pairs(programs: Sequence[str], boards: Sequence[str]) -> Iterator[tuple[int, int]]:
    rows = defaultdict(list)
    for row, program in enumerate(programs):
        rows[program].append(row)
    for group in rows.values():
        yield from ((i, j) for i, j in combinations(group, 2) if boards[i] != boards[j])


def _family(board: str) -> str:
    return next((name for name in NAMED if board == name or board.startswith(f"{name}-")), board)


def _share(pairs: Sequence[_Pair]) -> float | None:
    return float(np.mean([pair.is_right for pair in pairs])) if pairs else None
