"""A whole cluster as one value that can be written down, and the cluster again that it was made of.

Everything that later events, and policies, go by is in it, orders included; views that are built when they are first
asked for are not. A job's predictions are left out where they are as submitted.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from kilowait.cluster.boards import Boards
from kilowait.cluster.standing import Active, Postponed, Waiting, Withdrawn
from kilowait.cluster.state import Cluster
from kilowait.cluster.task_lines import TaskLines
from kilowait.cluster.views.recent import Recent
from kilowait.cluster.views.scale import Scale
from kilowait.cluster.views.usage import HadAttempt, Usage
from kilowait.core.maintenance import Maintenance, NodeReservation
from kilowait.core.over_time.signals import Signal
from kilowait.core.quotas import Quota

T = TypeVar("T")
J = TypeVar("J", Waiting, Active)
OfNode = tuple[str, str, T]
"""What a dict holds by (node, type)."""


class SavedBoards(Struct, frozen=True, kw_only=True, array_like=True):
    """Of `Boards`: nodes by number, numbers by node, whole free boards, the most that any node had, shared boards."""

    nodes: list[str]
    numbers: dict[str, int]
    free: list[int]
    sizes: int
    left: list[tuple[int, int, int]]
    closed: list[str]


class SavedUsage(Struct, frozen=True, kw_only=True, array_like=True):
    """Of `Usage`: by user, and of the last month."""

    at_s: float
    over: list[tuple[str | None, float, float]]
    month: list[HadAttempt]
    looked_at: bool


class SavedCluster(Struct, frozen=True, kw_only=True, array_like=True):
    """Of `Cluster`, whose names these are."""

    order: tuple[str, ...]
    now_s: float
    total: dict[str, int]
    free: dict[str, int]
    largest: dict[str, int]
    memory_bytes: dict[str, int]
    nodes: list[OfNode[int]]
    memory_of: list[OfNode[int]]
    held: list[OfNode[int]]
    draining: list[str]
    withdrawn: list[OfNode[Withdrawn]]
    waiting: list[Waiting]
    stranded: list[Waiting]
    active: list[Active]
    over: list[str]
    boards: dict[str, SavedBoards]
    anchors: list[tuple[str | None, str, str, dict[str, float]]]
    special: list[str]
    scale: Scale | None
    recent: list[Waiting] | None
    usage: SavedUsage | None
    in_turn: dict[str, str]
    behind: list[Waiting]
    signals: list[Signal]
    kept: dict[str, Postponed]
    pending: dict[str, list[str]]
    quotas: list[Quota]
    maintenance: list[Maintenance]
    reservations: list[NodeReservation]


def saved(cluster: Cluster) -> SavedCluster:
    """What a cluster is now, to be written down before anything else happens to it."""
    usage, recent = cluster._usage, cluster._recent
    return SavedCluster(
        order=cluster.order,
        now_s=cluster.now_s,
        total=cluster.total,
        free=cluster.free,
        largest=cluster.largest,
        memory_bytes=cluster.memory_bytes,
        nodes=_of_nodes(cluster.nodes),
        memory_of=_of_nodes(cluster.memory_of),
        held=_of_nodes(cluster.held),
        draining=sorted(cluster.draining),
        withdrawn=_of_nodes(cluster.withdrawn),
        waiting=_brief(cluster.waiting.values()),
        stranded=_brief(cluster.stranded.values()),
        active=_brief(cluster.active.values()),
        over=sorted(cluster.over),
        boards={gpu_type: _saved_boards(boards) for gpu_type, boards in cluster.boards.items()},
        anchors=[(*key, dict(ratios)) for key, ratios in cluster.anchors.items()],
        special=sorted(cluster._special),
        scale=cluster._scale,
        recent=None if recent is None else _brief(recent.jobs),
        usage=None if usage is None else _saved_usage(usage),
        in_turn=cluster.lines.in_turn,
        behind=_brief(cluster.lines),
        signals=list(cluster.signals.values()),
        kept=cluster.kept,
        pending=cluster.lines.dependents.parents,
        quotas=list(cluster.quotas.values()),
        maintenance=list(cluster.maintenance.values()),
        reservations=list(cluster.reservations.values()),
    )


def restored(state: SavedCluster) -> Cluster:
    """The cluster that was saved."""
    cluster = Cluster(
        order=state.order,
        now_s=state.now_s,
        total=state.total,
        free=state.free,
        largest=state.largest,
        memory_bytes=state.memory_bytes,
        nodes=_by_node(state.nodes),
        memory_of=_by_node(state.memory_of),
        held=_by_node(state.held),
        draining=set(state.draining),
        withdrawn=_by_node(state.withdrawn),
        active={active.job.job_id: active for active in _whole(state.active)},
        over=set(state.over),
        boards={gpu_type: _restored_boards(boards) for gpu_type, boards in state.boards.items()},
        anchors={(user, content_hash, version): ratios for user, content_hash, version, ratios in state.anchors},
        _special=set(state.special),
        _scale=state.scale,
        _recent=None if state.recent is None else Recent.of(_whole(state.recent)),
        _usage=None if state.usage is None else _restored_usage(state.usage),
        lines=TaskLines.of(state.in_turn, _whole(state.behind), state.pending),
        signals={signal.name: signal for signal in state.signals},
        kept=state.kept,
        quotas={quota.name: quota for quota in state.quotas},
        maintenance={one.node: one for one in state.maintenance},
        reservations={one.name: one for one in state.reservations},
    )
    _let_wait(cluster, _whole(state.waiting), _whole(state.stranded))
    return cluster


def _let_wait(cluster: Cluster, waiting: Sequence[Waiting], stranded: Sequence[Waiting]) -> None:
    cluster.waiting = {entry.job.job_id: entry for entry in waiting}
    cluster.stranded = {entry.job.job_id: entry for entry in stranded}
    cluster._queue = sorted(waiting, key=lambda entry: entry.place)
    cluster._places = [entry.place for entry in cluster._queue]


def _of_nodes(values: Mapping[tuple[str, str], T]) -> list[OfNode[T]]:
    return [(*key, value) for key, value in values.items()]


def _by_node(values: Iterable[OfNode[T]]) -> dict[tuple[str, str], T]:
    return {(node, gpu_type): value for node, gpu_type, value in values}


def _brief(jobs: Iterable[J]) -> list[J]:
    """No predictions where they are those of the whole job as submitted."""
    return [msgspec.structs.replace(job, predictions={}) if job.predictions == job.whole else job for job in jobs]


def _whole(jobs: Iterable[J]) -> list[J]:
    return [job if job.predictions else msgspec.structs.replace(job, predictions=job.whole) for job in jobs]


def _saved_boards(boards: Boards) -> SavedBoards:
    return SavedBoards(
        nodes=boards._nodes,
        numbers=boards._numbers,
        free=boards._free,
        sizes=len(boards._with),
        left=[(node, board, milli) for (node, board), milli in boards._left.items()],
        closed=sorted(boards._closed),
    )


def _restored_boards(state: SavedBoards) -> Boards:
    boards = Boards()
    boards._nodes, boards._numbers, boards._free = state.nodes, state.numbers, state.free
    boards._with = [[] for _ in range(state.sizes)]
    for number in sorted(state.numbers.values()):
        boards._with[state.free[number]].append(number)
    boards._left = {(node, board): milli for node, board, milli in state.left}
    boards._by_left = sorted((milli, node, board) for node, board, milli in state.left)
    boards._closed = set(state.closed)
    return boards


def _saved_usage(usage: Usage) -> SavedUsage:
    over = [(user, *had) for user, had in usage.over.items()]
    return SavedUsage(at_s=usage.at_s, over=over, month=list(usage.month), looked_at=usage.looked_at)


def _restored_usage(state: SavedUsage) -> Usage:
    over = {user: (gpu_s, kwh) for user, gpu_s, kwh in state.over}
    return Usage(at_s=state.at_s, over=over, month=deque(state.month), looked_at=state.looked_at)
