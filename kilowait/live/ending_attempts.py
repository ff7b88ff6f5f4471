"""The events of an attempt that ended and, where that is the end of its job, of that too."""

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from kilowait.cluster.events import AttemptFailed, AttemptFinished, Event, JobCancelled, JobFailed
from kilowait.core.submission import Attempt, Ending, Retry, printable


def end_events(attempt: Attempt, ending: Ending, retry_of: Callable[[str], Retry], time_s: float) -> Iterator[Event]:
    """In their order."""
    job_id, number, reason = attempt.job_id, attempt.attempt, ending.reason
    if reason is None:
        yield AttemptFinished(time_s=time_s, job_id=job_id, attempt=number)
    elif attempt.cancelling:
        yield JobCancelled(time_s=time_s, job_id=job_id)
    else:
        yield AttemptFailed(time_s=time_s, job_id=job_id, attempt=number, reason=reason)
        if not retry_of(job_id).allows(number, ending):
            yield JobFailed(time_s=time_s, job_id=job_id, reason=reason)


def readable(ending: Ending) -> Ending:
    """The same, with a reason that can be kept and shown."""
    return ending if ending.reason is None else replace(ending, reason=printable(ending.reason))
