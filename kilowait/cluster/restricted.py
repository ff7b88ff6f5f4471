"""A cluster as a policy is shown it: fewer jobs, less room, or nothing yet but the users."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room


def with_jobs(cluster: Cluster, jobs: Iterable[Waiting]) -> Cluster:
    """The same cluster with these of its waiting jobs alone, for one decision; running jobs and GPUs are shared."""
    cluster.count_submissions()
    shown = copy.copy(cluster)
    shown.waiting, shown._rankings = {}, []
    shown.wait_anew(list(jobs))
    shown._ends = cluster.ends()  # so that estimates are renewed where the policy looked at them
    return shown


def of_the_same_users(cluster: Cluster) -> Cluster:
    """A new cluster without GPUs and jobs: its users have had as much until now, and operators' orders are the same."""
    return Cluster(
        quotas=cluster.quotas,
        maintenance=cluster.maintenance,
        reservations=cluster.reservations,
        _usage=cluster.usage.copy(),
    )


@contextmanager
def lent(cluster: Cluster, room: Room) -> Iterator[None]:
    """While this lasts, the cluster says that this room is free, and no more."""
    before, cluster._lent = cluster._lent, room
    try:
        yield
    finally:
        cluster._lent = before
