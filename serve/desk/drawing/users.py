"""Who has what now, and what theirs that ended today used: of others only where somebody may see them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Provenance
from kilowait.core.units import JOULES_PER_KWH
from kilowait.history.tokens import Identity

from ...wire.page_schemas import UserView

MOST_USERS = 100
"""Those with the most GPUs, then the most energy."""


def users_view(cluster: Cluster, rows: Sequence[Mapping[str, Any]], who: Identity) -> list[UserView]:
    """The owners of the jobs of a cluster and of today's rows of `columns.HISTORY`."""
    running, gpus, waiting = Counter[str](), Counter[str](), Counter[str]()
    for active in cluster.active.values():
        running[active.job.user or ""] += 1
        gpus[active.job.user or ""] += active.gpus
    for entry in chain(cluster.waiting.values(), cluster.stranded.values(), cluster.lines):
        waiting[entry.job.user or ""] += 1
    ended = defaultdict[str, list[Mapping[str, Any]]](list)
    for row in rows:
        ended[row["owner"]].append(row)
    users = [
        _user(owner, running[owner], gpus[owner], waiting[owner], ended[owner], who)
        for owner in {*running, *waiting, *ended}
        if who.sees(owner)
    ]
    return sorted(users, key=lambda user: (-user.gpus, -user.energy_kwh, -user.waiting, user.owner))[:MOST_USERS]


def _user(
    owner: str, running: int, gpus: int, waiting: int, rows: Sequence[Mapping[str, Any]], who: Identity
) -> UserView:
    metered = [row for row in rows if row["energy_j"] is not None]
    return UserView(
        owner=owner,
        mine=owner == who.owner,
        running=running,
        gpus=gpus,
        waiting=waiting,
        ended=len({row["job_id"] for row in rows}),
        energy_kwh=sum(row["energy_j"] for row in metered) / JOULES_PER_KWH,
        energy_provenance=sorted({Provenance(row["energy_provenance"]) for row in metered}),
    )
