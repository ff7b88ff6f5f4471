"""Nodes that join, drain and die: what that does to the boards of a cluster and to the jobs that wait.

Called by `kilowait.cluster.advance.advance` alone. A job that fits on no node any more is not lost: it is stranded
until GPUs join on which it fits.
"""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from kilowait.cluster.boards import Boards
from kilowait.cluster.events import (
    GpusHeld,
    GpusJoined,
    MaintenanceSet,
    NodeDrained,
    NodeLost,
    NodesReserved,
    NodeUndrained,
)
from kilowait.cluster.nodes_told_apart import tell_apart
from kilowait.cluster.standing import Waiting, Withdrawn
from kilowait.cluster.state import Cluster
from kilowait.core.errors import IllegalEvent

Limits = dict[str, tuple[int, int, int | None]]
"""By type, what a job's options go by: all GPUs, those of the largest node, and the memory of the smallest board."""


def join(cluster: Cluster, event: GpusJoined) -> None:
    """Boards of one type on one node become usable; raises IllegalEvent for boards that are here already."""
    name = event.gpu_type
    if event.gpus < 1:
        raise IllegalEvent(f"node {event.node}: gpus must be >= 1, got {event.gpus!r}")
    if (event.node, name) in cluster.nodes:
        raise IllegalEvent(f"node {event.node}: its {name} GPUs joined before and would be counted twice")
    if event.node in cluster.draining:
        raise IllegalEvent(f"node {event.node}: it drains; its GPUs can join again once it has left")
    before = _limits(cluster)
    if name in cluster.total:
        tell_apart(cluster)
    if cluster.boards:
        cluster.boards.setdefault(name, Boards()).join(event.node, event.gpus)
    cluster.nodes[event.node, name] = event.gpus
    if event.memory_bytes is not None:
        cluster.memory_of[event.node, name] = event.memory_bytes
    for counts in (cluster.total, cluster.free):
        counts[name] = counts.get(name, 0) + event.gpus
    _count(cluster, name)
    rank = {gpu_type: position for position, gpu_type in enumerate(dict.fromkeys((*cluster.order, *cluster.total)))}
    for counts in (cluster.total, cluster.free, cluster.largest):
        in_order = sorted(counts.items(), key=lambda item: rank.get(item[0], len(rank)))
        counts.clear()
        counts.update(in_order)
    _look_again(cluster, before)


def drain(cluster: Cluster, event: NodeDrained) -> None:
    """Give nothing of a node out any more; raises IllegalEvent for a node that is not here."""
    before = _limits(cluster)
    _close(cluster, event.node)
    cluster.draining.add(event.node)
    if (planned := cluster.maintenance.get(event.node)) is not None and event.time_s < planned.begins_s:
        cluster.maintenance[event.node] = replace(planned, stays_drained=True)
    _look_again(cluster, before)


def undrain(cluster: Cluster, event: NodeUndrained) -> None:
    """Give out again what a node has, except to those who run there; raises IllegalEvent unless it drains."""
    node = event.node
    if node not in cluster.draining:
        raise IllegalEvent(f"node {node}: it does not drain, or is not here")
    before = _limits(cluster)
    cluster.draining.discard(node)
    if (planned := cluster.maintenance.get(node)) is not None:
        cluster.maintenance[node] = replace(planned, stays_drained=False)
    for name, gpu_type in [key for key in cluster.withdrawn if key[0] == node]:
        _open(cluster, name, gpu_type, cluster.withdrawn.pop((name, gpu_type)))
    _look_again(cluster, before)


def maintain(cluster: Cluster, event: MaintenanceSet) -> None:
    """A node is to be maintained at a time, or no more; raises IllegalEvent for one that is not here."""
    maintenance, node = event.maintenance, event.maintenance.node
    if not any(name == node for name, _ in (*cluster.nodes, *cluster.withdrawn)):
        raise IllegalEvent(f"node {node}: it is not here, and cannot be maintained")
    before = cluster.maintenance.pop(node, None)
    drained_by_it = before is not None and before.begins_s <= event.time_s and not before.stays_drained
    if maintenance.ends_s > event.time_s:
        tell_apart(cluster)  # what may start depends on where it is
        stays = node in cluster.draining and not drained_by_it
        cluster.maintenance[node] = replace(maintenance, stays_drained=stays)


def reserve(cluster: Cluster, event: NodesReserved) -> None:
    """Nodes are kept for some users at a time, or no more; raises IllegalEvent for a node that is not here."""
    reservation = event.reservation
    if reservation.ends_s <= event.time_s:
        cluster.reservations.pop(reservation.name, None)
        return
    here = {node for node, _ in (*cluster.nodes, *cluster.withdrawn)}
    if missing := [node for node in reservation.nodes if node not in here]:
        raise IllegalEvent(f"node {missing[0]}: it is not here, and cannot be reserved")
    tell_apart(cluster)  # what may start depends on where it is
    cluster.reservations[reservation.name] = reservation


