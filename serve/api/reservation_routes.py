"""Routes of reservations: operators make them, and everybody sees when which nodes are kept for whom."""

import time

from fastapi import APIRouter
from msgspec.structs import asdict, replace

from kilowait.core.maintenance import NodeReservation

from ..wire.problems import Refusal
from ..wire.quota_schemas import QuotaName
from ..wire.reservation_schemas import ReservationAsked, ReservationList, ReservationView
from .access import At, Operator, Reader

router = APIRouter(prefix="/v1")


@router.put("/reservations/{name}", status_code=204)
async def reserve(name: QuotaName, body: ReservationAsked, desk: At, _: Operator) -> None:
    """Keep nodes for users or projects, in the place of an earlier reservation of this name: jobs of others that would
    not be over when it begins are not started on them until it has ended."""
    quotas = (await desk.mirror()).cluster.quotas
    if unknown := [project for project in body.projects if project not in quotas or not quotas[project].members]:
        remedy = "list them with GET /v1/quotas, or: kilowait quota list"
        raise Refusal(422, "invalid input", f"no project {unknown[0]!r}", field="projects", remedy=remedy)
    if body.ends_s <= time.time():
        raise Refusal(422, "invalid input", "ends_s: it has ended already", field="ends_s", remedy="take a later end")
    lists = {field: tuple(dict.fromkeys(getattr(body, field))) for field in ("nodes", "users", "projects")}
    times = {"begins_s": body.begins_s, "ends_s": body.ends_s, "reason": body.reason}
    await desk.scheduler.order.remote(NodeReservation(name=name, **lists, **times))


@router.delete("/reservations/{name}", status_code=204)
async def end_reservation(name: QuotaName, desk: At, _: Operator) -> None:
    """Let it end now, or call it off."""
    if (one := (await desk.mirror()).cluster.reservations.get(name)) is None:
        remedy = "list them with GET /v1/reservations, or: kilowait reserve list"
        raise Refusal(404, "not found", f"no reservation {name!r}", field="name", remedy=remedy)
    await desk.scheduler.order.remote(replace(one, begins_s=0.0, ends_s=0.0))


@router.get("/reservations")
async def list_reservations(desk: At, _: Reader) -> ReservationList:
    """All that have not ended, the first to begin first."""
    ordered = sorted((await desk.mirror()).cluster.reservations.values(), key=lambda one: (one.begins_s, one.name))
    return ReservationList(reservations=[ReservationView(**asdict(one)) for one in ordered])
