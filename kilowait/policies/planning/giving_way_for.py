"""For whom running jobs give way: what is placed behind them, and would not have fitted otherwise."""

from collections.abc import Collection, Iterator, Sequence

from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.policies.decisions import Decision, Place, Preempt


def in_runs(decisions: Sequence[Decision]) -> Iterator[tuple[list[Preempt], list[Place]]]:
    """Those who give way together, and what is placed after that; limits that are set are left out."""
    stops, places = list[Preempt](), list[Place]()
    for decision in decisions:
        if isinstance(decision, Preempt):
            if places:
                yield stops, places
                stops, places = [], []
            stops.append(decision)
        elif isinstance(decision, Place):
            places.append(decision)
    yield stops, places


def undone_by(cluster: Cluster, decisions: Sequence[Decision], dropped: Collection[str]) -> set[str]:
    """Whose decisions fall too where some jobs are not placed: running jobs that would give way for those alone run on,
    and what then finds no room is not placed."""
    if not any(isinstance(decision, Preempt) for decision in decisions):
        return set()
    undone, room = set[str](), cluster.room()
    for stops, places in in_runs(decisions):
        needing = _without_room(cluster, room.copy(), places)
        if needing and needing <= set(dropped):
            undone.update(stop.job_id for stop in stops)
        else:
            for stop in stops:
                room.give_back(cluster.active[stop.job_id])
        undone |= _without_room(cluster, room, [one for one in places if one.job_id not in dropped])
    return undone


def _without_room(cluster: Cluster, room: Room, places: Sequence[Place]) -> set[str]:
    """Which of these waiting jobs find no room; the others use it up."""
    found = set[str]()
    for place in places:
        waiting = cluster.waiting.get(place.job_id)
        if waiting is None:  # it runs, and moves
            continue
        if room.fits(waiting, place.gpu_type):
            room.take(waiting, place.gpu_type)
        else:
            found.add(place.job_id)
    return found
