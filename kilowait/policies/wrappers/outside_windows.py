"""Nodes that are to be maintained, or are reserved, at a time, around whatever policy decides: what would not be over,
and may not be there, is kept off them.

Plans of later starts know these times (`kilowait.policies.planning.floors`); the starts themselves are held to this.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from kilowait.cluster.boards import Boards
from kilowait.cluster.restricted import lent, with_jobs
from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.cluster.views.windows import NodeWindow, windows_of
from kilowait.core.jobs import Held
from kilowait.core.maintenance import longest_s
from kilowait.policies.compiled_form import cost_of, with_cost
from kilowait.policies.decisions import Decision, Place, Policy

Windows = tuple[NodeWindow, ...]


def outside_windows(policy: Policy) -> Policy:
    """`policy`, which starts a job on a node with a window only where it may be there or should be over before.

    What it starts that may be there goes to these nodes first, so that others are left to longer jobs. Where it would
    start one that finds no other node, it decides again: on the other nodes, and then on those of each window for the
    jobs that may be there. Of how long a job takes the upper end of its interval counts, where it has one. Nobody is
    preempted while a node has a window: what that is for might not be allowed to start.
    """

    def decide(cluster: Cluster) -> list[Decision]:
        windows = windows_of(cluster)
        if not windows:
            return policy(cluster)
        cluster.count_submissions()
        starts = _Starts(cluster=cluster, windows=windows, room=cluster.room(), placed=[])
        if starts.settle(policy(cluster)):
            return starts.placed
        starts.settle(_asked(policy, cluster, starts.left(), _without(starts.room, windows)))
        for alike, nodes in _groups(windows).items():
            others = {name for name, _ in cluster.nodes if name not in nodes}
            may = [w for w in starts.left() if any(starts.may_be_there(w, gpu_type, alike) for gpu_type in w.gpus)]
            starts.settle(_asked(policy, cluster, may, _without(starts.room, others)))
        return starts.placed

    return with_cost(decide, cost_of(policy))


def _groups(windows: Mapping[str, Windows]) -> dict[Windows, set[str]]:
    """The nodes of the same windows together."""
    groups = dict[Windows, set[str]]()
    for node, alike in windows.items():
        groups.setdefault(alike, set()).add(node)
    return groups


@dataclass(slots=True, kw_only=True)
class _Starts:
    """What starts in one decision, and the room that is left."""

    cluster: Cluster
    windows: Mapping[str, Windows]
    room: Room
    placed: list[Decision]

    def settle(self, decisions: Sequence[Decision]) -> bool:
        """Let start what finds boards; whether all of it did."""
        before = len(self.placed)
        for decision in decisions:
            waiting = self.cluster.waiting.get(decision.job_id)
            if isinstance(decision, Place) and waiting is not None and (where := self._where(waiting, decision)):
                self.room.take(waiting, decision.gpu_type, where)
                self.placed.append(Place(job_id=decision.job_id, gpu_type=decision.gpu_type, where=where))
        return len(self.placed) - before == len(decisions)

    def left(self) -> list[Waiting]:
        """Who waits still, in queue order."""
        taken = {decision.job_id for decision in self.placed}
        return [waiting for waiting in self.cluster.queue() if waiting.job.job_id not in taken]

    def may_be_there(self, waiting: Waiting, gpu_type: str, windows: Windows) -> bool:
        """Whether a job that starts now would be over before each of these windows that is not for its user."""
        ends_s = self.cluster.now_s + longest_s(waiting.predictions[gpu_type])
        return all(ends_s <= one.begins_s or waiting.job.user in one.users for one in windows)

    def _where(self, waiting: Waiting, place: Place) -> tuple[Held, ...]:
        """The boards of a job: those that were named where it may have them; () where there are none for it."""
        gpu_type, boards = place.gpu_type, self.room.boards_of(place.gpu_type)
        open_to = {node for node, windows in self.windows.items() if self.may_be_there(waiting, gpu_type, windows)}
        shut = self.windows.keys() - open_to
        asks = waiting.gpus[gpu_type], waiting.job.gpu_milli, waiting.job.one_node
        if place.where and not any(held.node in shut for held in place.where) and boards.allows(place.where, *asks):
            return place.where
        others = {node for node, name in self.cluster.nodes if name == gpu_type and node not in open_to}
        return _but(boards, others).choose(*asks) or _but(boards, shut).choose(*asks)


def _asked(policy: Policy, cluster: Cluster, jobs: Sequence[Waiting], room: Room) -> list[Decision]:
    """What `policy` decides for these jobs on this room."""
    if not jobs or not room:
        return []
    with lent(cluster, room):
        return policy(with_jobs(cluster, jobs))


def _without(room: Room, nodes: Collection[str]) -> Room:
    """What is left of a room without these nodes."""
    free, own = room.free.copy(), dict[str, Boards]()
    for gpu_type in room.boards:
        boards = room.boards_of(gpu_type)
        free[gpu_type] -= sum(boards.free_on(node) for node in nodes if boards.knows(node))
        own[gpu_type] = _but(boards, nodes)
    return Room(free, room.boards, own)


def _but(boards: Boards, nodes: Collection[str]) -> Boards:
    """A copy in which nothing of these nodes is free."""
    rest = boards.copy()
    for node in nodes:
        if rest.knows(node):
            rest.close(node)
    return rest
