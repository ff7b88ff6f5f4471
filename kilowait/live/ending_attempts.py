"""The events of an attempt that ended and, where that is the end of its job, of that too."""

from collections.abc import Iterator

from msgspec.structs import replace

from kilowait.cluster.events import AttemptFailed, AttemptFinished, Event, JobCancelled, JobFailed
from kilowait.cluster.giving_way import preempted_event
from kilowait.cluster.state import Cluster
from kilowait.core.submission import Attempt, Ending, printable
from kilowait.history.preemptions import preemptions
from kilowait.history.store import Store


def end_events(cluster: Cluster, attempt: Attempt, ending: Ending, store: Store, time_s: float) -> Iterator[Event]:
    """In their order. Attempts that were preempted do not count against a job's retries."""
    job_id, number, reason = attempt.job_id, attempt.attempt, ending.reason
    active = cluster.active[job_id]
    if reason is None:
        yield AttemptFinished(time_s=time_s, job_id=job_id, attempt=number)
    elif attempt.cancelling:
        yield JobCancelled(time_s=time_s, job_id=job_id)
    elif ending.preempted and not ending.lost and active.job.checkpoint_s is not None:
        yield preempted_event(active, time_s, checkpointed=ending.checkpointed)
    else:
        yield AttemptFailed(time_s=time_s, job_id=job_id, attempt=number, reason=reason)
        if not store.retry(job_id).allows(number - preemptions(store, job_id), ending):
            yield JobFailed(time_s=time_s, job_id=job_id, reason=reason)


def readable(ending: Ending) -> Ending:
    """The same, with a reason that can be kept and shown."""
    return ending if ending.reason is None else replace(ending, reason=printable(ending.reason))
