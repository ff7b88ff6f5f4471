"""Ageing around any policy: a job that has waited too long goes first, and GPUs are held for it.

Source: the aging term of `kilowait.policies.value_aging`, as a wrapper.
"""

from kilowait.cluster.restricted import lent
from kilowait.cluster.state import Cluster
from kilowait.core.over_time.time_text import seconds
from kilowait.core.units import DAY_S
from kilowait.policies.choices import fastest
from kilowait.policies.decisions import Decision, Place, Policy, checked_weight
from kilowait.policies.wrappers.wrapper import Wrapper

DEFAULT_LIMIT_S = 7 * DAY_S
"""A week: where all wait for days, three days would make many first come, first served, and all together wait a fifth
longer (modelled)."""


def aged(policy: Policy, limit_s: float = DEFAULT_LIMIT_S) -> Policy:
    """`policy`, under which no job starves: once a job has waited for `limit_s`, no later arrival delays it.

    Jobs that have waited so long come first, in queue order. Such a job starts on the fastest, as predicted, of its
    types that fit. If none fits, the fastest that it could ever run on is held: nobody behind it starts there. On what
    is left `policy` decides as it would, on a cluster that has no more room than that.

    Bound: a job waits at most limit_s + (n + 1) * T, where n counts the jobs before it in the queue that still wait
    when it becomes aged, the work ahead of it, and T is the longest that any job really runs. No later arrival
    lengthens it, and predictions need not be right. Proof: let L be submit time + limit_s, and take the type that is
    held for the job, or for an aged job before it, at a decision after L: it is the same type at all of them, since it
    does not depend on what is free. What `policy` or anybody started there before L has ended by L + T; a decision
    between, if there is none just at L, comes with one of these ends at the latest, since a policy never leaves jobs
    waiting where nothing runs. From then on only the n jobs and the job itself start on that type. When it is free the
    first aged job that it is held for starts, so that within T of L, and again within T of each such start, one of
    these n + 1 jobs starts: the job itself within (n + 1) * T. Failed attempts start again and count again; the bound
    supposes that the inventory stays as it is, and a policy that does not preempt what has aged.

    A held type may stand idle for as long as T: that is the price. Raises InputError for a limit that is negative or
    not finite.
    """
    checked_weight("limit_s", limit_s)

    def aged(cluster: Cluster) -> list[Decision]:
        first, room = dict[str, Decision](), cluster.room()
        held = False
        for waiting in cluster.queue():
            if cluster.now_s - waiting.job.submit_s < limit_s or not room:
                break
            gpu_type = fastest(waiting, room.fitting(waiting))
            if gpu_type is not None:
                room.take(waiting, gpu_type)
                first[waiting.job.job_id] = Place(job_id=waiting.job.job_id, gpu_type=gpu_type)
            elif (wanted := fastest(waiting, cluster.options(waiting))) is not None:
                room.hold(wanted)
                held = True
        if not first and not held:
            return policy(cluster)
        with lent(cluster, room):
            others = policy(cluster)
        return [*first.values(), *(decision for decision in others if decision.job_id not in first)]

    return aged


WRAPPER = Wrapper(
    name="aged",
    sentence="a job that has waited for a time (a week by default) goes first, and GPUs are held for it",
    wrap=aged,
    read=seconds,
    arguments="TIME",
)
