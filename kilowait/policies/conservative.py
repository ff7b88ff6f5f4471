"""Conservative backfill: every waiting job has a reservation, and a job may pass others only if it delays none.

Source: Mu'alem and Feitelson, "Utilization, predictability, workloads, and user runtime estimates in scheduling the
IBM SP2 with backfilling", IEEE TPDS 12(6), 2001, on conservative backfilling. It knows one type of processor; several
are our extension.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.policies.choices import in_queue_order
from kilowait.policies.decisions import Decision, Policy, checked_count
from kilowait.policies.parameters import Parameter, whole
from kilowait.policies.planning.compiled_plans import pays, reservations_in_order
from kilowait.policies.planning.floors import Floors
from kilowait.policies.planning.profile import Profile, Reservation
from kilowait.policies.planning.starting import can_have, placed, start_planned
from kilowait.policies.rule import Rule

DEFAULT_BUDGET = 500_000
"""Options (a job on a type) that a decision may price."""
BOARDS = 100
"""A reservation of boards counts as so many options (it takes about as many times as long, measured)."""

_log = logging.getLogger(__name__)


def conservative(*, budget: int = DEFAULT_BUDGET) -> Policy:
    """A policy that plans the whole queue in `reservations` and starts the jobs whose reservation begins now.

    The plan is made anew at every decision, so a job that ends early lets all others move forward in queue order; one
    that overruns moves them back, each time that its estimate is renewed (`kilowait.cluster.overrun`). The plan is cut
    short where no job behind can start now; at worst a decision takes time in proportion to the square of the queue's
    length. `budget` bounds its work in options priced, a job on a type each, so that a replay decides alike: what has
    been reserved by then counts, and the jobs behind wait for the next decision. That is logged, each time that it has
    happened twice as often. Raises InputError for a budget below 1.
    """
    checked_count("budget", budget)
    cut_short = count(1)

    def conservative(cluster: Cluster) -> list[Decision]:
        room = cluster.room()
        pairs = list(cluster.ranked_jobs(in_queue_order).fitting(room))
        if not pairs:
            return []
        weight = len(cluster.total) * (BOARDS if room.boards else 1)
        jobs = max(1, budget // weight)
        if jobs < len(cluster.waiting):
            times = next(cut_short)
            if times & (times - 1) == 0:  # now and then, however often it happens
                _log.warning("%d of %d waiting jobs are planned: the budget is %d", jobs, len(cluster.waiting), budget)
        if not room.boards and pays(len(cluster.waiting) * len(cluster.total)):
            return start_planned(cluster, room, lambda _: reservations_in_order(cluster, pairs, jobs))
        profile = Profile(cluster)
        decisions: list[Decision] = []
        for serial, reservation in enumerate(reservations(cluster, profile), start=1):
            if reservation.start_s <= cluster.now_s and can_have(reservation, cluster, room):
                decisions.append(placed(reservation, cluster, room))
                room.take(cluster.waiting[reservation.job_id], reservation.gpu_type, reservation.where)
            if serial & (serial - 1) == 0:  # looking at powers of two costs little, however long the queue
                pairs = _still_hopeful(pairs, cluster.waiting, profile, reservation)
            if not pairs or serial == jobs:
                break
        return decisions

    return conservative


def reservations(cluster: Cluster, profile: Profile) -> Iterator[Reservation]:
    """What is reserved in a profile for each waiting job, in queue order, as it is reserved.

    Every job gets the type and start at which it would end first, ties to the more powerful type, among the GPUs
    that the running jobs and the jobs before it leave. Running jobs count as in `easy`. Where boards are told apart and
    somebody has a share or asks for one node, a reservation is of boards (`kilowait.policies.planning.floors`): from
    when they lie as the job needs them, and no others are kept from anybody.

    With exact predictions no later job delays a reservation: those before it in the queue keep theirs, those behind
    it that already run were planned around it, so the place it had is still free, and what they hold can only make
    its other choices worse. That ends where a job comes back to an earlier place in the queue: a failed attempt.
    """
    room = cluster.room()
    floors = Floors(cluster, room) if room.boards else None
    for waiting in cluster.queue():
        reservation = profile.soonest(waiting, floors)
        profile.reserve(reservation)
        if floors is not None:
            floors.reserve(waiting, reservation.gpu_type, reservation.where, reservation.start_s)
        yield reservation


def _still_hopeful(
    pairs: Iterable[tuple[str, str]], waiting: Mapping[str, Waiting], profile: Profile, reservation: Reservation
) -> list[tuple[str, str]]:
    """The (job, type) pairs behind the one just planned that could start now; the plan only ever takes room away."""
    job = waiting[reservation.job_id].job
    return [
        (job_id, gpu_type)
        for job_id, gpu_type in pairs
        if (waiting[job_id].job.submit_s, job_id) > (job.submit_s, job.job_id)
        and profile.has_room_now(waiting[job_id], gpu_type)
    ]


RULE = Rule(
    name="conservative",
    sentence="every job has a reservation; a later job may pass if it delays none",
    detail="conservative backfill",
    make=conservative,
    parameters=(
        Parameter(
            name="budget",
            sentence="options (a job on a type) that a decision may price; the jobs behind wait for the next one",
            default=DEFAULT_BUDGET,
            read=whole,
            option=False,
        ),
    ),
    place=60,
)
