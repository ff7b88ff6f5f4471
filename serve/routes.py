"""The HTTP API: /v1, health and metrics. Each route asks the desk and answers with a wire model."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from ray.exceptions import RayError

import kilowait
from kilowait.store.tokens import Identity, Role
from serve import overview as overviews
from serve import pages, questions, views, wire
from serve.desk import DEADLINE, Desk
from serve.metrics import text as metric_text
from serve.problems import BodyLimit, Refusal, install
from serve.today import Days
from serve.why import why
from serve.wire_page import Overview

OVER = {"finished", "failed", "cancelled"}
FOLLOW_S = 0.5
HISTORY_PAGE = 1000


def build(desk: Desk) -> FastAPI:
    """The application over a desk. No page of documentation: those fetch scripts from elsewhere."""
    app = FastAPI(
        title="kilowait",
        version=kilowait.__version__,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses={"default": {"model": wire.Problem, "description": "what is wrong and what to do about it"}},
    )
    app.state.desk, app.state.days = desk, Days(desk)
    app.add_middleware(BodyLimit, max_bytes=wire.MAX_BODY_BYTES)
    app.include_router(router)
    app.include_router(plain)
    app.include_router(pages.router)
    install(app)
    return app


def the_desk(request: Request) -> Desk:
    """The desk of this application."""
    desk: Desk = request.app.state.desk
    return desk


At = Annotated[Desk, Depends(the_desk)]


def allowed(role: Role) -> Any:
    """A dependency: who asks, refused without a token of at least this role."""

    async def check(desk: At, authorization: Annotated[str | None, Header()] = None) -> Identity:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refusal(
                401, "unauthorized", "no token was given", field="Authorization",
                remedy="send Authorization: Bearer TOKEN; an operator makes one with: kilowait token create",
            )  # fmt: skip
        identity = await desk.identity(token.strip())
        if identity is None:
            raise Refusal(
                401, "unauthorized", "the token is unknown or revoked", field="Authorization",
                remedy="ask an operator for a new one",
            )  # fmt: skip
        if identity.role < role:
            have, need = identity.role.name.lower(), role.name.lower()
            raise Refusal(
                403, "forbidden", f"the token's role is {have}, this needs {need}", field="Authorization",
                remedy=f"ask an operator for a token of the role {need}",
            )  # fmt: skip
        return identity

    return Depends(check)


Reader = Annotated[Identity, allowed(Role.READ)]
Submitter = Annotated[Identity, allowed(Role.SUBMIT)]
Operator = Annotated[Identity, allowed(Role.OPERATE)]

router = APIRouter(prefix="/v1")
plain = APIRouter()


@router.post("/predict")
async def predict(body: wire.Source, desk: At, _: Reader) -> wire.Prediction:
    """The run time and energy of a source on each device type, without submitting it."""
    return await desk.predict(body.source, body.name)


@router.post("/jobs", status_code=201)
async def submit(
    body: wire.Submission,
    desk: At,
    who: Submitter,
    response: Response,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> wire.Submitted:
    """Submit a job. It is durable when this answers; the same Idempotency-Key is the same job."""
    made = await desk.submit(body, who.owner, idempotency_key)
    response.headers["Location"] = f"/v1/jobs/{made.job_id}"
    return made


@router.get("/jobs")
async def list_jobs(
    desk: At,
    who: Reader,
    state: wire.State | None = None,
    owner: str | None = None,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> wire.Jobs:
    """Jobs by id; one's own, an operator sees everybody's."""
    owner = owner if who.role >= Role.OPERATE else who.owner
    rows = await desk.ask(questions.jobs, owner, state, after, limit + 1)
    shown = [await _view(desk, row) for row in rows[:limit]]
    return wire.Jobs(jobs=shown, next=shown[-1].job_id if len(rows) > limit else None)


@router.get("/jobs/{job_id}")
async def show(job_id: str, desk: At, who: Reader) -> wire.Job:
    """A job, its attempts, what was predicted and what was measured."""
    return await _view(desk, await _own(desk, who, job_id))


@router.post("/jobs/{job_id}/cancel", status_code=202)
async def cancel(job_id: str, desk: At, who: Submitter) -> wire.Job:
    """Withdraw a job: at once if it waits; a running program is asked to end. Asking again is allowed."""
    await _own(desk, who, job_id)
    await desk.scheduler.cancel.remote(job_id)
    return await _view(desk, await _own(desk, who, job_id))


@router.get("/jobs/{job_id}/why")
async def explain(job_id: str, desk: At, who: Reader) -> wire.Why:
    """Why the job waits, or why it got its type."""
    row = await _own(desk, who, job_id)
    mirror, errors = await desk.mirror(), await desk.errors()
    expected = (await desk.expected()).get(job_id) if row["state"] == "waiting" else None
    deadline = views.job_view(row, None, None).deadline
    return why(row, mirror, expected, errors.basis, deadline, time.time())


@router.get("/jobs/{job_id}/logs", response_model=wire.LogPiece)
async def logs(
    job_id: str,
    desk: At,
    who: Reader,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000_000)] = 65536,
    rank: Annotated[int, Query(ge=0)] = 0,
    follow: bool = False,
) -> Any:
    """What the job wrote, from a byte on; with `follow` a stream of text until the job is over."""
    await _own(desk, who, job_id)
    if follow:
        return StreamingResponse(_follow(desk, job_id, rank, offset), media_type="text/plain; charset=utf-8")
    row = await desk.ask(questions.job, job_id)  # before the log: once it is over, the log is whole
    begin, data = await desk.scheduler.log.remote(job_id, rank, offset, limit)
    text = data.decode(errors="replace")
    ended = row is not None and row["state"] in OVER and len(data) < limit
    return wire.LogPiece(offset=begin, next=begin + len(data), text=text, ended=ended)


@router.post("/what-if")
async def what_if(body: wire.Submission, desk: At, who: Reader) -> wire.WhatIf:
    """What this job would get against the present queue, for each type; nothing is submitted."""
    request, _ = await desk.request(body, who.owner, "what-if")
    found, errors = await desk.if_submitted(request)
    mirror = await desk.mirror()
    deadline = request.labels.get(DEADLINE)

    def shown(gpu_type: str | None) -> wire.IfOn:
        answer = found[gpu_type]
        if isinstance(answer, str):
            return wire.IfOn(gpu_type=gpu_type, expected=None, not_possible=answer)
        return wire.IfOn(gpu_type=gpu_type, expected=views.expected_view(answer, deadline), not_possible=None)

    return wire.WhatIf(
        now_s=time.time(),
        policy=mirror.policy,
        waiting=len(mirror.cluster.waiting),
        free_choice=shown(None),
        held_to=[shown(gpu_type) for gpu_type in found if gpu_type is not None],
        probe_version=next((p.probe_version for p in request.predictions.values()), ""),
        interval_basis=errors.basis,
    )


@router.get("/cluster")
async def cluster(desk: At, _: Reader) -> wire.Cluster:
    """The GPUs by type, the nodes, and how many jobs wait and run."""
    mirror, status = await desk.mirror(), await desk.scheduler.status.remote()
    return views.cluster_view(mirror, status["settings"], status, time.time())


@router.post("/nodes/{node}/drain", status_code=202)
async def drain(node: str, desk: At, _: Operator) -> wire.Cluster:
    """Give a node no more jobs; those that run there end as they would."""
    await desk.scheduler.drain.remote(node)
    return await cluster(desk, _)


@router.get("/history", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
async def history(
    desk: At,
    who: Reader,
    form: Annotated[str, Query(alias="format", pattern="^(csv|parquet)$")] = "csv",
    owner: str | None = None,
) -> Response:
    """Every attempt that has ended, what was predicted beside what was measured; one's own, an operator all."""
    owner = owner if who.role >= Role.OPERATE else who.owner
    rows: list[dict[str, Any]] = []
    while not len(rows) % HISTORY_PAGE:
        after = (rows[-1]["job_id"], rows[-1]["attempt"]) if rows else ("", 0)
        found = await desk.ask(questions.ended, owner, after, None, HISTORY_PAGE)
        rows += found
        if not found:
            break
    made = await asyncio.to_thread(views.parquet_of if form == "parquet" else views.lines_of, rows)
    media = "application/vnd.apache.parquet" if form == "parquet" else "text/csv; charset=utf-8"
    name = f'attachment; filename="kilowait-history.{form}"'
    return Response(made, media_type=media, headers={"Content-Disposition": name})


