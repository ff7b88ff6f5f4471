"""What of the log is worth telling, and to whom."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from kilowait.cluster.events import AttemptFinished, JobCancelled, JobFailed, JobPlaced
from kilowait.cluster.standing import Active
from kilowait.core.jobs import OVER, ArrayTask, Job
from kilowait.history import notices
from kilowait.history.job_arrays import array_rows
from kilowait.history.job_filter import JobFilter
from kilowait.history.queries import RawEvent, decoded
from kilowait.history.store import Store
from kilowait.live.notifying.messages import JobNotice, written

from ..job_views import name_in

Telling = JobPlaced | AttemptFinished | JobFailed | JobCancelled
KINDS = {kind.__name__ for kind in Telling.__args__}
LATE = 1.5
"""Times what was predicted, after which a job without an interval counts as one that overruns."""
Subscribers = Mapping[str, Sequence[notices.Row]]
"""Subscriptions by owner."""


def rows_of(store: Store, events: Sequence[RawEvent], subscribers: Subscribers) -> list[notices.Row]:
    """Notices of these events, for those who want them."""
    told = [event for raw in events if raw[1] in KINDS and isinstance(event := decoded(raw), Telling)]
    jobs = notices.jobs_told_of(store, [event.job_id for event in told])
    rows = list[notices.Row]()
    for event in told:
        job = jobs.get(event.job_id)
        if job is not None and job["owner"] in subscribers:
            for message in _messages(store, event, job):
                rows += _to(message, subscribers[message.owner], is_failure=isinstance(event, JobFailed))
    return rows


def _messages(store: Store, event: Telling, job: notices.Row) -> Iterator[JobNotice]:
    """What is said of an event: of the task of an array, that the array has begun, had a failure, or is over."""
    task = msgspec.json.decode(job["asked"], type=Job).array
    message = about(job, task, "start", event.time_s)
    match event:
        case JobPlaced(attempt=1):
            yield msgspec.structs.replace(message, gpu_type=event.gpu_type, attempt=1)
        case JobFailed():
            yield msgspec.structs.replace(message, event="failure", state="failed", reason=event.reason[:500])
            if task is not None:
                yield from _array_over(store, message, task)
        case AttemptFinished() | JobCancelled():
            state = "finished" if isinstance(event, AttemptFinished) else "cancelled"
            if task is None:
                yield msgspec.structs.replace(message, event="end", state=state)
            else:
                yield from _array_over(store, message, task)
        case _:
            return


def about(job: notices.Row, task: ArrayTask | None, event: str, time_s: float) -> JobNotice:
    """That something happened to a job, a row of `notices.jobs_told_of`; of a task the subject is its array."""
    array_id = "" if task is None else task.array_id
    return JobNotice(
        event=event,
        subject=array_id or job["job_id"],
        owner=job["owner"],
        time_s=time_s,
        name=name_in(job["labels"]),
        job_id=job["job_id"],
        array=array_id,
    )


def _array_over(store: Store, message: JobNotice, task: ArrayTask) -> Iterator[JobNotice]:
    """That an array is over, where none of its tasks waits or runs."""
    (row,) = array_rows(store, JobFilter(array=task.array_id), limit=1)
    if set(row["states"]) <= OVER:
        yield msgspec.structs.replace(message, event="end", job_id="", tasks=row["states"])


def overruns(active: Sequence[Active], labels: Mapping[str, notices.Row], now_s: float) -> list[JobNotice]:
    """Of running jobs, those that have run longer than was predicted of them at the most."""
    messages = []
    for one in active:
        predicted, run_s = one.predicted, now_s - one.placed_s
        most_s = predicted.runtime_high_s or LATE * predicted.runtime_s
        row = labels.get(one.job.job_id)
        if run_s <= most_s or row is None:
            continue
        messages.append(
            msgspec.structs.replace(
                about(row, one.job.array, "overrun", now_s),
                gpu_type=one.gpu_type,
                attempt=one.attempt,
                predicted_s=predicted.runtime_s,
                run_s=run_s,
            )
        )
    return messages


def _to(message: JobNotice, subscribers: Sequence[notices.Row], *, is_failure: bool = False) -> list[notices.Row]:
    """A row for each who wants to hear it; who asks for ends alone hears of a failure as of an end."""
    rows = []
    for one in subscribers:
        wanted, event = one["events"].split(","), message.event
        if is_failure and event == "failure" and event not in wanted and not message.array:
            event = "end"
        if event in wanted and _named(one["name"], message.name):
            rows.append(row_of(one, msgspec.structs.replace(message, event=event)))
    return rows


def to_all(messages: Sequence[JobNotice], subscribers: Subscribers) -> list[notices.Row]:
    """Rows of these messages."""
    return [row for message in messages for row in _to(message, subscribers.get(message.owner, ()))]


def row_of(subscription: notices.Row, message: JobNotice) -> notices.Row:
    """A notice that is due."""
    return {
        "subscription_id": subscription["subscription_id"],
        "subject": message.subject,
        "event": message.event,
        "owner": subscription["owner"],
        "message": written(message),
        "made_s": message.time_s,
    }


def _named(pattern: str, name: str) -> bool:
    return not pattern or (name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern)
