"""Value with aging: as `value`, but a job that has waited for `limit_s` goes first, and GPUs are held for it.

Sources: the paper's Value for v_ij; the aging term, a step from 0 to infinity at an age, is ours.
"""

from collections.abc import Iterable

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.ranking import Key
from kilowait.cluster.views.room import Room
from kilowait.core.units import DAY_S
from kilowait.policies.decisions import Decision, Place, Policy, checked_weight
from kilowait.policies.parameters import Parameter
from kilowait.policies.rule import Rule
from kilowait.policies.value import KAPPA, KAPPA_RELATIVE, place_what_fits, value_criterion, value_key

DEFAULT_LIMIT_S = DAY_S
"""A day."""


def value_aging(
    *, kappa: float | None = None, kappa_relative: float | None = None, limit_s: float = DEFAULT_LIMIT_S
) -> Policy:
    """A policy under which no job starves: v_ij = 1 / (a_ij * t_ij) - kappa * e_ij + (infinity from age `limit_s` on).

    `kappa`, per kWh, or `kappa_relative` as for `value`.

    Jobs that have waited for `limit_s` seconds are overdue and come first, in queue order. An overdue job starts on
    the type of the largest v_ij among those that fit. If none fits, the type of its largest v_ij over all that it
    could ever run on is held: nobody behind it starts there. On what is left the other jobs are placed as by
    `value`. With limit_s = 0 all jobs are overdue.

    Bound: a job waits at most limit_s + (n + 1) * T. n counts the jobs before it in the queue that still wait when
    it becomes overdue, and T is the longest that any job really runs. No later arrival lengthens it, and predictions
    need not be right. Proof: from age limit_s on only the n jobs and the job itself start on the type held for it,
    however often the policy runs. While the job waits that type is never wholly free after a decision: the first
    overdue job that it is held for would have started, or, before anybody is overdue, some job that fits. So all that
    runs there ends within T, and one of the n + 1 jobs starts there by then, at most n + 1 times. Failed attempts
    start again and count again; the bound supposes that the inventory stays as it is.

    Raises InputError for a kappa or limit_s that is negative or not finite, and unless exactly one kappa is given.
    """
    key_of = value_key(kappa=kappa, kappa_relative=kappa_relative)
    limit_s = checked_weight("limit_s", limit_s)

    def value_aging(cluster: Cluster) -> list[Decision]:
        cost, room = key_of(cluster), cluster.room()
        decisions: dict[str, Decision] = {}
        _place_overdue(cluster, cost, limit_s, room, decisions)
        place_what_fits(cluster, cost, room, decisions)
        return list(decisions.values())

    return value_aging


def _place_overdue(cluster: Cluster, cost: Key, limit_s: float, room: Room, decisions: dict[str, Decision]) -> None:
    """Place overdue jobs in queue order, and hold a type for each that does not fit."""
    for waiting in cluster.queue():
        if cluster.now_s - waiting.job.submit_s < limit_s or not room:
            return
        job, fitting = waiting.job, room.fitting(waiting)
        if fitting:
            gpu_type = _best(waiting, fitting, cost)
            room.take(waiting, gpu_type)
            decisions[job.job_id] = Place(job_id=job.job_id, gpu_type=gpu_type)
        else:
            room.hold(_best(waiting, cluster.options(waiting), cost))


def _best(waiting: Waiting, types: Iterable[str], cost: Key) -> str:
    """The type of the largest value, the earlier of two alike."""
    return min(types, key=lambda t: cost(waiting.job, t, waiting.predictions[t]))


RULE = Rule(
    name="value_aging",
    sentence="as value, but a job that has waited too long goes first and GPUs are held for it",
    make=value_aging,
    parameters=(
        KAPPA,
        KAPPA_RELATIVE,
        Parameter(
            name="limit_s",
            sentence="seconds of waiting after which a job goes first",
            unit="s",
            default=DEFAULT_LIMIT_S,
            default_means="a day",
            metavar="S",
        ),
    ),
    criterion=value_criterion,
    place=70,
)
