"""Priorities in front of any policy: it decides for the most urgent jobs first."""

from kilowait.cluster.restricted import lent, with_jobs
from kilowait.cluster.state import Cluster
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.wrappers.wrapper import Wrapper


def urgent(policy: Policy) -> Policy:
    """`policy`, which decides for the jobs of the largest `Job.priority` first, then for those and the next, and so on.

    What is started for the more urgent ones takes its room before the others are looked at. These are looked at
    together with the urgent ones that still wait, so that a policy that plans does not let them delay what it holds;
    one that does not plan may start them in front of an urgent job that does not fit. Where all have one priority it
    is `policy` itself.
    """

    def urgent(cluster: Cluster) -> list[Decision]:
        classes = sorted({waiting.job.priority for waiting in cluster.queue()}, reverse=True)
        if len(classes) < 2:
            return policy(cluster)
        started, room = dict[str, Decision](), cluster.room()
        for priority in classes:
            if not room:
                break
            shown = [w for w in cluster.queue() if w.job.priority >= priority and w.job.job_id not in started]
            if not shown:
                continue
            with lent(cluster, room):
                decisions = policy(with_jobs(cluster, shown))
            for decision in decisions:
                if isinstance(decision, Place):
                    waiting = cluster.waiting[decision.job_id]
                    if not room.fits(waiting, decision.gpu_type):
                        continue
                    room.take(waiting, decision.gpu_type, decision.where)
                started[decision.job_id] = decision
        return list(started.values())

    return urgent


WRAPPER = Wrapper(
    name="urgent",
    sentence="it decides first for the jobs of the largest priority",
    wrap=urgent,
    read=str,
    arguments="",
    needs=frozenset({"users"}),
)
