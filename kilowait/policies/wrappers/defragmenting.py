"""Running jobs are moved together so that the first waiting one fits on a node, around any policy: the fewest moves.

Source: Ding et al., "VMR2L: Virtual Machines Rescheduling Using Reinforcement Learning in Data Centers", EuroSys 2025
(VM2RL): few migrations undo fragments, and an answer older than five seconds is worth nothing, for the machines have
changed. There a network chooses among moves; here all that free one node for one job are tried, the fewest first.

Not covered: shares of a board, jobs that run on several nodes, moves to empty a node so that it sleeps.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from kilowait.cluster.boards import Boards
from kilowait.cluster.restricted import lent, with_jobs
from kilowait.cluster.standing import Active, Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.core.jobs import Held
from kilowait.core.over_time.time_text import seconds
from kilowait.core.units import HOUR_S, WHOLE
from kilowait.policies.decisions import Decision, Place, Policy, Preempt, checked_weight
from kilowait.policies.wrappers.wrapper import Wrapper

MOST_MOVES = 3
MOST_TRIED, MOST_PLACED = 200_000, 200
"""Sets of jobs of one node that are looked at in one decision, and those of them for which boards are looked for."""


def defragmenting(policy: Policy, least_s: float = HOUR_S) -> Policy:
    """`policy`, under which the first job that waits, wants one node and finds no node with room gets one where jobs
    that go on from checkpoints can move.

    Of the sets of at most three jobs of a node that leave enough boards there, and find boards on other nodes of the
    type, the smallest is moved, and of these the one whose boards stand still for the least time. No job is moved that
    has run for less than `least_s`. Where moving takes time, the plan is kept to until all of it is done, and given up
    where its boards are no longer to be had. Raises InputError for a time that is negative or not finite.
    """
    checked_weight("least_s", least_s)
    plan = _Plan({})

    def defragmenting(cluster: Cluster) -> list[Decision]:
        room = cluster.room()
        planned = plan.decisions(cluster, room) if plan.places else []
        if plan.places:
            shown = [waiting for waiting in cluster.queue() if waiting.job.job_id not in plan.places]
            with lent(cluster, room):
                return [*planned, *(policy(with_jobs(cluster, shown)) if shown and room else [])]
        found = policy(cluster)
        if not cluster.boards or not _use_up(cluster, room, found):
            return found
        return [*found, *plan.begin(cluster, room, found, least_s)]

    return defragmenting


def _use_up(cluster: Cluster, room: Room, decisions: Sequence[Decision]) -> bool:
    """Take the room of what starts; False where the policy itself preempts."""
    for decision in decisions:
        if not isinstance(decision, Place) or not room.fits(cluster.waiting[decision.job_id], decision.gpu_type):
            return False
        room.take(cluster.waiting[decision.job_id], decision.gpu_type, decision.where)
    return True


class _Moves(NamedTuple):
    """Who leaves a node, and how long their boards stand still, in GPU-seconds."""

    cost: float
    node: str
    jobs: tuple[Active, ...]


@dataclass(slots=True)
class _Plan:
    """By job, the boards that it starts on: the first that waits, and those that move for it."""

    places: dict[str, Place]
    begun_s: float = 0.0

    def decisions(self, cluster: Cluster, room: Room) -> list[Decision]:
        """What of it is still to be done; none, and no plan, once its boards are others'.

        The boards of those that are not shown now, as some users' jobs are after the others', are kept for them.
        """
        open_to = self.places.items() if cluster.now_s >= self.begun_s else ()  # else it is of another cluster
        self.places = {job_id: place for job_id, place in open_to if not _is_done(cluster, place)}
        for job_id, place in self.places.items():
            waiting = cluster.waiting.get(job_id)
            if waiting is not None and not _is_free(room, waiting, place):
                self.places = {}
                return []
        for job_id, place in self.places.items():
            if job_id not in cluster.active and _is_free(room, cluster.waiting.get(job_id), place):
                room.keep(place.gpu_type, place.where)
        return [place for job_id, place in self.places.items() if job_id in cluster.waiting]

    def begin(self, cluster: Cluster, room: Room, started: Sequence[Decision], least_s: float) -> list[Decision]:
        """A new plan for the first job that waits behind what starts; nothing where it needs none, or none helps."""
        taken = {decision.job_id for decision in started} | cluster.kept.keys()
        first = next((waiting for waiting in cluster.queue() if waiting.job.job_id not in taken), None)
        if first is None or not first.job.one_node or first.job.gpu_milli != WHOLE or room.fitting(first):
            return []
        for moved in range(1, MOST_MOVES + 1):
            for gpu_type in first.gpus:
                if (found := self._found(cluster, room, first, gpu_type, moved, least_s)) is not None:
                    return found
        return []

    def _found(
        self, cluster: Cluster, room: Room, first: Waiting, gpu_type: str, moved: int, least_s: float
    ) -> list[Decision] | None:
        """The cheapest plan that moves so many jobs of a type, which is kept to from now on."""
        if room.free[gpu_type] < first.gpus[gpu_type]:
            return None
        boards = room.boards_of(gpu_type)
        movable = _movable(cluster, gpu_type, least_s)
        moves = sorted(_moves(movable, boards, first.gpus[gpu_type], moved), key=lambda one: one[:2])
        for one in moves[:MOST_PLACED]:
            if (places := _placed(boards, gpu_type, first, one)) is not None:
                self.places, self.begun_s = {place.job_id: place for place in places}, cluster.now_s
                return [*(Preempt(job_id=active.job.job_id) for active in one.jobs), *places]
        return None


def _is_done(cluster: Cluster, place: Place) -> bool:
    """Whether a job has the boards that it was to have, or is over, or cannot run anywhere."""
    active = cluster.active.get(place.job_id)
    if active is not None:
        return active.where == place.where
    return place.job_id in cluster.over or place.job_id in cluster.stranded


def _is_free(room: Room, waiting: Waiting | None, place: Place) -> bool:
    """Whether a job, or one that is not shown, finds its boards free."""
    gpus = sum(held.gpus for held in place.where) if waiting is None else waiting.gpus.get(place.gpu_type)
    if gpus is None or place.gpu_type not in room.boards:
        return False
    return room.boards_of(place.gpu_type).allows(place.where, gpus, WHOLE, waiting is not None and waiting.job.one_node)


def _movable(cluster: Cluster, gpu_type: str, least_s: float) -> dict[str, list[Active]]:
    """By node, the jobs that may leave it."""
    movable = dict[str, list[Active]]()
    for active in cluster.active.values():
        if active.gpu_type == gpu_type and _may_move(active, cluster.now_s, least_s):
            movable.setdefault(active.where[0].node, []).append(active)
    return {node: jobs for node, jobs in movable.items() if node not in cluster.draining}


def _moves(movable: Mapping[str, list[Active]], boards: Boards, gpus: int, moved: int) -> Iterator[_Moves]:
    """Sets of so many jobs of a node that leave it with enough free boards."""
    tried = 0
    for node, jobs in movable.items():
        if not boards.knows(node) or tried > MOST_TRIED:
            continue
        lacks = gpus - boards.free_on(node)
        for chosen in combinations(jobs, moved):
            tried += 1
            if sum(one.gpus for one in chosen) >= lacks:
                yield _Moves(sum(one.gpus * (one.job.checkpoint_s or 0.0) for one in chosen), node, chosen)


def _may_move(active: Active, now_s: float, least_s: float) -> bool:
    job = active.job
    whole = job.checkpoint_s is not None and job.gpu_milli == WHOLE and len(active.where) == 1
    return whole and now_s - active.placed_s >= least_s


def _placed(boards: Boards, gpu_type: str, first: Waiting, moves: _Moves) -> list[Place] | None:
    """Where all of them start, None where one of those that move finds no boards on other nodes."""
    rest, node = boards.copy(), moves.node
    rest.close(node)
    places = [Place(job_id=first.job.job_id, gpu_type=gpu_type, where=(Held(node=node, gpus=first.gpus[gpu_type]),))]
    for one in sorted(moves.jobs, key=lambda active: -active.gpus):
        where = rest.choose(one.gpus, WHOLE, one.job.one_node)
        if not where:
            return None
        rest.take(where, WHOLE)
        places.append(Place(job_id=one.job.job_id, gpu_type=gpu_type, where=where))
    return places


WRAPPER = Wrapper(
    name="defragmenting",
    sentence="running jobs that go on from checkpoints are moved so that the first waiting one finds a node, none "
    "before it has run for TIME (1h by default)",
    wrap=defragmenting,
    read=seconds,
    arguments="TIME",
    needs=frozenset({"checkpoints"}),
)
