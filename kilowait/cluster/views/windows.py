"""When nodes are not to be had, or not by everybody: maintenance to come, and reservations."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kilowait.cluster.state import Cluster

Span = tuple[float, float]
"""From when to when, in seconds since the epoch."""


class NodeWindow(NamedTuple):
    """Of a node, from `begins_s` to `ends_s`; `users` may use it all the same."""

    begins_s: float
    ends_s: float
    users: frozenset[str] = frozenset()


def windows_of(cluster: "Cluster") -> dict[str, tuple[NodeWindow, ...]]:
    """By node, the windows that have not ended, for nodes that do not drain."""
    found = dict[str, list[NodeWindow]]()
    if not (cluster.maintenance or cluster.reservations):  # as nearly always, at every decision
        return {}
    for node, planned in cluster.maintenance.items():
        found.setdefault(node, []).append(NodeWindow(planned.begins_s, planned.ends_s))
    for one in cluster.reservations.values():
        users = frozenset(one.users).union(*(cluster.quotas[p].members for p in one.projects if p in cluster.quotas))
        for node in one.nodes:
            found.setdefault(node, []).append(NodeWindow(one.begins_s, one.ends_s, users))
    here = {node for node, _ in cluster.nodes}
    still = {node: tuple(w for w in found[node] if w.ends_s > cluster.now_s) for node in found if node in here}
    return {node: windows for node, windows in still.items() if windows}


def closed_to_all(cluster: "Cluster") -> dict[str, list[Span]]:
    """By node, when none of the jobs that wait may use it, without overlaps and in order."""
    by_node = windows_of(cluster)
    waiting = {entry.job.user for entry in cluster.waiting.values()} if by_node else set()
    spans = {
        node: _united((w.begins_s, w.ends_s) for w in windows if w.users.isdisjoint(waiting))
        for node, windows in by_node.items()
    }
    return {node: found for node, found in spans.items() if found}


def _united(spans: Iterable[Span]) -> list[Span]:
    united = list[Span]()
    for begins_s, ends_s in sorted(spans):
        if united and begins_s <= united[-1][1]:
            united[-1] = united[-1][0], max(ends_s, united[-1][1])
        else:
            united.append((begins_s, ends_s))
    return united
