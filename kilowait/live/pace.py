"""How long a running program takes in all, from when it was how far, and from what was predicted of it.

Steps left times seconds a step, and the pauses that are still to come: evaluations, checkpoints. The start-up is what
it was. Seconds a step are those of the recent part of the way, without the first steps, which are slower, and without
pauses; these are told apart by their length, and come again as often as they came. What has not been seen at all (an
evaluation after the first epoch) is taken from `KnownBefore.beside`, where a dry run knows it.

The result is log-normal, and so is the prediction; the two are blended by their precisions. What was seen of a small
part of a program is the less sure the more is left: `UNSEEN` is the standard deviation, in logarithms, of what is left
after nothing but the first steps. It was chosen on recorded trainings (`data/progress`), where 15 to 17 of 20 intervals
hold by processor time (fewer by the wall of a shared machine): somewhat too narrow for the nine of ten that are meant.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from kilowait.core.log_normal import TO_END
from kilowait.measure.step_clock import StepRecord
from kilowait.measure.step_lines import KERAS

UNSEEN = 0.2
LEAST_STEPS = 10
PAUSE = 3.0
"""An interval that takes so many times as long as its steps should holds a pause."""
RECENT = 0.5
"""The share of the way so far whose steps say how long the next ones take."""

Mark = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBefore:
    """What was predicted: seconds in all with the ends of the interval, None where there is no prediction.

    `steps` are the optimizer steps of the whole program, and `beside` is the share of its time that is spent beside
    them, both 0 where a dry run does not know.
    """

    total_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    steps: float = 0.0
    beside: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A program is at `done` of `total` steps; it takes `total_s` seconds in all, between the ends of the interval.

    `seen_s` is what its steps alone say, without the prediction.
    """

    done: float
    total: float
    total_s: float
    low_s: float
    high_s: float
    seen_s: float


def pace(record: StepRecord, now_s: float, expected: KnownBefore) -> Pace | None:
    """What is expected of a program now, `now_s` seconds after its start; None while too little is known."""
    marks, total = positions(record, expected.steps)
    if total is None or len(marks) < 3 or marks[-1][1] <= marks[0][1] or marks[-1][0] <= marks[0][0]:
        return None
    done = marks[-1][1]
    if not 0 < done <= total or (done - marks[0][1] < LEAST_STEPS - 1 and done < total / 2):
        return None
    beside = 0.0 if _counts_epochs(record) else expected.beside  # an epoch has its evaluation within it
    left_s, sigma_s = _left(marks, total, beside)
    seen_s = max(now_s, marks[-1][0] + left_s)
    total_s, sigma = _blended(seen_s, max(sigma_s / seen_s, 1e-3), expected)
    total_s = max(total_s, now_s)
    return Pace(
        done=done,
        total=total,
        total_s=total_s,
        low_s=max(now_s, total_s * math.exp(-TO_END * sigma)),
        high_s=total_s * math.exp(TO_END * sigma),
        seen_s=seen_s,
    )


def positions(record: StepRecord, known: float = 0.0) -> tuple[list[Mark], float | None]:
    """The marks as `(seconds, steps done in all)`, and the steps of the whole program, None where nothing tells.

    `known` are the optimizer steps of the program, which tell the number of rounds where the program does not.
    """
    per_round, marks = record.steps, record.marks
    again = record.nested or bool(marks and marks[-1][1])
    if not again:
        if _counts_epochs(record):
            return _ticks(record)
        rounds = record.rounds if record.drawn and "epoch" not in record.words else 0.0
        total = per_round * max(1.0, rounds) or known
        if record.words == KERAS and not rounds and known > per_round:  # its bars are of an epoch each
            total = known
        return [(at_s, now) for at_s, _, now in marks], total or None
    if not per_round:
        return [], None
    base = 1.0 if record.first >= 1 else 0.0
    rounds = record.rounds - record.first + base if record.nested and record.rounds else record.rounds
    if not rounds and known >= 0.98 * per_round:
        rounds = max(1.0, round(known / per_round))
    done = [(at_s, before * per_round + now) for at_s, before, now in marks]
    return done, rounds * per_round or None


def _counts_epochs(record: StepRecord) -> bool:
    """Whether nothing but epochs is counted, a line each."""
    return not record.nested and not record.drawn and record.words.startswith("line") and "epoch" in record.words