@router.get("/health")
async def health(desk: At, response: Response) -> wire.Health:
    """Whether the scheduler and the predictor answer; needs no token. 503 where they do not."""
    try:
        problem = (await asyncio.wait_for(_status(desk), 5))["problem"]
        scheduler = problem or "ok"
    except (RayError, TimeoutError) as error:
        scheduler = f"no answer ({type(error).__name__})"
    predictor = "ok" if desk.forecasts.well else "no answer yet"
    well = (scheduler, predictor) == ("ok", "ok")
    response.status_code = 200 if well else 503
    status: Any = "ok" if well else "degraded"
    return wire.Health(status=status, version=kilowait.__version__, scheduler=scheduler, predictor=predictor)


@router.get("/overview")
async def overview(desk: At, request: Request, who: Reader) -> Overview:
    """All that the page shows."""
    return await overviews.overview(desk, request.app.state.days, who)


@plain.get("/metrics", response_class=Response)
async def metrics(desk: At, request: Request, _: Reader) -> Response:
    """Prometheus metrics; a token of the role read is asked for, as everywhere."""
    return Response(await metric_text(desk, request.app.state.days), media_type="text/plain; version=0.0.4")


@router.post("/tokens", status_code=201)
async def make_token(body: wire.TokenAsked, desk: At, _: Operator) -> wire.TokenMade:
    """Make a token for an owner; it is shown once."""
    return wire.TokenMade(token=await desk.ask(questions.make_token, body.owner, body.role))


