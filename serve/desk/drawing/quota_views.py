"""Quotas of projects and users, and what is had of them, as whoever asks may see it."""

from kilowait.cluster.state import Cluster
from kilowait.core.quotas import Quota
from kilowait.core.units import WHOLE
from kilowait.history.tokens import Identity, Role
from kilowait.live.operator_orders.quota_check import waiting_jobs

from ...wire.quota_schemas import MemberHad, QuotaHad, QuotaView

Had = dict[str | None, tuple[float, int, float, float]]
"""By user, the GPUs held, the jobs that wait, and the kWh and the cost of 30 days."""
MOST_MEMBERS = 100
"""That are shown one by one: those with the most GPUs, then the most kWh."""


def quota_views(cluster: Cluster, who: Identity, now_s: float) -> list[QuotaView]:
    """The quotas that concern who asks, for an operator all, with what counts against them now."""
    concern = [quota for quota in cluster.quotas.values() if _concerns(quota, who)]
    had = _had(cluster, now_s) if concern else {}
    return [_view(quota, had, who) for quota in concern]


def _concerns(quota: Quota, who: Identity) -> bool:
    return who.role >= Role.OPERATE or who.owner in quota.admins or quota.account(who.owner) is not None


def _had(cluster: Cluster, now_s: float) -> Had:
    active, gpus = cluster.active.values(), dict[str | None, float]()
    for one in active:
        gpus[one.job.user] = gpus.get(one.job.user, 0.0) + one.gpus * one.job.gpu_milli / WHOLE
    jobs, kwh = waiting_jobs(cluster), cluster.usage.month_kwh(active, now_s)
    cost = cluster.usage.month_cost(active, now_s)
    return {
        user: (gpus.get(user, 0.0), jobs[user], kwh.get(user, 0.0), cost.get(user, 0.0))
        for user in {*gpus, *jobs, *kwh, *cost}
    }


def _view(quota: Quota, had: Had, who: Identity) -> QuotaView:
    nothing = (0.0, 0, 0.0, 0.0)
    of_each = {user: had.get(user, nothing) for user in quota.members or (who.owner,)}
    gpus, jobs, kwh, cost = (sum(amounts) for amounts in zip(*of_each.values(), strict=True))
    manages = who.role >= Role.OPERATE or who.owner in quota.admins
    counted = of_each if quota.members else {user or "": amounts for user, amounts in had.items()}
    each = sorted(
        ((user, one) for user, one in counted.items() if any(one)), key=lambda pair: (-pair[1][0], -pair[1][2])
    )
    return QuotaView(
        name=quota.name,
        members=list(quota.members),
        gpus=quota.gpus,
        jobs=quota.jobs,
        kwh=quota.kwh,
        cost=quota.cost,
        admins=list(quota.admins),
        had=QuotaHad(gpus=gpus, jobs=int(jobs), kwh=kwh, cost=cost),
        by_member=[
            MemberHad(user=user, gpus=one[0], jobs=one[1], kwh=one[2], cost=one[3])
            for user, one in each[:MOST_MEMBERS]
            if manages
        ],
    )
