"""Nodes that are to be maintained, or are reserved, at a time, around whatever policy decides: what would not be over,
and may not be there, is kept off them.

Plans of later starts know these times (`kilowait.policies.planning.floors`); the starts themselves are held to this.
"""

from collections.abc import Collection, Mapping, Sequence

from kilowait.cluster.boards import Boards
from kilowait.cluster.restricted import lent, with_jobs
from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.cluster.views.windows import windows_of
from kilowait.policies.compiled_form import cost_of, with_cost
from kilowait.policies.decisions import Decision, Policy
from kilowait.policies.planning.open_boards import Starts, Windows, closed_on


def outside_windows(policy: Policy) -> Policy:
    """`policy`, which starts a job on a node with a window only where it may be there or should be over before.

    What it starts that may be there goes to these nodes first, so that others are left to longer jobs. Where it would
    start one that finds no other node, it decides again: on the other nodes, and then on those of each window for the
    jobs that may be there. Of how long a job takes the upper end of its interval counts, where it has one.

    A running job gives way as `policy` says, but not for one that may not start on the boards that this frees, and not
    to move to boards that `policy` named where it may not be: then those that would give way together run on.
    """

    def decide(cluster: Cluster) -> list[Decision]:
        windows = windows_of(cluster)
        if not windows:
            return policy(cluster)
        cluster.count_submissions()
        starts = Starts(cluster=cluster, windows=windows, room=cluster.room())
        if starts.settle(policy(cluster)):
            return starts.settled
        starts.settle(_asked(policy, cluster, starts.left(), _without(starts.room, windows)))
        for alike, nodes in _groups(windows).items():
            others = {name for name, _ in cluster.nodes if name not in nodes}
            may = [w for w in starts.left() if any(starts.may_be_there(w, gpu_type, alike) for gpu_type in w.gpus)]
            starts.settle(_asked(policy, cluster, may, _without(starts.room, others)))
        return starts.settled

    return with_cost(decide, cost_of(policy))


def _groups(windows: Mapping[str, Windows]) -> dict[Windows, set[str]]:
    """The nodes of the same windows together."""
    groups = dict[Windows, set[str]]()
    for node, alike in windows.items():
        groups.setdefault(alike, set()).add(node)
    return groups


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
        own[gpu_type] = closed_on(boards, nodes)
    return Room(free, room.boards, own)
