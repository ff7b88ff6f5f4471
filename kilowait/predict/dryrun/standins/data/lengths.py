"""How long the texts of a set are of which one mean length is known.

Eight lengths in turn: the middles of the eighths of a lognormal distribution with the set's mean, the longest 2.2 times
as long as the mean. A batch is padded to its longest row, and with the mean alone it would be too short: of 8 rows of
such a distribution the longest is 2.1 times the mean, of 32 rows 3.0 times (modelled, from 4,000 draws). Here it is at
most 2.2 times, so that two batches of a loop do not tell different stories. The spread (0.6 in the logarithm, which is
a standard deviation of 0.66 of the mean) was chosen, not measured.
"""

from __future__ import annotations

import math
from statistics import NormalDist

SIGMA = 0.6
_EIGHTHS = [math.exp(SIGMA * NormalDist().inv_cdf((place + 0.5) / 8)) for place in range(8)]
LENGTHS = tuple(_EIGHTHS[place] * 8 / sum(_EIGHTHS) for place in (3, 7, 1, 5, 2, 6, 0, 4))
"""Shares of the mean, short and long in turn; their mean is 1."""


def spread(mean: int, number: int) -> int:
    """The length of text `number` of a set: at least 1, and 0 where the mean is."""
    return max(min(mean, 1), round(mean * LENGTHS[number % len(LENGTHS)]))
