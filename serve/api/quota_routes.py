"""Routes of quotas: operators set them, and whoever they concern sees them with what is had of them."""

import time

from fastapi import APIRouter

from kilowait.cluster.state import Cluster
from kilowait.core.quotas import Quota
from kilowait.core.units import WHOLE
from kilowait.history.tokens import Role
from kilowait.live.operator_orders.quota_check import waiting_jobs

from ..wire.problems import Refusal
from ..wire.quota_schemas import QuotaAsked, QuotaHad, QuotaList, QuotaName, QuotaView
from .access import At, Operator, Reader

router = APIRouter(prefix="/v1")


@router.put("/quotas/{name}", status_code=204)
async def set_quota(name: QuotaName, body: QuotaAsked, desk: At, _: Operator) -> None:
    """Set what a project, or each user, may have from now on, in the place of an earlier quota of this name."""
    members, limits = tuple(dict.fromkeys(body.members)), body.model_dump(include={"gpus", "jobs", "kwh"})
    await desk.scheduler.order.remote(Quota(name=name, members=members, **limits))


@router.delete("/quotas/{name}", status_code=204)
async def remove_quota(name: QuotaName, desk: At, _: Operator) -> None:
    """Let it be a quota no more."""
    if name not in (await desk.mirror()).cluster.quotas:
        remedy = "list them with GET /v1/quotas, or: kilowait quota list"
        raise Refusal(404, "not found", f"no quota {name!r}", field="name", remedy=remedy)
    await desk.scheduler.order.remote(Quota(name=name))


@router.get("/quotas")
async def list_quotas(desk: At, who: Reader) -> QuotaList:
    """The quotas that concern who asks, for an operator all, with what counts against them now."""
    cluster = (await desk.mirror()).cluster
    sees_all = who.role >= Role.OPERATE
    quotas = [q for q in cluster.quotas.values() if sees_all or q.account(who.owner) is not None]
    had = _had(cluster, time.time()) if quotas else {}
    return QuotaList(quotas=[_view(quota, had, who.owner) for quota in quotas])


def _had(cluster: Cluster, now_s: float) -> dict[str | None, tuple[float, int, float]]:
    """By user, the GPUs held, the jobs that wait, and the kWh of 30 days."""
    active, gpus = cluster.active.values(), dict[str | None, float]()
    for one in active:
        gpus[one.job.user] = gpus.get(one.job.user, 0.0) + one.gpus * one.job.gpu_milli / WHOLE
    jobs, kwh = waiting_jobs(cluster), cluster.usage.month_kwh(active, now_s)
    return {user: (gpus.get(user, 0.0), jobs[user], kwh.get(user, 0.0)) for user in {*gpus, *jobs, *kwh}}


def _view(quota: Quota, had: dict[str | None, tuple[float, int, float]], owner: str) -> QuotaView:
    of_each = [had.get(user, (0.0, 0, 0.0)) for user in quota.members or (owner,)]
    gpus, jobs, kwh = (sum(amounts) for amounts in zip(*of_each, strict=True))
    return QuotaView(
        name=quota.name,
        members=list(quota.members),
        gpus=quota.gpus,
        jobs=quota.jobs,
        kwh=quota.kwh,
        had=QuotaHad(gpus=gpus, jobs=int(jobs), kwh=kwh),
    )