@router.get("/tokens")
async def list_tokens(desk: At, _: Operator) -> wire.Tokens:
    """Every token ever made, without secrets."""
    return wire.Tokens(tokens=[wire.Token(**row) for row in await desk.ask(questions.list_tokens)])


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke_token(token_id: str, desk: At, _: Operator) -> None:
    """Refuse a token from now on."""
    await desk.ask(questions.revoke_token, token_id)
    desk.forget_identities()


async def _status(desk: Desk) -> Any:
    return await desk.scheduler.status.remote()


async def _own(desk: Desk, who: Identity, job_id: str) -> questions.Row:
    """The row of a job; what is another's is as unknown as what never was."""
    row = await desk.ask(questions.job, job_id)
    if row is None or (who.role < Role.OPERATE and row["owner"] != who.owner):
        remedy = "list yours with GET /v1/jobs, or: kilowait ps"
        raise Refusal(404, "not found", f"no job {job_id!r} of yours", field="job_id", remedy=remedy)
    return row


async def _view(desk: Desk, row: questions.Row) -> wire.Job:
    """A job with what is expected of it, if it waits, or how far it is, if it runs."""
    if row["state"] == "waiting":
        return views.job_view(row, (await desk.expected()).get(row["job_id"]), None)
    active = (await desk.mirror()).cluster.active.get(row["job_id"]) if row["state"] == "running" else None
    if active is None:
        return views.job_view(row, None, None)
    started_s = row["attempts"][-1]["started_s"] if row["attempts"] else None
    power = (await desk.powers()).get(row["job_id"])
    return views.job_view(row, None, views.progress_view(active, started_s, time.time(), power))


async def _follow(desk: Desk, job_id: str, rank: int, offset: int) -> AsyncIterator[bytes]:
    """The log as it grows, until the job is over."""
    while True:
        row = await desk.ask(questions.job, job_id)
        begin, data = await desk.scheduler.log.remote(job_id, rank, offset, 65536)
        if data:
            offset = begin + len(data)
            yield data
        elif row is None or row["state"] in OVER:
            return
        else:
            await asyncio.sleep(FOLLOW_S)
