"""The HTTP API: /v1, health and metrics. Each route asks the desk and answers with a wire model."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Query, Response
from fastapi.responses import StreamingResponse

import kilowait
from kilowait.core.jobs import OVER
from kilowait.core.submission import DEADLINE
from kilowait.core.submission_limits import MAX_BODY_BYTES

from ..desk import job_views, questions
from ..desk.answers import versions
from ..desk.desk import Desk
from ..desk.learner import Learner
from ..desk.log_pieces import WHOLE_BYTES, read_piece, stream_piece
from ..desk.today import Days
from ..desk.why import why
from ..shells import shell_routes
from ..shells.shell_desk import ShellDesk
from ..sign_on.provider import OpenIdProvider
from ..sign_on.sign_on_settings import SignOnSettings
from ..wire import schemas
from ..wire.batch_schemas import Batch, BatchAnswers
from ..wire.problems import MEDIA_TYPE, BodyLimit, Refusal, install
from ..wire.why_schemas import IfOn, WhatIf, Why
from . import (
    array_routes,
    audited,
    batches,
    job_lists,
    kept_outputs,
    learned_models,
    notice_routes,
    operating,
    pages,
    pictures,
    quota_routes,
    reservation_routes,
    secret_routes,
    sign_on_routes,
)
from .access import At, Reader, Submitter
from .audited import Audited
from .large_bodies import LargeBodies
from .own_jobs import own, view
from .wrong_tokens import WrongTokens

PROBLEM: dict[str, Any] = {
    "model": schemas.ProblemDetails,  # which FastAPI declares as application/json, as the first release did
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
    "description": "what is wrong and what to do about it",
}
FOLLOW_S = 0.5
HISTORY_PAGE = 1000
HISTORY_KINDS: dict[str, Any] = {"text/csv": {}, "application/vnd.apache.parquet": {}}


def build(desk: Desk, learner: Learner, sign_on: SignOnSettings | None = None) -> FastAPI:
    """The application over a desk and what learns. No page of documentation: those fetch scripts from elsewhere."""
    app = FastAPI(
        title="kilowait",
        version=kilowait.__version__,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses={"default": PROBLEM},
    )
    app.state.desk, app.state.days, app.state.learner = desk, Days(desk), learner
    app.state.wrong_tokens, app.state.shells = WrongTokens(), ShellDesk(desk)
    app.state.sign_on = None if sign_on is None else sign_on_routes.SignOn(OpenIdProvider(sign_on))
    app.add_middleware(LargeBodies)
    app.add_middleware(Audited, desk=desk)
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    for part in (
        router,
        job_lists.router,
        array_routes.router,
        notice_routes.router,
        secret_routes.router,
        quota_routes.router,
        reservation_routes.router,
        sign_on_routes.router,
        audited.router,
        kept_outputs.router,
        operating.router,
        operating.plain,
        learned_models.router,
        pages.router,
        pictures.router,
        shell_routes.router,
    ):
        app.include_router(part)
    install(app)
    return app


router = APIRouter(prefix="/v1")


@router.post("/predict")
async def predict(body: schemas.SourceBody, desk: At, who: Reader) -> schemas.PredictionView:
    """The run time and energy of a source on each device type, without submitting it."""
    return await desk.predict(body, who.owner)


@router.post("/jobs", status_code=201)
async def submit(
    body: schemas.SubmissionBody,
    desk: At,
    who: Submitter,
    response: Response,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> schemas.Submitted:
    """Submit a job. It is durable when this answers; the same Idempotency-Key is the same job."""
    submission = await desk.submit(body, who.owner, idempotency_key)
    response.headers["Location"] = f"/v1/jobs/{submission.job_id}"
    return submission


@router.post("/jobs:batch")
async def submit_batch(
    body: Batch,
    desk: At,
    who: Submitter,
    idempotency_key: Annotated[str | None, Header(max_length=190)] = None,
) -> BatchAnswers:
    """Submit several jobs in one request. Each is accepted, and then durable when this answers, or refused by itself;
    the same Idempotency-Key makes the same jobs, in the same order."""
    return BatchAnswers(jobs=await batches.submit_batch(desk, body.jobs, who.owner, idempotency_key))


@router.get("/jobs/{job_id}")
async def show(job_id: str, desk: At, who: Reader) -> schemas.JobView:
    """A job, its attempts, what was predicted and what was measured."""
    return await view(desk, await own(desk, who, job_id))


@router.post("/jobs/{job_id}/cancel", status_code=202)
async def cancel(job_id: str, desk: At, who: Submitter) -> schemas.JobView:
    """Withdraw a job: at once if it waits; a running program is asked to end. Asking again is allowed."""
    state = (await own(desk, who, job_id))["state"]
    if state in OVER - {"cancelled"}:
        detail = f"job {job_id}: it is {state}; it cannot be cancelled"
        raise Refusal(409, "conflict", detail, field="job_id", remedy="nothing is left to do: it is over")
    await desk.scheduler.cancel.remote(job_id)
    return await view(desk, await own(desk, who, job_id))


@router.get("/jobs/{job_id}/why")
async def explain(job_id: str, desk: At, who: Reader) -> Why:
    """Why the job waits, or why it got its type."""
    row = await own(desk, who, job_id)
    mirror, errors = await desk.mirror(), await desk.errors()
    expected = (await desk.expected()).get(job_id) if row["state"] == "waiting" else None
    deadline = job_views.job_view(row, None, None).deadline
    return why(row, mirror, expected, errors.basis, deadline, time.time())


@router.get("/jobs/{job_id}/logs", response_model=schemas.LogPiece, responses={200: {"content": {"text/plain": {}}}})
async def logs(
    job_id: str,
    desk: At,
    who: Reader,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000_000)] = 65536,
    rank: Annotated[int, Query(ge=0)] = 0,
    follow: bool = False,
) -> Any:
    """What the job wrote, from a byte on; with `follow` a stream of text until the job is over.

    A piece holds whole characters; `missing` bytes before it are no longer kept, of which a stream says so in a line.
    """
    await own(desk, who, job_id)
    if follow:
        return StreamingResponse(_follow(desk, job_id, rank, offset), media_type="text/plain; charset=utf-8")
    row = await desk.ask(questions.job, job_id)  # before the log: once it is over, the log is whole
    limit = max(limit, WHOLE_BYTES)
    begin, data = await desk.scheduler.log.remote(job_id, rank, offset, limit)
    ended = row is not None and row["state"] in OVER and len(data) < limit
    return schemas.LogPiece(**read_piece(offset, begin, data, last=ended)._asdict(), ended=ended)


@router.post("/what-if")
async def what_if(body: schemas.SubmissionBody, desk: At, who: Reader) -> WhatIf:
    """What this job would get against the present queue, for each type; nothing is submitted."""
    request, *_ = await desk.request(body, who.owner, "what-if", only_asking=True)
    answers, errors = await desk.if_submitted(request)
    mirror = await desk.mirror()
    deadline = request.labels.get(DEADLINE)

    def shown(gpu_type: str | None) -> IfOn:
        answer = answers[gpu_type]
        if isinstance(answer, str):
            return IfOn(gpu_type=gpu_type, expected=None, not_possible=answer)
        return IfOn(gpu_type=gpu_type, expected=job_views.expected_view(answer, deadline), not_possible=None)

    return WhatIf(
        now_s=time.time(),
        policy=mirror.policy,
        waiting=len(mirror.cluster.waiting),
        free_choice=shown(None),
        held_to=[shown(gpu_type) for gpu_type in answers if gpu_type is not None],
        probe_version=versions(request.predictions),
        interval_basis=errors.basis,
    )


@router.get("/history", response_class=Response, responses={200: {"content": HISTORY_KINDS}})
async def history(
    desk: At,
    who: Reader,
    form: Annotated[str, Query(alias="format", pattern="^(csv|parquet)$")] = "csv",
    owner: str | None = None,
) -> Response:
    """Every attempt that has ended, what was predicted beside what was measured; one's own, an operator all."""
    rows: list[dict[str, Any]] = []
    while not len(rows) % HISTORY_PAGE:
        after = (rows[-1]["job_id"], rows[-1]["attempt"]) if rows else ("", 0)
        page = await desk.ask(questions.ended, who.whose(owner), after, None, HISTORY_PAGE)
        rows += page
        if not page:
            break
    content = await asyncio.to_thread(job_views.parquet_of if form == "parquet" else job_views.lines_of, rows)
    media = "application/vnd.apache.parquet" if form == "parquet" else "text/csv; charset=utf-8"
    name = f'attachment; filename="kilowait-history.{form}"'
    return Response(content, media_type=media, headers={"Content-Disposition": name})


async def _follow(desk: Desk, job_id: str, rank: int, offset: int) -> AsyncIterator[bytes]:
    """The log as it grows, until the job is over."""
    while True:
        row = await desk.ask(questions.job, job_id)
        begin, data = await desk.scheduler.log.remote(job_id, rank, offset, 65536)
        if data:
            offset, piece = stream_piece(offset, begin, data)
            yield piece
        elif row is None or row["state"] in OVER:
            return
        else:
            await asyncio.sleep(FOLLOW_S)