def lose(cluster: Cluster, event: NodeLost) -> None:
    """Forget a node; raises IllegalEvent for one that is not here or on which an attempt still runs."""
    node = event.node
    for active in cluster.active.values():
        if cluster.runs_on(active, node):
            raise IllegalEvent(
                f"node {node}: lost while job {active.job.job_id} runs on it; end attempt {active.attempt} first"
            )
    before = _limits(cluster)
    if node not in cluster.draining:
        _close(cluster, node)
    cluster.draining.discard(node)
    cluster.maintenance.pop(node, None)
    for key in [key for key in cluster.withdrawn if key[0] == node]:
        del cluster.withdrawn[key]
    for boards in cluster.boards.values():
        boards.leave(node)
    _look_again(cluster, before)


def hold(cluster: Cluster, event: GpusHeld) -> None:
    """Other work holds so many boards of a node; raises IllegalEvent where fewer are free."""
    key = event.node, event.gpu_type
    extra = event.gpus - cluster.held.get(key, 0)
    if key not in cluster.nodes or event.gpus < 0 or extra > cluster.free_on(*key):
        free = cluster.free_on(*key) if key in cluster.nodes else "no boards"
        raise IllegalEvent(f"node {event.node}: {event.gpus} {event.gpu_type} GPUs held by others, {free} free there")
    cluster.held[key] = event.gpus
    cluster.free[event.gpu_type] -= extra
    if cluster.boards:
        cluster.boards[event.gpu_type].withhold(event.node, extra)


def _close(cluster: Cluster, node: str) -> None:
    """Withdraw all that a node has, except from those who run there."""
    types = [gpu_type for name, gpu_type in cluster.nodes if name == node]
    if not types:
        raise IllegalEvent(f"node {node}: it is not here, or it drains already")
    tell_apart(cluster)  # what comes back from now on depends on where it is
    for gpu_type in types:
        cluster.free[gpu_type] -= cluster.boards[gpu_type].close(node)
        cluster.withdrawn[node, gpu_type] = withdrawn = Withdrawn(
            gpus=cluster.nodes.pop((node, gpu_type)),
            held=cluster.held.pop((node, gpu_type), 0),
            memory_bytes=cluster.memory_of.pop((node, gpu_type), None),
        )
        cluster.total[gpu_type] -= withdrawn.gpus
        _count(cluster, gpu_type)


def _open(cluster: Cluster, node: str, gpu_type: str, withdrawn: Withdrawn) -> None:
    """The reverse of `_close` for one type. What others held they are taken to hold still, until they are seen anew."""
    boards, free = cluster.boards[gpu_type], withdrawn.gpus - withdrawn.held
    boards.reopen(node, withdrawn.gpus)
    boards.withhold(node, withdrawn.held)
    for active in cluster.active.values():
        if active.gpu_type == gpu_type:
            free -= boards.take((held for held in active.where if held.node == node), active.job.gpu_milli)
    cluster.nodes[node, gpu_type] = withdrawn.gpus
    if withdrawn.held:
        cluster.held[node, gpu_type] = withdrawn.held
    if withdrawn.memory_bytes is not None:
        cluster.memory_of[node, gpu_type] = withdrawn.memory_bytes
    cluster.total[gpu_type] += withdrawn.gpus
    cluster.free[gpu_type] += free
    _count(cluster, gpu_type)


def _count(cluster: Cluster, gpu_type: str) -> None:
    """Look up the largest node and the smallest board of a type: a job may get any of its boards."""
    cluster.largest[gpu_type] = max((gpus for (_, name), gpus in cluster.nodes.items() if name == gpu_type), default=0)
    cluster.memory_bytes.pop(gpu_type, None)
    sizes = [memory for (_, name), memory in cluster.memory_of.items() if name == gpu_type]
    if sizes:
        cluster.memory_bytes[gpu_type] = min(sizes)


def _limits(cluster: Cluster) -> Limits:
    return {
        name: (total, cluster.largest[name], cluster.memory_bytes.get(name)) for name, total in cluster.total.items()
    }


def _look_again(cluster: Cluster, before: Limits) -> None:
    """Other GPUs open and close types to jobs that wait: their options are looked up, and rankings built, anew.

    On a large cluster one node more or less changes no job's options, and the views stay.
    """
    jobs, after = (*cluster.queue(), *cluster.stranded.values()), _limits(cluster)
    changed = [name for name in after if after[name] != before.get(name)]
    affected = {w.place for w in jobs if list(before) != list(after) or _differs(cluster, w, changed)}
    if affected:
        cluster.wait_anew([_with_options(cluster, w) if w.place in affected else w for w in jobs])
    cluster._ends = None


def _differs(cluster: Cluster, waiting: Waiting, gpu_types: Iterable[str]) -> bool:
    """Whether any of these types opens or closes to a job."""
    job, predictions, gpus = waiting.job, waiting.whole, waiting.gpus
    return any(
        (name in gpus) != (name in predictions and cluster.obstacle(job, predictions, name) is None)
        for name in gpu_types
    )


def _with_options(cluster: Cluster, waiting: Waiting) -> Waiting:
    return msgspec.structs.replace(waiting, gpus=cluster.possible(waiting.job, waiting.whole))
