"""Where a controller stands when it begins, and again after a write that failed: where its log leads.

That is a saved state and the events behind it where there is a usable one, else the whole log.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from kilowait.cluster.advance import advance
from kilowait.cluster.events import JobPlaced
from kilowait.cluster.saved_cluster import restored
from kilowait.cluster.state import Cluster
from kilowait.core.errors import IllegalEvent, JobRefused
from kilowait.history.store import Store
from kilowait.live.saving import saved_scheduler, uncollected

_log = logging.getLogger(__name__)


class Recovered(NamedTuple):
    """The cluster, the number of the last event, and by running job the token of the attempt that speaks for it."""

    cluster: Cluster
    seq: int
    tokens: dict[str, int]


def recovered(store: Store, order: Sequence[str]) -> Recovered:
    """Where the log of a store leads to; raises StoreError where it cannot be read."""
    with uncollected():
        if (found := saved_scheduler(store, order)) is not None:
            seq, state = found
            try:
                return _followed(store, Recovered(restored(state.cluster), seq, state.tokens))
            except (IllegalEvent, JobRefused, LookupError) as error:
                _log.warning("%s: the state saved at event %d is wrong, the log says: %s", store.name, seq, error)
        return _followed(store, Recovered(_empty(order), 0, {}))


def _followed(store: Store, begun: Recovered) -> Recovered:
    """Take in what the log says behind an event."""
    cluster, seq, tokens = begun
    for seq, event in store.events(begun.seq):
        if isinstance(event, JobPlaced):
            tokens[event.job_id] = seq
        advance(cluster, event)
    return Recovered(cluster, seq, {job_id: tokens[job_id] for job_id in cluster.active})


def _empty(order: Sequence[str]) -> Cluster:
    """A cluster at the beginning of its log, which keeps what a policy may look at from the first event on."""
    cluster = Cluster(order=tuple(order))
    cluster.count_submissions()
    return cluster
