"""Routes for those who look after the service: the cluster, health, metrics, nodes, tokens, and the page's numbers."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from ray.exceptions import RayError

import kilowait
from kilowait.core.maintenance import Maintenance
from kilowait.core.over_time.signals import Signal
from kilowait.policies.limiting.daily_budget import daily_budget, no_budget
from kilowait.policies.limiting.promised_watts import at_rest_w

from ..desk import job_views, questions
from ..desk import overview as overviews
from ..desk.desk import Desk
from ..wire import cluster_schemas, token_schemas
from ..wire.health_schemas import Health
from ..wire.page_schemas import Overview
from ..wire.problems import Refusal
from .access import At, Operator, Reader
from .metrics import text as metric_text

router = APIRouter(prefix="/v1")
plain = APIRouter()


@router.get("/cluster")
async def cluster(desk: At, who: Reader) -> cluster_schemas.ClusterView:
    """The GPUs by type, the nodes, and how many jobs wait and run."""
    mirror, status = await desk.mirror(), await desk.scheduler.status.remote()
    return job_views.cluster_view(mirror, status["settings"], status, time.time(), who)


@router.post("/nodes/{node}/drain", status_code=202)
async def drain(node: str, desk: At, who: Operator) -> cluster_schemas.ClusterView:
    """Give a node no more jobs; those that run there end as they would."""
    await desk.scheduler.drain.remote(node)
    return await cluster(desk, who)


@router.post("/nodes/{node}/undrain", status_code=202)
async def undrain(node: str, desk: At, who: Operator) -> cluster_schemas.ClusterView:
    """Give a node that drained jobs again; it is to be maintained no more."""
    await desk.scheduler.undrain.remote(node)
    return await cluster(desk, who)


@router.put("/nodes/{node}/maintenance", status_code=202)
async def maintain(
    node: str, body: cluster_schemas.MaintenanceAsked, desk: At, who: Operator
) -> cluster_schemas.ClusterView:
    """Plan the maintenance of a node, in place of what was planned: jobs that would not be over before are not started
    on it; it drains when it begins, and is given jobs again when it ends, or by `undrain`."""
    await desk.scheduler.order.remote(Maintenance(node=node, **body.model_dump()))
    return await cluster(desk, who)


@router.put("/power-budget", status_code=202)
async def set_power_budget(
    body: cluster_schemas.PowerBudgetAsked, desk: At, who: Operator
) -> cluster_schemas.ClusterView:
    """Hold the cluster to a power budget from now on, in place of an earlier one: boards are limited, and jobs wait or
    give way. Refused where boards draw more at rest."""
    now_s, cluster_now = time.time(), (await desk.mirror()).cluster
    at_rest = at_rest_w(cluster_now)
    if low := [step for step in body.steps if step.watts < at_rest]:
        problem = f"{low[0].watts:,.0f} W is below the {at_rest:,.0f} W that the boards here draw at rest"
        raise Refusal(422, "invalid input", problem, field="steps", remedy="ask for more, or switch nodes off")
    await _order_budget(desk, daily_budget([(step.at, step.watts) for step in body.steps], now_s))
    return await cluster(desk, who)


@router.delete("/power-budget", status_code=202)
async def remove_power_budget(desk: At, who: Operator) -> cluster_schemas.ClusterView:
    """Let there be no power budget any more: limits are lifted."""
    await _order_budget(desk, no_budget(time.time()))
    return await cluster(desk, who)


async def _order_budget(desk: Desk, signal: Signal) -> None:
    """Raises Refusal where the service follows a file or an address, which would say otherwise soon."""
    followed = (await _status(desk))["settings"].signals
    if place := next((source.shown for source in followed if source.name == signal.name), None):
        remedy = "change what that says, or start the service without --signal power_budget=..."
        raise Refusal(409, "conflict", f"the power budget is followed from {place}", field="steps", remedy=remedy)
    await desk.scheduler.order.remote(signal)


@router.get("/health", responses={503: {"model": Health, "description": "it cannot do all of its work now"}})
async def health(desk: At, response: Response) -> Health:
    """Whether the scheduler and the predictor answer; needs no token. 503 where they do not."""
    try:
        problem = (await asyncio.wait_for(_status(desk), 5))["problem"]
        scheduler = "ok" if problem is None else "has a problem; kilowait cluster says which to an operator"
    except (RayError, TimeoutError) as error:
        scheduler = f"no answer ({type(error).__name__})"
    predictor = desk.forecasts.problem() or "ok"
    well = (scheduler, predictor) == ("ok", "ok")
    response.status_code = 200 if well else 503
    status: Any = "ok" if well else "degraded"
    return Health(
        status=status,
        version=kilowait.__version__,
        scheduler=scheduler,
        predictor=predictor,
        isolation=await desk.isolation.view(),
    )


@router.get("/overview")
async def overview(
    desk: At,
    request: Request,
    who: Reader,
    rows: Annotated[int, Query(ge=1, le=overviews.SHOWN, description="jobs in each of its lists")] = overviews.SHOWN,
) -> Overview:
    """All that the page shows."""
    return await overviews.overview(desk, request.app.state.days, who, rows)


@plain.get("/metrics", response_class=Response)
async def metrics(desk: At, request: Request, _: Reader) -> Response:
    """Prometheus metrics; a token of the role read is asked for, as everywhere."""
    return Response(
        await metric_text(desk, request.app.state.days, request.app.state.learner),
        media_type="text/plain; version=0.0.4",
    )


@router.post("/tokens", status_code=201)
async def make_token(body: token_schemas.TokenAsked, desk: At, _: Operator) -> token_schemas.TokenMade:
    """Make a token for an owner; it is shown once."""
    asked = body.owner, body.role, body.expires_in_s, body.scopes
    return token_schemas.TokenMade(token=await desk.ask(questions.make_token, *asked))


@router.get("/tokens")
async def list_tokens(desk: At, _: Operator) -> token_schemas.TokenList:
    """Every token ever made, without secrets."""
    return token_schemas.TokenList(tokens=[token_schemas.Token(**row) for row in await desk.ask(questions.list_tokens)])


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke_token(token_id: str, desk: At, _: Operator, force: bool = False) -> None:
    """Refuse a token from now on; the last operator's only with `force`."""
    if token_id not in {row["token_id"] for row in await desk.ask(questions.list_tokens)}:
        remedy = "list them with GET /v1/tokens, or: kilowait token list"
        raise Refusal(404, "not found", f"no token {token_id!r}", field="token_id", remedy=remedy)
    await desk.ask(questions.revoke_token, token_id, force)
    desk.forget_identities()


async def _status(desk: Desk) -> Any:
    return await desk.scheduler.status.remote()
