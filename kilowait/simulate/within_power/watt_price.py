"""What a watt of a power budget is worth, so that all boards together just use it up.

A job under a limit holds its boards longer and its watts lower. Where a budget is too small for all boards at their own
limits, the most work is done when one more watt would speed every job up alike: each job takes the limit of the least
seconds times (1 + price x watts above idle), at the one price at which jobs like the last ones, on all boards, draw the
budget. It is the multiplier of the budget in the problem of the most work a second (S. Boyd, L. Vandenberghe, "Convex
Optimization", chapter 5.4), found by bisection.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.jobs import Job, PowerLimit, Prediction

LOOKED_AT = 512
"""So many of the last pairs of a job and a type stand for what is to come."""
GROWTH, MOST_BETWEEN = 1.5, 4096
"""The price is found anew when there are half as many pairs again, and at the latest after so many."""
HIGHEST = 1.0
"""Per watt: above it seconds no longer count."""
EXACT = 1.02
"""Bisection ends when the bounds of the price are within this factor."""

Choices = Callable[[Prediction, Job, str], list[PowerLimit]]
"""What is expected of a job on a type under each limit that it may get."""


@dataclass(slots=True, kw_only=True)
class WattPrice:
    """`room_w` are the budget's watts above those of idle boards, `boards` and `idle_w` are by type.

    `price` is per watt: 0 where the boards' own limits fit, and before the first job.
    """

    room_w: float
    boards: Mapping[str, int]
    idle_w: Mapping[str, float]
    choices: Choices
    price: float = 0.0
    known: int = 0
    next_at: int = 1
    last: deque[tuple[str, Job, Prediction]] = field(default_factory=lambda: deque(maxlen=LOOKED_AT))

    def add(self, job: Job, predictions: Mapping[str, Prediction]) -> None:
        """A job has been accepted, with what is expected of it by type."""
        for gpu_type in self.boards:
            if gpu_type in predictions:
                self.last.append((gpu_type, job, predictions[gpu_type]))
                self.known += 1
        if self.known >= self.next_at:
            self.next_at = min(int(self.known * GROWTH) + 1, self.known + MOST_BETWEEN)
            self.price = self._found()

    def _found(self) -> float:
        """The least price at which the boards of all types draw no more than there is."""
        gpu_s_PL, above_w_PL = self._table()
        kinds = list(self.boards)
        of_type_TP = np.array([[gpu_type == kind for gpu_type, _, _ in self.last] for kind in kinds])
        boards_T = np.array([self.boards[kind] for kind in kinds], float)
        rows = np.arange(len(gpu_s_PL))

        def drawn_w(price: float) -> float:
            best_P = np.argmin(gpu_s_PL * (1 + price * above_w_PL), axis=1)
            gpu_s_P = gpu_s_PL[rows, best_P]
            shares_T = of_type_TP @ (gpu_s_P * above_w_PL[rows, best_P]), of_type_TP @ gpu_s_P
            return float((boards_T * shares_T[0] / np.where(shares_T[1] > 0, shares_T[1], 1.0)).sum())

        if drawn_w(0.0) <= self.room_w:
            return 0.0
        low, high = 1e-7, HIGHEST
        while high / low > EXACT:
            middle = (low * high) ** 0.5
            low, high = (middle, high) if drawn_w(middle) > self.room_w else (low, middle)
        return high

    def _table(self) -> tuple[FloatArray, FloatArray]:
        """GPU-seconds and watts above idle a board, (pairs, limits); infinite seconds where there is no such limit."""
        found = [(kind, job.gpus_on(kind), self.choices(told, job, kind)) for kind, job, told in self.last]
        most = max(len(choices) for _, _, choices in found)
        gpu_s_PL, above_w_PL = np.full((len(found), most), np.inf), np.zeros((len(found), most))
        for row, (kind, gpus, choices) in enumerate(found):
            gpu_s_PL[row, : len(choices)] = [gpus * choice.runtime_s for choice in choices]
            above_w_PL[row, : len(choices)] = [choice.limit_w - self.idle_w[kind] for choice in choices]
        return gpu_s_PL, above_w_PL
