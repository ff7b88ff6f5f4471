"""In which parts a job runs most cheaply that can be stopped at checkpoints, by what a kWh costs over time.

Source of the idea: Wiesner et al., "Let's wait awhile", Middleware 2021, on interruptible jobs: of the hours until its
end the cheapest that suffice. Here going on costs time and energy. A price of work, found by bisection, says which
hours are worth it: for any such price the best switching on and off follows step by step, as the shortest path does,
and the least price at which enough gets done is the Lagrange multiplier of "all of it by then" (Everett, Operations
Research 11, 1963). What is too much of it by less than a step is let be.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import inf
from typing import NamedTuple

import numpy as np

from kilowait.core.units import HOUR_S
from kilowait.policies.planning.cheapest_hours import Hours, saves_enough

BISECTIONS = 8

_Step = tuple[float, float]
"""Seconds, and what a kWh costs on average meanwhile."""

_State = tuple[float, float, float]
"""What it costs less what its work is worth, the seconds of work below 0, and when it runs first: the least wins."""

_NOT: _State = (inf, 0.0, inf)
_BEGUN: _State = (0.0, 0.0, inf)


class _Way(NamedTuple):
    """A way to switch on and off: what it costs, the seconds of work that it does, and when it runs first, from now."""

    cost: float
    work_s: float
    first_s: float


class NextPart(NamedTuple):
    """When a job runs next, and what all that is left costs then, waiting apart."""

    start_s: float
    cost: float


def next_part(hours: Hours, power_kw: float, work_s: float, restart_s: float, end_s: float, *, runs: bool) -> NextPart:
    """When a job of `work_s` seconds is to run next so that it is done by `end_s` most cheaply: now, or later.

    One that `runs` pays `restart_s` seconds for each time that it goes on; one that waits does not for the first, which
    is in its work. Now where stopping does not save enough.
    """
    now_s = float(hours.times_s[0])
    at_once = NextPart(now_s, _integral(hours, now_s, now_s + work_s) * power_kw / HOUR_S)
    if end_s - now_s <= work_s + (restart_s if runs else 0.0):
        return at_once
    steps = _steps(hours, end_s)
    dearest, cost = _cheapest(steps, work_s)
    if steps[0][1] <= dearest:
        return NextPart(now_s, cost * power_kw / HOUR_S)
    idle = hours.usd_per_h_waiting / power_kw if power_kw > 0 else 0.0
    switched = partial(_switched, steps, restart_s=restart_s, idle=idle, runs=runs)
    low, high = dearest - abs(dearest), max(price for _, price in steps) + idle
    enough, short = _bisected(switched, work_s, low, high, guess=dearest + abs(dearest) / 50 + idle / 2)
    cost, after_s = enough.cost, enough.first_s
    if short is not None and (missing_s := work_s - short.work_s) < short.first_s < inf:
        # begun a little before its first part, it does all that is to be done
        before = _integral(hours, now_s + short.first_s - missing_s, now_s + short.first_s)
        cost, after_s = min((cost, after_s), (short.cost + before, short.first_s - missing_s))
    later = NextPart(now_s + after_s, cost * power_kw / HOUR_S)
    return later if saves_enough(later.cost, at_once.cost) else at_once


def _integral(hours: Hours, from_s: float, to_s: float) -> float:
    sums = np.interp((from_s, to_s), hours.times_s, hours.sums)
    return float(sums[1] - sums[0])


def _steps(hours: Hours, end_s: float) -> list[_Step]:
    times_s, sums = hours.times_s.tolist(), hours.sums.tolist()
    return [
        (min(to_s, end_s) - from_s, (sums[k + 1] - sums[k]) / (to_s - from_s))
        for k, (from_s, to_s) in enumerate(pairwise(times_s))
        if from_s < min(to_s, end_s)
    ]


def _bisected(
    switched: Callable[[float], _Way], work_s: float, low: float, high: float, guess: float
) -> tuple[_Way, _Way | None]:
    """Of the prices that are tried, the way at the least at which enough gets done, and at the highest at which too
    little does; None where it never does."""
    enough, short = switched(high), None
    for _ in range(BISECTIONS):
        worth, guess = guess if low < guess < high else (low + high) / 2, inf
        tried = switched(worth)
        if tried.work_s >= work_s:
            high, enough = worth, tried
        else:
            low, short = worth, tried
    return enough, short


def _switched(steps: list[_Step], worth: float, *, restart_s: float, idle: float, runs: bool) -> _Way:
    """The best switching where a second of work is worth so much: a job is not begun, on, off for a while, or done."""
    never, on, off, done = (_NOT, _BEGUN, _NOT, _NOT) if runs else (_BEGUN, _NOT, _NOT, _NOT)
    again, passed_s = worth * restart_s, 0.0
    for length_s, price in steps:
        goes_on = (off[0] + again, off[1] + restart_s, off[2])
        done = min(on, done)
        paused = min(on, off)
        before = min(on, never, goes_on)
        first_s = before[2] if before[2] < passed_s else passed_s
        on = (before[0] + length_s * (price - worth), before[1] - length_s, first_s)
        off = (paused[0] + idle * length_s, paused[1], paused[2])
        never = (never[0] + idle * length_s, 0.0, inf)
        passed_s += length_s
    least, below_s, first_s = min(on, done)
    return _Way(least - worth * below_s, -below_s, first_s)


def _cheapest(steps: list[_Step], work_s: float) -> tuple[float, float]:
    """Of the cheapest steps that suffice, were going on free, the price of the dearest, and what all cost."""
    left_s, dearest, cost = work_s, -inf, 0.0
    for price, length_s in sorted((price, length_s) for length_s, price in steps):
        cost, left_s, dearest = cost + price * min(left_s, length_s), left_s - length_s, price
        if left_s <= 0:
            break
    return dearest, cost
