"""Routes of job arrays; their tasks are jobs, and are asked for and cancelled as such."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from kilowait.history.job_filter import JobFilter
from kilowait.history.tokens import Identity

from ..desk import questions
from ..desk.array_desk.array_submissions import submit_array
from ..desk.array_desk.array_views import array_view
from ..desk.desk import Desk
from ..wire.array_schemas import ArrayBody, ArraysPage, ArraySubmitted, ArrayView
from ..wire.problems import Refusal
from ..wire.schemas import State
from .access import At, Reader, Submitter
from .job_lists import Labels, Name, Newest, Since, Until, chosen_jobs

router = APIRouter(prefix="/v1")


@router.post("/arrays", status_code=201)
async def submit(
    body: ArrayBody,
    desk: At,
    who: Submitter,
    response: Response,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> ArraySubmitted:
    """Submit a job array, whole or not at all. It is durable when this answers; the same Idempotency-Key is the same
    array."""
    submitted = await submit_array(desk, body, who.owner, idempotency_key)
    response.headers["Location"] = f"/v1/arrays/{submitted.array_id}"
    return submitted


@router.get("/arrays")
async def list_arrays(
    desk: At,
    who: Reader,
    state: State | None = None,
    owner: str | None = None,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    name: Name = None,
    label: Labels = [],  # noqa: B006 - FastAPI reads it as the default and never changes it
    since_s: Since = None,
    until_s: Until = None,
    newest: Newest = False,
) -> ArraysPage:
    """Job arrays by id, with the tasks counted for which everything holds; one's own, an operator sees everybody's."""
    chosen = chosen_jobs(who, owner, state, name, label, since_s, until_s)
    rows = await desk.ask(questions.arrays, chosen, after, limit + 1, newest)
    arrays = [array_view(row) for row in rows[:limit]]
    return ArraysPage(arrays=arrays, next=arrays[-1].array_id if len(rows) > limit else None)


@router.get("/arrays/{array_id}")
async def show(array_id: str, desk: At, who: Reader) -> ArrayView:
    """A job array, and how many of its tasks are in each state."""
    return array_view(await own_array(desk, who, array_id))


async def own_array(desk: Desk, who: Identity, array_id: str) -> questions.Row:
    """The row of an array; what is another's is as unknown as what never was."""
    chosen = JobFilter(array=array_id, owner=who.whose())
    rows = await desk.ask(questions.arrays, chosen, "", 1)
    if not rows:
        remedy = "list yours with GET /v1/arrays, or: kilowait ps"
        raise Refusal(404, "not found", f"no array {array_id!r} of yours", field="array_id", remedy=remedy)
    return rows[0]