def _ticks(record: StepRecord) -> tuple[list[Mark], float | None]:
    """Lines that say nothing but the epoch, at its end, or at its beginning where the first comes soon."""
    marks, first = record.marks, record.marks[0][2]
    gaps = [after[0] - before[0] for before, after in pairwise(marks)]
    at_beginning = bool(gaps) and marks[0][0] < statistics.median(gaps) / 2
    done = [(at_s, now - first + (0 if at_beginning else 1)) for at_s, _, now in marks]
    total = record.steps - first + (1 if first >= 1 else 0)
    return done, total if record.steps else None


def _left(marks: Sequence[Mark], total: float, beside: float) -> tuple[float, float]:
    """Seconds that are left, and their standard deviation."""
    parts = [(b[0] - a[0], b[1] - a[1], b[1]) for a, b in pairwise(marks) if b[1] > a[1]]
    done = marks[-1][1]
    steady = [part for part in parts if part[2] > marks[0][1] + RECENT * (done - marks[0][1])]
    steady = steady if len(steady) >= 5 else parts[len(parts) // 5 :]
    usual = _weighted_median(steady)
    while len(parts) > 1 and _is_pause(parts[0][0], parts[0][1], usual):  # the first steps are slow by themselves
        del parts[0]
    pauses = [(at, seconds - usual * steps) for seconds, steps, at in parts if _is_pause(seconds, steps, usual)]
    plain = [part for part in steady if not _is_pause(part[0], part[1], usual)] or steady
    a_step = sum(part[0] for part in plain) / sum(part[1] for part in plain)
    if a_step <= 0:  # all in one piece of the output
        a_step = (marks[-1][0] - marks[0][0]) / (done - marks[0][1])
    left = total - done
    pausing_s = _pauses_ahead(pauses, marks[0][1], done, total)
    if 0 < beside < 1:  # of pauses that were seen, what was seen counts the more, the more was seen
        weight = left / total if pauses else 1.0
        pausing_s += weight * max(0.0, a_step * left * beside / (1 - beside) - pausing_s)
    left_s = a_step * left + pausing_s
    spread = _spread(plain, a_step)
    return left_s, left_s * math.hypot(spread, UNSEEN * math.sqrt(left / total))


def _weighted_median(parts: Sequence[tuple[float, float, float]]) -> float:
    """Seconds a step at which half of the steps are faster."""
    rates = sorted((seconds / steps, steps) for seconds, steps, _ in parts)
    half, passed = sum(steps for _, steps in rates) / 2, 0.0
    for rate, steps in rates:
        passed += steps
        if passed >= half:
            return rate
    return rates[-1][0]


def _is_pause(seconds: float, steps: float, usual: float) -> bool:
    return seconds > PAUSE * usual * steps and seconds - usual * steps > 2 * usual


def _pauses_ahead(pauses: Sequence[tuple[float, float]], first: float, done: float, total: float) -> float:
    """Seconds of the pauses still to come: as often, and as long, as those before."""
    if not pauses:
        return 0.0
    length = sum(seconds for _, seconds in pauses) / len(pauses)
    places = [first, *(at for at, _ in pauses)]
    gaps = [after - before for before, after in pairwise(places)]
    every = statistics.median(gaps[1:] or gaps)
    if len(pauses) > 4:
        every = (places[-1] - places[1]) / (len(pauses) - 1)
    return length * max(0.0, math.floor((total - places[-1]) / max(every, 1e-9) + 1e-6)) if every else 0.0


def _spread(parts: Sequence[tuple[float, float, float]], a_step: float) -> float:
    """The standard error of the mean seconds a step, as a share of it, from eight pieces of what was seen."""
    size = max(1, len(parts) // 8)
    pieces = [parts[at : at + size] for at in range(0, len(parts), size)]
    rates = [sum(p[0] for p in piece) / sum(p[1] for p in piece) for piece in pieces]
    return statistics.stdev(rates) / a_step / math.sqrt(len(rates)) if len(rates) > 1 else UNSEEN


def _blended(seen_s: float, sigma: float, expected: KnownBefore) -> tuple[float, float]:
    """Median and standard deviation, in logarithms, of what was seen and what was predicted together."""
    if expected.total_s is None or expected.low_s is None or expected.high_s is None:
        return seen_s, sigma
    before = math.log(expected.high_s / expected.low_s) / (2 * TO_END)
    if before <= 0:
        return seen_s, sigma
    weight = before**2 / (before**2 + sigma**2)
    mean = weight * math.log(seen_s) + (1 - weight) * math.log(expected.total_s)
    return math.exp(mean), sigma * math.sqrt(weight)
