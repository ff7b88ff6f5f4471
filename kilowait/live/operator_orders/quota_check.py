"""What quotas say of jobs that are submitted: whether they may wait at all."""

from collections import Counter

from kilowait.cluster.state import Cluster
from kilowait.core.errors import QuotaReached
from kilowait.core.jobs import Job
from kilowait.core.quotas import Quota
from kilowait.core.units import WHOLE


class QuotaCheck:
    """Looks at jobs that are submitted in one transaction; whose jobs wait is counted once, where a quota asks."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._waiting: Counter[str | None] | None = None

    def check(self, job: Job, tasks: int = 1) -> None:
        """Raises QuotaReached where this job, or so many of it, may not wait now or could never run."""
        for quota in self.cluster.quotas.values():
            if (owner := quota.account(job.user)) is None:
                continue
            if quota.gpus is not None and (needed := _fewest(job)) > quota.gpus:
                raise QuotaReached(
                    f"gpus: the job needs {needed:g} GPUs, the quota of {quota.whose} is {quota.gpus}; ask for fewer"
                )
            if quota.jobs is not None and (waiting := self._count(quota, owner)) + tasks > quota.jobs:
                raise QuotaReached(
                    f"the quota of {quota.whose} is {quota.jobs} waiting jobs, {waiting} wait and {tasks} more "
                    f"{'is' if tasks == 1 else 'are'} asked for; submit it when some have started"
                )

    def waits(self, job: Job) -> None:
        """It was accepted."""
        if self._waiting is not None:
            self._waiting[job.user] += 1

    def _count(self, quota: Quota, owner: str) -> int:
        if self._waiting is None:
            self._waiting = waiting_jobs(self.cluster)
        counted = [user for user, account in quota.accounts().items() if account == owner] or [owner]
        return sum(self._waiting[user] for user in counted)


def waiting_jobs(cluster: Cluster) -> Counter[str | None]:
    """By user, how many jobs wait: in the queue, for a node on which they fit, or for their turn in an array."""
    places = cluster.waiting.values(), cluster.stranded.values(), cluster.lines
    return Counter(waiting.job.user for place in places for waiting in place)


def _fewest(job: Job) -> float:
    return min((job.gpus, *job.gpus_by_type.values())) * job.gpu_milli / WHOLE
