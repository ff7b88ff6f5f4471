"""What a log replays to: where a controller stands when it begins, and again after a write that failed."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kilowait.cluster.advance import replay
from kilowait.cluster.events import Event, JobPlaced
from kilowait.cluster.state import Cluster
from kilowait.history.store import Store


class Recovered(NamedTuple):
    """The cluster, the number of the last event, and by running job the token of the attempt that speaks for it."""

    cluster: Cluster
    seq: int
    tokens: dict[str, int]


def recovered(store: Store, order: Sequence[str]) -> Recovered:
    """Replay the log of a store."""
    seq, tokens = 0, dict[str, int]()

    def events() -> Iterator[Event]:
        nonlocal seq
        for seq, event in store.events():
            if isinstance(event, JobPlaced):
                tokens[event.job_id] = seq
            yield event

    cluster = replay(events(), order)
    return Recovered(cluster, seq, {job_id: tokens[job_id] for job_id in cluster.active})
