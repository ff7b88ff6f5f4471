"""Many jobs at once: lists of them by what they are called, and an end to all that are meant."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query

from kilowait.core.tasks.task_numbers import named_tasks
from kilowait.history.job_filter import JobFilter
from kilowait.history.tokens import Identity

from ..desk import questions
from ..desk.desk import Desk
from ..wire import schemas
from ..wire.array_schemas import NamedTasks
from ..wire.list_schemas import Cancelled, ToCancel
from .access import At, Reader, Submitter
from .own_jobs import view

router = APIRouter(prefix="/v1")
TOGETHER = 500
"""Jobs whose end is asked for in one transaction: the scheduler answers nobody else meanwhile."""

Label = Annotated[str, Query(max_length=400, pattern="^[^=]+=")]
Labels = Annotated[list[Label], Query(max_length=100, description="as NAME=TEXT; each must be there")]
Since = Annotated[float | None, Query(allow_inf_nan=False, description="submitted then or later")]
Until = Annotated[float | None, Query(allow_inf_nan=False, description="submitted before")]
Newest = Annotated[bool, Query(description="the newest first")]
Name = Annotated[str | None, Query(max_length=200, description="its name; one that ends in * is a beginning")]


@router.get("/jobs")
async def list_jobs(
    desk: At,
    who: Reader,
    state: schemas.State | None = None,
    owner: str | None = None,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    name: Name = None,
    label: Labels = [],  # noqa: B006 - FastAPI reads it as the default and never changes it
    since_s: Since = None,
    until_s: Until = None,
    newest: Newest = False,
    array: Annotated[str | None, Query(max_length=40, description="tasks of this job array")] = None,
    tasks: Annotated[NamedTasks | None, Query(description="of these numbers, as in 0-9")] = None,
    alone: Annotated[bool, Query(description="jobs that are tasks of no array")] = False,
) -> schemas.JobsPage:
    """Jobs by id; one's own, an operator sees everybody's."""
    chosen = chosen_jobs(who, owner, state, name, label, since_s, until_s)
    chosen = replace(chosen, array=array, tasks=None if tasks is None else named_tasks(tasks), alone=alone)
    rows = await desk.ask(questions.jobs, chosen, after, limit + 1, newest)
    jobs = [await view(desk, row) for row in rows[:limit]]
    return schemas.JobsPage(jobs=jobs, next=jobs[-1].job_id if len(rows) > limit else None)


@router.post("/jobs:cancel", status_code=202)
async def cancel_jobs(body: ToCancel, desk: At, who: Submitter) -> Cancelled:
    """Withdraw the jobs that wait, and ask the programs of those that run to end. Asking again is allowed."""
    meant = await _meant(body, desk, who)
    known = set(meant)
    refused = {job_id: f"no job {job_id!r} of yours" for job_id in body.job_ids or () if job_id not in known}
    for start in range(0, len(meant), TOGETHER):
        refused |= await desk.scheduler.cancel_all.remote(meant[start : start + TOGETHER])
    active = (await desk.mirror()).cluster.active
    asked = [job_id for job_id in meant if job_id not in refused]
    return Cancelled(
        cancelled=[job_id for job_id in asked if job_id not in active],
        ending=[job_id for job_id in asked if job_id in active],
        refused=refused,
    )


async def _meant(body: ToCancel, desk: Desk, who: Identity) -> list[str]:
    """The ids of the jobs that are meant and that this user may cancel; one that is over is meant by its id alone."""
    if body.job_ids is None and not (body.filters or body.every):
        return []
    if body.owner is not None and not who.sees(body.owner):
        return []  # and none of one's own in their place
    states = ("waiting", "running") if body.state is None else (body.state,)
    chosen = JobFilter(
        job_ids=None if body.job_ids is None else tuple(body.job_ids),
        owner=who.whose(body.owner),
        states=states if body.job_ids is None or body.filters else (),
        name=body.name or None,
        labels=body.labels,
        since_s=body.since_s,
        until_s=body.until_s,
        array=body.array,
        tasks=None if body.tasks is None else named_tasks(body.tasks),
    )
    if body.job_ids is not None and body.owner is None and chosen.owner is not None:  # an id may be of a member's job
        chosen = replace(chosen, owner=None, owners=(who.owner, *sorted(who.administers)))
    return await desk.ask(questions.job_ids, chosen)


def chosen_jobs(
    who: Identity,
    owner: str | None,
    state: str | None,
    name: str | None,
    label: Sequence[str],
    since_s: float | None,
    until_s: float | None,
) -> JobFilter:
    """The jobs that somebody asks for and may see."""
    return JobFilter(
        owner=who.whose(owner),
        states=() if state is None else (state,),
        name=name,
        labels=dict(map(_pair, label)),
        since_s=since_s,
        until_s=until_s,
    )


def _pair(label: str) -> tuple[str, str]:
    name, _, text = label.partition("=")
    return name, text
