"""From a plan to what starts now, where a plan counts GPUs and the boards may be scattered."""

from collections.abc import Callable, Iterable, Mapping

from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.core.jobs import Held
from kilowait.policies.decisions import Decision, Place
from kilowait.policies.planning.floors import Floors, shape_of
from kilowait.policies.planning.profile import Reservation

MOST_PLANS = 8
"""Plans of one decision; whoever is found scattered after so many waits on, and keeps its boards."""

Ready = Mapping[tuple[str, str], float]
"""By job and type, when the job's boards are there at the soonest, where that is later than their number says."""

Planner = Callable[[Ready], Iterable[Reservation]]
"""Plans the queue so that nobody starts before it is ready."""


def can_have(reserved: Reservation, cluster: Cluster, room: Room) -> bool:
    """Whether what is reserved is free now: not behind a job whose end rounds to its start."""
    waiting, gpu_type, where = cluster.waiting[reserved.job_id], reserved.gpu_type, reserved.where
    if where:
        return room.boards_of(gpu_type).allows(where, *shape_of(waiting, gpu_type))
    return room.fits(waiting, gpu_type)


def placed(reserved: Reservation, cluster: Cluster, room: Room) -> Place:
    """The decision to start a job on the boards reserved for it, named where the cluster would choose others."""
    job_id, gpu_type, where = reserved.job_id, reserved.gpu_type, reserved.where
    return place(job_id, gpu_type, where, room.chosen(cluster.waiting[job_id], gpu_type) if where else ())


def place(job_id: str, gpu_type: str, where: tuple[Held, ...], otherwise: tuple[Held, ...]) -> Place:
    """The decision to start a job on these boards, where it would get `otherwise` else."""
    return Place(job_id=job_id, gpu_type=gpu_type, where=() if where == otherwise else where)


def start_planned(cluster: Cluster, room: Room, plan: Planner) -> list[Decision]:
    """What a plan starts now, in its order; `room` is what is free, and is left as it is where boards are told apart.

    A job that is planned for now and finds its boards scattered is planned anew, with all others, from when they are
    there; the boards that it will take then are reserved (`floors`), and whatever leaves them alone may start.
    """
    if not room.boards:
        return [
            _started(reserved, cluster, room)
            for reserved in plan({})
            if reserved.start_s <= cluster.now_s and can_have(reserved, cluster, room)
        ]
    ready: dict[tuple[str, str], float] = {}
    for _ in range(MOST_PLANS):
        known = len(ready), sum(ready.values())
        starts = _carried_out(cluster, room.copy(), plan(ready), ready)
        if (len(ready), sum(ready.values())) == known:
            break
    return starts


def _started(reserved: Reservation, cluster: Cluster, room: Room) -> Decision:
    room.take(cluster.waiting[reserved.job_id], reserved.gpu_type)
    return Place(job_id=reserved.job_id, gpu_type=reserved.gpu_type)


def _carried_out(
    cluster: Cluster, room: Room, planned: Iterable[Reservation], ready: dict[tuple[str, str], float]
) -> list[Decision]:
    """What starts, and in `ready` what was found scattered."""
    floors, starts = Floors(cluster, room), list[Decision]()
    for reserved in planned:
        pair, waiting = (reserved.job_id, reserved.gpu_type), cluster.waiting[reserved.job_id]
        if reserved.start_s > cluster.now_s and pair not in ready:
            continue
        where = floors.where_now(waiting, reserved.gpu_type) if reserved.start_s <= cluster.now_s else ()
        if where:
            starts.append(place(*pair, where, room.chosen(waiting, reserved.gpu_type)))
            floors.start(waiting, reserved.gpu_type, where)
            continue
        start_s, where = floors.soonest(waiting, reserved.gpu_type, reserved.start_s)
        floors.reserve(waiting, reserved.gpu_type, where, start_s)
        if start_s > max(cluster.now_s, ready.get(pair, cluster.now_s)):
            ready[pair] = start_s
    return starts
