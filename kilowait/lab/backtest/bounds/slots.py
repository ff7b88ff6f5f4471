"""Where the jobs of a small sample may start: points of a grid and the open intervals between them.

A start in the interval (p, q) is charged as if at p, and surely holds its GPUs from q to the end of a run begun at p.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from kilowait.core.arrays import FloatArray, Mask
from kilowait.lab.backtest.bounds.lower_bounds import Relaxation
from kilowait.policies.planning.time_indexed import Column

SLACK = 1e-9
"""Share of the costs that rounding cannot reach: what lies so close to what is left to gain is kept."""


def columns(relaxation: Relaxation, points: Mapping[str, Iterable[float]], gain_s: float) -> list[Column]:
    """A column for every job, type and slot that a schedule at most `gain_s` above the bound may use.

    `points` holds the grid of each type, times of submission among it. A slot is kept where the reduced cost is at most
    `gain_s`, and where the job is submitted or some job of its type may end. Ends of slots are computed as the
    simulator computes them, and rounding keeps order, so no end is lost to it.
    """
    found: list[Column] = []
    for j, name in enumerate(relaxation.pairs.types):
        if (relaxation.pairs.type == j).any():
            found += _columns_on(relaxation, j, np.array(sorted(points[name])), gain_s)
    return found


def _columns_on(relaxation: Relaxation, j: int, grid_s: FloatArray, gain_s: float) -> list[Column]:
    pairs = relaxation.pairs
    rows = np.flatnonzero(pairs.type == j)
    low_s, high_s = _slots(grid_s)
    release_s, runtime_s = pairs.release_s[rows][:, None], pairs.runtime_s[rows][:, None]
    excess_s = relaxation.least_excess_s(rows, low_s, high_s)
    worth = (low_s >= release_s) & (excess_s <= gain_s + SLACK * (1 + relaxation.bound_s + gain_s))
    kept = _reached(worth, low_s == high_s, low_s == release_s, grid_s, low_s + runtime_s, high_s + runtime_s)
    return [
        Column(
            job_id=pairs.ids[pairs.job[q]],
            gpu_type=pairs.types[j],
            gpus=int(pairs.gpus[q]),
            start_s=float(low_s[m]),
            held_from_s=float(high_s[m]),
            held_until_s=float(low_s[m] + pairs.runtime_s[q]),
            cost_s=float(low_s[m] - pairs.release_s[q] + pairs.price_s[q]),
        )
        for q, m in zip(rows[kept[0]].tolist(), kept[1].tolist(), strict=True)
    ]


def _slots(grid_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where slots begin and end: a point, the interval after it, the next point, ...; the last interval is endless."""
    low_s = np.repeat(grid_s, 2)
    high_s = np.append(low_s[1:], np.inf)
    high_s[::2] = grid_s
    return low_s, high_s


def _reached(
    worth: Mask, point: Mask, released: Mask, grid_s: FloatArray, first_end_s: FloatArray, last_end_s: FloatArray
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and slots that are worth it and that a chain of starts at ends leads to, from starts at submission."""
    first, last = _place(first_end_s, grid_s), _place(last_end_s, grid_s)
    kept = worth & released & point
    while True:
        marks = np.zeros(worth.shape[1] + 1, dtype=np.int64)
        np.add.at(marks, first[kept], 1)
        np.add.at(marks, last[kept] + 1, -1)
        more = kept | (worth & (marks[:-1].cumsum() > 0))
        if (more == kept).all():
            rows, slots = np.nonzero(kept)
            return rows, slots
        kept = more


def _place(time_s: FloatArray, grid_s: FloatArray) -> npt.NDArray[np.intp]:
    """The slot that a time lies in."""
    after = np.searchsorted(grid_s, time_s, side="right") - 1
    inside = grid_s[np.clip(after, 0, None)] != time_s
    return np.asarray(2 * after + inside, dtype=np.intp)
