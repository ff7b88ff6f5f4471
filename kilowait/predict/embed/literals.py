"""Numbers written in a source, and the tokens that they end in.

How long a program runs is written in its numbers - steps, widths, batch sizes - while a pooled hidden state tells
mostly what kind of program it is.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

NUMBER = re.compile(r"(?<![\w.])\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w|\.\d)")
"""Decimal literals: 64, 1_000, 0.1, 3e-4; not the digits of names, versions, or hexadecimal literals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Literals:
    """Numbers in order: the index of the token each ends in, and its weight log(1 + value)."""

    tokens: list[int]
    weights: list[float]

    def within(self, window: range) -> "Literals":
        """Those that end in `window`, counted from its start."""
        inside = [(t, w) for t, w in zip(self.tokens, self.weights, strict=True) if t in window]
        return Literals(tokens=[t - window.start for t, _ in inside], weights=[w for _, w in inside])


def find_literals(text: str, spans: Sequence[tuple[int, int]]) -> Literals:
    """The numbers of `text`, whose tokens stand for the characters `spans`; infinite ones are left out."""
    starts = [start for start, _ in spans]
    numbers = [(match.end() - 1, float(match[0].replace("_", ""))) for match in NUMBER.finditer(text)]
    finite = [
        (bisect_right(starts, position) - 1, math.log1p(value)) for position, value in numbers if math.isfinite(value)
    ]
    return Literals(tokens=[token for token, _ in finite], weights=[weight for _, weight in finite])
