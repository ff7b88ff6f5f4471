"""A cluster as a policy is shown it: fewer jobs, or less room, than there are."""

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


@contextmanager
def lent(cluster: Cluster, room: Room) -> Iterator[None]:
    """While this lasts, the cluster says that this room is free, and no more."""
    before, cluster._lent = cluster._lent, room
    try:
        yield
    finally:
        cluster._lent = before
