"""The jobs after which another is to run: looked up when it is accepted, and what becomes of it when one ends badly."""

from collections.abc import Iterator, Sequence

from sqlalchemy import select

from kilowait.cluster.events import Event, JobCancelled, JobFailed
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.core.jobs import OVER, Job
from kilowait.core.submission import Request
from kilowait.history.job_arrays import make_tables
from kilowait.history.schema import ARRAY_TASKS, JOBS
from kilowait.history.statements import chunks
from kilowait.history.store import Store
from kilowait.history.writing import Writing

MOST = 1000
"""Jobs after which one may run, the tasks of an array each counted."""


def make_ready(store: Store, requests: Sequence[Request]) -> None:
    """Make what is looked at for these requests where it is not there."""
    if any(request.job.after for request in requests):
        make_tables(store)


def parents(writing: Writing, cluster: Cluster, job: Job) -> tuple[str, ...]:
    """The ids of the jobs after which a job runs, an array's tasks in its place.

    Raises InputError for a job that is not the owner's, and one that ended badly where it must end well.
    """
    if not job.after:
        return ()
    ids = tuple(dict.fromkeys(one for name in job.after for one in _meant(writing, name)))
    if len(ids) > MOST:
        raise InputError(f"after: {len(ids):,} jobs, the limit is {MOST:,}; let one job run after those of each array")
    states = _states(writing, cluster, job.user, ids)
    for job_id in ids:
        state = states.get(job_id)
        if state is None:
            raise InputError(f"after {job_id}: no job of yours; kilowait ps lists them")
        if state in OVER - {"finished"} and not job.after_any:
            raise InputError(f"after {job_id}: it is {state}, so this job would never run; or let it run after any end")
    return ids


def with_given_up(cluster: Cluster, event: Event) -> Iterator[Event]:
    """An event and, when it has happened, the ends of the jobs that wait in vain since."""
    yield event
    if not isinstance(event, JobFailed | JobCancelled):
        return
    for child, parent in cluster.lines.dependents.in_vain(event.job_id):
        ended = "was cancelled" if parent == event.job_id and isinstance(event, JobCancelled) else "failed"
        reason = f"job {parent}, after which it was to run, {ended}"
        yield JobFailed(time_s=event.time_s, job_id=child, reason=reason)


def _meant(writing: Writing, name: str) -> Sequence[str]:
    """A job, or the tasks of an array."""
    if not name.startswith("array-"):
        return (name,)
    query = select(ARRAY_TASKS.c.job_id).where(ARRAY_TASKS.c.array_id == name).order_by(ARRAY_TASKS.c.task)
    return [row.job_id for row in writing.rows(query)] or (name,)


def _states(writing: Writing, cluster: Cluster, owner: str | None, ids: Sequence[str]) -> dict[str, str]:
    """By job id, the states of those that are the owner's."""
    states: dict[str, str] = {}
    for job_id in ids:
        one = cluster.active.get(job_id) or cluster.entry(job_id)
        if one is not None and one.job.user == owner:
            states[job_id] = "waiting"
    for chunk in chunks([job_id for job_id in ids if job_id in cluster.over]):
        query = select(JOBS.c.job_id, JOBS.c.state).where(JOBS.c.job_id.in_(chunk), JOBS.c.owner == (owner or ""))
        states |= {row.job_id: row.state for row in writing.rows(query)}
    return states
