"""Taking in what is asked for: jobs, each by itself, and job arrays, whole or not at all.

`take_in` advances the cluster and writes the event; what is refused leaves both as they were.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from msgspec import structs

from kilowait.cluster.events import Event, JobSubmitted
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError, JobRefused
from kilowait.core.jobs import ArrayTask
from kilowait.core.submission import Request, checked
from kilowait.core.tasks.array_request import ArrayRequest, TaskAsked, checked_array, task_request
from kilowait.history.job_arrays import array_of_key, make_tables, task_ids
from kilowait.history.store import Store
from kilowait.history.writing import Writing
from kilowait.live.operator_orders.quota_check import QuotaCheck
from kilowait.live.parents import parents
from kilowait.live.same_key import same_array, same_job

TakeIn = Callable[[Writing, Event], int]
Array = tuple[str, tuple[str, ...]]
"""The id of a job array and the ids of its tasks, in order."""


def take_jobs(
    writing: Writing, requests: Sequence[Request], time_s: float, cluster: Cluster, take_in: TakeIn
) -> list[str | InputError]:
    """Accept each job, or say why not; the same key is the same job."""
    quotas = QuotaCheck(cluster)
    return [_take_job(writing, request, time_s, quotas, take_in) for request in requests]


def _take_job(
    writing: Writing, request: Request, time_s: float, quotas: QuotaCheck, take_in: TakeIn
) -> str | InputError:
    try:
        request_hash, owner = checked(request), request.job.user
        earlier = writing.known(owner, request.client_key) if request.client_key is not None else None
        if earlier is not None:
            return same_job(request, earlier, request_hash)
        quotas.check(request.job)
        after = parents(writing, quotas.cluster, request.job)
        job = replace(request.job, job_id=job_id(writing), submit_s=time_s, after=after)
        event = JobSubmitted(time_s=time_s, job=job, predictions=request.predictions, dry_run=request.dry_run)
        take_in(writing, event)
    except JobRefused:  # its id goes to the next
        return _refusal(quotas.cluster, request)
    except InputError as refusal:
        return refusal
    writing.add_job(event, request, request_hash)
    quotas.waits(job)
    return job.job_id


def earlier_array(store: Store, asked: ArrayRequest) -> tuple[str, Array | None]:
    """The hash of what is asked for, and the array of an earlier request by the same key.

    Raises InputError for what cannot be kept, and for a key that was used for another.
    """
    request_hash, key = checked_array(asked), asked.request.client_key
    make_tables(store)
    found = None if key is None else array_of_key(store, asked.request.job.user or "", key)
    if found is None:
        return request_hash, None
    array_id = same_array(asked.request, found, request_hash)
    return request_hash, (array_id, tuple(task_ids(store, array_id).values()))


def take_array(
    writing: Writing, asked: ArrayRequest, request_hash: str, time_s: float, cluster: Cluster, take_in: TakeIn
) -> Array:
    """Accept a job array; raises, before anything changes, JobRefused for a task that can never run, QuotaReached."""
    QuotaCheck(cluster).check(asked.request.job, len(asked.tasks))
    for task in asked.tasks:
        if not cluster.possible(asked.request.job, task.predictions):
            raise _refusal(cluster, task_request(asked, task), f"task {task.task}")
    asked = _after(asked, parents(writing, cluster, asked.request.job))
    array_id = f"array-{writing.last_seq + 1:08d}"
    job_ids = [_take_task(writing, asked, task, array_id, request_hash, time_s, take_in) for task in asked.tasks]
    writing.add_array(array_id, asked, request_hash, time_s)
    return array_id, tuple(job_ids)


def _after(asked: ArrayRequest, ids: tuple[str, ...]) -> ArrayRequest:
    job = replace(asked.request.job, after=ids)
    return structs.replace(asked, request=structs.replace(asked.request, job=job))


def _take_task(
    writing: Writing,
    asked: ArrayRequest,
    task: TaskAsked,
    array_id: str,
    request_hash: str,
    time_s: float,
    take_in: TakeIn,
) -> str:
    job = replace(
        asked.request.job,
        job_id=job_id(writing),
        submit_s=time_s,
        content_hash=task.content_hash,
        array=ArrayTask(array_id=array_id, task=task.task, at_once=asked.at_once),
    )
    event = JobSubmitted(time_s=time_s, job=job, predictions=task.predictions, dry_run=task.dry_run)
    take_in(writing, event)
    writing.add_task(event, task_request(asked, task, array_id), request_hash)
    return job.job_id


def job_id(writing: Writing) -> str:
    """The id of a job that is accepted by the next event."""
    return f"job-{writing.last_seq + 1:08d}"


def _refusal(cluster: Cluster, request: Request, named: str = "the job") -> JobRefused:
    return JobRefused(f"{named} can never run here: {cluster.refusal(request.job, request.predictions)}")
