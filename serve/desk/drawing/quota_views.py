"""Quotas of projects and users, and what is had of them, as whoever asks may see it."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from kilowait.cluster.state import Cluster
from kilowait.core.quotas import Quota
from kilowait.core.units import WHOLE
from kilowait.history.tokens import Identity, Role
from kilowait.live.operator_orders.quota_check import waiting_jobs

from ...wire.quota_schemas import MemberHad, QuotaHad, QuotaView

MOST_MEMBERS = 100
"""That are shown one by one: those with the most GPUs, then the most kWh."""


class _Had(NamedTuple):
    """Of one user: the GPUs held, the jobs that wait, and the kWh and the cost of 30 days."""

    gpus: float = 0.0
    jobs: int = 0
    kwh: float = 0.0
    cost: float = 0.0


def quota_views(cluster: Cluster, who: Identity, now_s: float) -> list[QuotaView]:
    """The quotas that concern who asks, for an operator all, with what counts against them now."""
    quotas = cluster.quotas.values()
    concern = [
        quota if manages(quota, who) or who.owner not in quota.former else replace(quota, members=(who.owner,))
        for quota in quotas
        if manages(quota, who) or quota.account(who.owner) is not None
    ]
    had = _had(cluster, now_s) if concern else {}
    return [_view(quota, had, who) for quota in concern]


def manages(quota: Quota, who: Identity) -> bool:
    """Whether somebody sees what each member has, and removes members: operators, and the project's administrators."""
    return who.role >= Role.OPERATE or who.owner in quota.admins


def _had(cluster: Cluster, now_s: float) -> dict[str | None, _Had]:
    """By user."""
    active, gpus = cluster.active.values(), dict[str | None, float]()
    for one in active:
        gpus[one.job.user] = gpus.get(one.job.user, 0.0) + one.gpus * one.job.gpu_milli / WHOLE
    jobs, kwh = waiting_jobs(cluster), cluster.usage.month_kwh(active, now_s)
    cost = cluster.usage.month_cost(active, now_s)
    return {
        user: _Had(gpus.get(user, 0.0), jobs[user], kwh.get(user, 0.0), cost.get(user, 0.0))
        for user in {*gpus, *jobs, *kwh, *cost}
    }


def _view(quota: Quota, had: Mapping[str | None, _Had], who: Identity) -> QuotaView:
    of_each = {user: had.get(user, _Had()) for user in quota.members or (who.owner,)}
    together = _Had(*map(sum, zip(*of_each.values(), strict=True)))
    counted = of_each if quota.members else {user or "": one for user, one in had.items()}
    return QuotaView(
        name=quota.name,
        members=list(quota.members),
        gpus=quota.gpus,
        jobs=quota.jobs,
        kwh=quota.kwh,
        cost=quota.cost,
        admins=list(quota.admins),
        had=QuotaHad(**together._asdict()),
        by_member=_by_member(counted) if manages(quota, who) else [],
    )


def _by_member(counted: Mapping[str, _Had]) -> list[MemberHad]:
    had = [(user, one) for user, one in counted.items() if any(one)]
    had.sort(key=lambda pair: (-pair[1].gpus, -pair[1].kwh))
    return [MemberHad(user=user, **one._asdict()) for user, one in had[:MOST_MEMBERS]]
