"""Limits of users around any policy: who holds as many GPUs as they may waits until one of their jobs ends."""

from collections import Counter

from kilowait.cluster.restricted import with_jobs
from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.core.units import WHOLE
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.wrappers.wrapper import Wrapper


def limited(policy: Policy, gpus: int) -> Policy:
    """`policy`, under which no user holds more than `gpus` GPUs at a time; jobs without a user are not limited.

    A job that would take its user above that is not seen by `policy`, on whatever type, and of what it places in one
    decision the first so many are kept. A job that asks for more than the limit on every type that it can use may run
    while its user holds nothing else, since it could never start otherwise. Raises InputError for a limit below 1.
    """
    if gpus < 1:
        raise InputError(f"limited: GPUs of a user must be >= 1, got {gpus!r}")

    def limited(cluster: Cluster) -> list[Decision]:
        held = Counter[str]()
        for active in cluster.active.values():
            if active.job.user is not None:
                held[active.job.user] += active.gpus * active.job.gpu_milli
        seen = [waiting for waiting in cluster.queue() if _may(waiting, held, gpus * WHOLE)]
        if not seen:
            return []
        kept = list[Decision]()
        for decision in policy(cluster if len(seen) == len(cluster.waiting) else with_jobs(cluster, seen)):
            waiting = cluster.waiting.get(decision.job_id)
            if isinstance(decision, Place) and waiting is not None and waiting.job.user is not None:
                milli, user = waiting.job.milli_on(decision.gpu_type), waiting.job.user
                if held[user] and held[user] + milli > gpus * WHOLE:
                    continue
                held[user] += milli
            kept.append(decision)
        return kept

    return limited


def _may(waiting: Waiting, held: Counter[str], limit_milli: int) -> bool:
    """Whether the job could start on some type within its user's limit."""
    user = waiting.job.user
    least = min(waiting.job.milli_on(gpu_type) for gpu_type in waiting.gpus)
    return user is None or not held[user] or held[user] + least <= limit_milli


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"limited: {text!r} is not a number of GPUs, as in limited(patient,8)") from None


WRAPPER = Wrapper(
    name="limited",
    sentence="no user holds more than a number of GPUs at a time",
    wrap=limited,
    read=_whole,
    arguments="GPUS",
    needs=frozenset({"users"}),
)
