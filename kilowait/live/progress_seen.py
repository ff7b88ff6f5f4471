"""When a running job's progress is news: the event that says what is expected of it by now.

An event is written first once a twentieth of the steps is done, or a minute has passed, and then only after the job
has run a tenth longer, where its expected end has moved by a twentieth of its time or twice as many steps are done.
So their number grows with the logarithm of a job's time, whatever it writes.
"""

from dataclasses import replace

from kilowait.cluster.events import JobProgressed
from kilowait.cluster.standing import Active
from kilowait.core.jobs import Prediction
from kilowait.live.pace import KnownBefore, Pace, pace
from kilowait.measure.step_clock import StepRecord

FIRST_SHARE, FIRST_S = 0.05, 60.0
MOVED = 0.05
LONGER = 1.1
MOST_S = 1e9
"""Nobody's job takes longer: whatever says so is not understood."""


def progress_event(active: Active, record: StepRecord, now_s: float) -> JobProgressed | None:
    """The event, None while nothing can be said or nothing is new."""
    predicted = active.predicted
    offset_s = max(0.0, record.began_s - active.placed_s)
    expected = KnownBefore(
        total_s=predicted.runtime_s,
        low_s=predicted.runtime_low_s,
        high_s=predicted.runtime_high_s,
        steps=predicted.steps,
        beside=predicted.beside,
    )
    try:
        seen = pace(record, max(0.0, now_s - active.placed_s - offset_s), expected)
    except (ArithmeticError, ValueError, AttributeError):
        return None  # a program may write any numbers; the last is stdev's for infinite ones
    if seen is None or not 0 < seen.total_s < MOST_S or not _is_news(active, seen, offset_s, now_s):
        return None
    return JobProgressed(
        time_s=now_s,
        job_id=active.job.job_id,
        attempt=active.attempt,
        done=seen.done,
        total=seen.total,
        prediction=_renewed(predicted, seen, offset_s),
    )


def _is_news(active: Active, seen: Pace, offset_s: float, now_s: float) -> bool:
    run_s, last = now_s - active.placed_s, active.progress
    if last is None:
        return seen.done >= FIRST_SHARE * seen.total or run_s >= FIRST_S
    if run_s < LONGER * (last.time_s - active.placed_s):
        return False
    total_s = offset_s + seen.total_s
    moved_s = abs(total_s - active.predictions[active.gpu_type].runtime_s)
    return moved_s > MOVED * total_s or seen.done >= 2 * last.done


def _renewed(predicted: Prediction, seen: Pace, offset_s: float) -> Prediction:
    """What was predicted, with the time that is expected by now, at the same power."""
    total_s = offset_s + seen.total_s
    return replace(
        predicted.times(total_s / predicted.runtime_s),
        runtime_s=total_s,
        runtime_low_s=min(total_s, offset_s + seen.low_s),
        runtime_high_s=max(total_s, offset_s + seen.high_s),
    )
