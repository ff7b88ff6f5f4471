"""Routes of quotas: operators set them, and whoever they concern sees them with what is had of them."""

import time

from fastapi import APIRouter
from msgspec.structs import replace

from kilowait.cluster.views.usage import price_per_hour
from kilowait.core.quotas import Quota
from kilowait.history.tokens import Identity, Role

from ..desk.drawing.quota_views import manages, quota_views
from ..wire.problems import Refusal
from ..wire.quota_schemas import QuotaAsked, QuotaList, QuotaName
from ..wire.texts import Owner
from .access import At, Operator, Reader, Submitter

router = APIRouter(prefix="/v1")


@router.put("/quotas/{name}", status_code=204)
async def set_quota(name: QuotaName, body: QuotaAsked, desk: At, _: Operator) -> None:
    """Set what a project, or each user, may have from now on, in the place of an earlier quota of this name."""
    limits = body.model_dump(include={"gpus", "jobs", "kwh", "cost"})
    if body.cost is not None and not any(map(price_per_hour, (await desk.mirror()).cluster.total)):
        remedy = "give price_per_hour in the file of GPU types (--gpu-file), and start the service with it"
        raise Refusal(422, "invalid input", "cost: no GPU type here has a price", field="cost", remedy=remedy)
    members, admins = (tuple(dict.fromkeys(names)) for names in (body.members, body.admins))
    async with desk.quota_changes:
        before = (await desk.mirror()).cluster.quotas.get(name)
        former = tuple(one for one in before.former if one not in members) if before and members else ()
        await desk.scheduler.order.remote(Quota(name=name, members=members, admins=admins, former=former, **limits))


@router.delete("/quotas/{name}", status_code=204)
async def remove_quota(name: QuotaName, desk: At, _: Operator) -> None:
    """Let it be a quota no more."""
    async with desk.quota_changes:
        if name not in (await desk.mirror()).cluster.quotas:
            remedy = "list them with GET /v1/quotas, or: kilowait quota list"
            raise Refusal(404, "not found", f"no quota {name!r}", field="name", remedy=remedy)
        await desk.scheduler.order.remote(Quota(name=name))


@router.delete("/quotas/{name}/members/{member:path}", status_code=204)
async def remove_member(name: QuotaName, member: Owner, desk: At, who: Submitter) -> None:
    """Let somebody be a member of a project no more: for operators and the project's administrators. Whom one of these
    lets go is held to the project's limits alone, until an operator removes that one, too."""
    async with desk.quota_changes:  # or of two who leave at once one would stay
        quota = (await desk.mirror()).cluster.quotas.get(name)
        await desk.scheduler.order.remote(_without(member, quota, name, who))


def _without(member: str, quota: Quota | None, name: str, who: Identity) -> Quota:
    """The quota of the others; raises Refusal where that is none of who asks, or of nobody."""
    frees = who.role >= Role.OPERATE
    if quota is not None and frees and member in quota.former:
        return replace(quota, former=tuple(one for one in quota.former if one != member))
    if quota is None or member not in quota.members or not manages(quota, who):
        remedy = "list them with GET /v1/quotas, or: kilowait quota list"
        raise Refusal(
            404, "not found", f"no member {member!r} of a project {name!r} of yours", field="member", remedy=remedy
        )
    left = tuple(one for one in quota.members if one != member)
    if not left:
        remedy = "have an operator remove the project: kilowait quota remove"
        raise Refusal(422, "invalid input", f"{member!r} is the last member of {name!r}", field="member", remedy=remedy)
    return replace(quota, members=left, former=quota.former if frees else (*quota.former, member))


@router.get("/quotas")
async def list_quotas(desk: At, who: Reader) -> QuotaList:
    """The quotas that concern who asks, for an operator all, with what counts against them now."""
    return QuotaList(quotas=quota_views((await desk.mirror()).cluster, who, time.time()))
