"""What may start of a decision while nodes have windows, and who gives way for it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from kilowait.cluster.boards import Boards
from kilowait.cluster.giving_way import left_at
from kilowait.cluster.standing import Active, Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.cluster.views.windows import NodeWindow
from kilowait.core.jobs import Held
from kilowait.core.maintenance import longest_s
from kilowait.policies.decisions import Decision, Place, Preempt, SetLimit
from kilowait.policies.planning.giving_way_for import in_runs

Windows = tuple[NodeWindow, ...]


@dataclass(slots=True, kw_only=True)
class Starts:
    """What is decided at one moment, in order, and the room that is left."""

    cluster: Cluster
    windows: Mapping[str, Windows]
    room: Room
    settled: list[Decision] = field(default_factory=list)

    def settle(self, decisions: Sequence[Decision]) -> bool:
        """Let start what finds boards, and those give way who do for something that starts; whether all of it did.

        Power limits of running jobs are set as decided, before.
        """
        limits = [one for one in decisions if isinstance(one, SetLimit)]
        moves = [one for one in decisions if not isinstance(one, SetLimit)]
        run_on = {one.job_id for one in self.settled}  # they have given way before, or have just started
        while True:
            tried = _Tried(self, [one for one in moves if one.job_id not in run_on])
            in_vain = tried.in_vain()
            if not in_vain:
                break
            run_on |= in_vain
        self.room = tried.room
        self.settled += [*limits, *tried.settled]
        return len(tried.settled) == len(moves)

    def left(self) -> list[Waiting]:
        """Who waits still, in queue order."""
        taken = {decision.job_id for decision in self.settled}
        return [waiting for waiting in self.cluster.queue() if waiting.job.job_id not in taken]

    def may_be_there(self, waiting: Waiting, gpu_type: str, windows: Windows) -> bool:
        """Whether a job that starts now would be over before each of these windows that is not for its user."""
        ends_s = self.cluster.now_s + longest_s(waiting.predictions[gpu_type])
        return all(ends_s <= one.begins_s or waiting.job.user in one.users for one in windows)

    def where(self, room: Room, waiting: Waiting, place: Place) -> tuple[Held, ...]:
        """The boards of a job: those that were named where it may have them; () where there are none for it."""
        gpu_type, boards = place.gpu_type, room.boards_of(place.gpu_type)
        open_to = {node for node, windows in self.windows.items() if self.may_be_there(waiting, gpu_type, windows)}
        shut = self.windows.keys() - open_to
        asks = waiting.gpus[gpu_type], waiting.job.gpu_milli, waiting.job.one_node
        if place.where and not any(held.node in shut for held in place.where) and boards.allows(place.where, *asks):
            return place.where
        others = {node for node, name in self.cluster.nodes if name == gpu_type and node not in open_to}
        return closed_on(boards, others).choose(*asks) or closed_on(boards, shut).choose(*asks)


class _Tried:
    """Decisions carried out one after the other, without those who give way in vain; `failed` are those together who
    give way for something that finds no boards."""

    def __init__(self, starts: Starts, decisions: Sequence[Place | Preempt]) -> None:
        self._starts, self.room = starts, starts.room.copy()
        self.settled, self._failed, self._together = list[Decision](), set[str](), dict[str, frozenset[str]]()
        for stops, places in in_runs(decisions):
            self._give_way(stops, places)

    def in_vain(self) -> set[str]:
        """Who gives way in vain."""
        return self._failed

    def _give_way(self, stops: Sequence[Preempt], places: Sequence[Place]) -> None:
        cluster, without = self._starts.cluster, self.room.copy()
        together = frozenset(stop.job_id for stop in stops)
        for stop in stops:
            self.room.give_back(cluster.active[stop.job_id])
            self._together[stop.job_id] = together
        self.settled += stops
        for place in places:
            waiting = cluster.waiting.get(place.job_id)
            if waiting is None:
                if not self._start(self._moved(place.job_id), place) and place.where:  # else it waits
                    self._failed |= self._together.get(place.job_id, frozenset())
                continue
            if not (needs := not without.fits(waiting, place.gpu_type)):
                without.take(waiting, place.gpu_type)
            if not self._start(waiting, place) and needs:
                self._failed |= together

    def _start(self, waiting: Waiting | None, place: Place) -> bool:
        if waiting is None or not (where := self._starts.where(self.room, waiting, place)):
            return False
        self.room.take(waiting, place.gpu_type, where)
        self.settled.append(replace(place, where=where))
        return True

    def _moved(self, job_id: str) -> Waiting | None:
        """A running job as it waits once it has given way; None for one that does not."""
        active = self._starts.cluster.active.get(job_id)
        return None if active is None or job_id not in self._together else as_it_waits(self._starts.cluster, active)


def as_it_waits(cluster: Cluster, active: Active) -> Waiting:
    """A running job as it would wait, had it given way at a checkpoint of this instant."""
    remaining = left_at(active, cluster.now_s)
    rest = {t: told.left(remaining, active.job.checkpoint_s or 0.0) for t, told in active.whole.items()}
    return Waiting(
        job=active.job,
        predictions=rest,
        whole=active.whole,
        attempt=active.attempt + 1,
        gpus=cluster.possible(active.job, active.whole),
        remaining=remaining,
    )


def closed_on(boards: Boards, nodes: Collection[str]) -> Boards:
    """A copy in which nothing of these nodes is free."""
    rest = boards.copy()
    for node in nodes:
        if rest.knows(node):
            rest.close(node)
    return rest
