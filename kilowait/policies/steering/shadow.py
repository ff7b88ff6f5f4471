"""A shadow run: the same arrivals on the same GPUs under another policy, as run times are predicted.

Nothing real depends on where a job is in the shadow; only how long its queue is counts.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kilowait.cluster.advance import advance
from kilowait.cluster.events import AttemptFinished, GpusJoined, JobPlaced, JobSubmitted
from kilowait.cluster.restricted import of_the_same_users
from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.task_lines import TaskLines
from kilowait.core.errors import JobRefused
from kilowait.core.jobs import Job, Prediction
from kilowait.policies.decisions import Place, Policy

NODE = "shadow"


@dataclass(slots=True, kw_only=True)
class ShadowRun:
    """A cluster under `policy` with these GPUs by type on one node each, run on from event to event.

    `waited_s` is the waiting of all its jobs together so far, `longer` by how much run times are taken to be longer
    than predicted.
    """

    policy: Policy
    total: Mapping[str, int]
    waited_s: float = 0.0
    longer: float = 1.0
    cluster: Cluster = field(default_factory=Cluster)
    ends: list[tuple[float, str]] = field(default_factory=list)

    @classmethod
    def beside(cls, cluster: Cluster, policy: Policy) -> "ShadowRun":
        """One on the same GPUs, once it begins: users have had as much, and have the same quotas, now and later."""
        return cls(policy=policy, total=dict(cluster.total), cluster=of_the_same_users(cluster))

    @classmethod
    def going_on(cls, cluster: Cluster, policy: Policy, longer: float) -> "ShadowRun":
        """What becomes of a real cluster under a policy: its jobs that run end as is expected of them."""
        ends = [(max(cluster.now_s, active.predicted_end_s), job_id) for job_id, active in cluster.active.items()]
        heapq.heapify(ends)
        shadow = cls(policy=policy, total=dict(cluster.total), longer=longer, cluster=cluster.copy(), ends=ends)
        shadow.cluster.lines = TaskLines()  # those whose turn it is not are yet to come, to the other shadows too
        shadow._decide()
        return shadow

    def begin(self, now_s: float) -> None:
        """Let the GPUs join."""
        for gpu_type, gpus in self.total.items():
            if gpus:
                advance(self.cluster, GpusJoined(time_s=now_s, node=NODE, gpu_type=gpu_type, gpus=gpus))

    def submit(self, job: Job, predictions: Mapping[str, Prediction], now_s: float) -> None:
        """A job comes; one that can never run there is left out, and jobs that are not there keep none waiting."""
        after = tuple(parent for parent in job.after if parent in self.cluster.active or self.cluster.entry(parent))
        try:
            job = job if after == job.after else replace(job, after=after)
            advance(self.cluster, JobSubmitted(time_s=now_s, job=job, predictions=predictions))
        except JobRefused:
            return

    def start(self, job_id: str, gpu_type: str, end_s: float) -> None:
        """Let a job that waits run until then, where there is room for it."""
        waiting, now_s = self.cluster.waiting.get(job_id), self.cluster.now_s
        if waiting is None or gpu_type not in waiting.gpus or not self.cluster.room().fits(waiting, gpu_type):
            return
        where, gpus = self.cluster.locate(waiting, gpu_type), waiting.gpus[gpu_type]
        event = JobPlaced(
            time_s=now_s, job_id=job_id, attempt=waiting.attempt, gpu_type=gpu_type, gpus=gpus, where=where
        )
        advance(self.cluster, event)
        heapq.heappush(self.ends, (max(now_s, end_s), job_id))

    def to_come_s(self) -> float:
        """How long the jobs that wait now will still wait, all together, if nobody else comes."""
        if not self.cluster.waiting:
            return 0.0
        rest = replace(self, waited_s=0.0, cluster=self.cluster.copy(), ends=list(self.ends))
        while rest.ends and rest.cluster.waiting:
            rest._take_in_ends(rest.ends[0][0])
            rest._decide()
        return rest.waited_s

    def run_until(self, now_s: float, arrived: Sequence[Waiting] = ()) -> None:
        """Take in what ends until then, deciding after each instant, and what comes then."""
        while self.ends and self.ends[0][0] < now_s:
            self._take_in_ends(self.ends[0][0])
            self._decide()
        ends_now = bool(self.ends) and self.ends[0][0] == now_s
        if ends_now:
            self._take_in_ends(now_s)
        self._wait_until(now_s)
        for waiting in arrived:
            self.submit(waiting.job, waiting.whole, now_s)
        if ends_now or arrived:
            self._decide()

    def _take_in_ends(self, end_s: float) -> None:
        self._wait_until(end_s)
        while self.ends and self.ends[0][0] == end_s:
            job_id = heapq.heappop(self.ends)[1]
            attempt = self.cluster.active[job_id].attempt
            advance(self.cluster, AttemptFinished(time_s=end_s, job_id=job_id, attempt=attempt))

    def _decide(self) -> None:
        for decision in self.policy(self.cluster) if self.cluster.waiting else ():
            waiting = self.cluster.waiting.get(decision.job_id)
            if isinstance(decision, Place) and waiting is not None:  # a running job that is to move stays where it is
                runtime_s = waiting.predictions[decision.gpu_type].runtime_s
                self.start(decision.job_id, decision.gpu_type, self.cluster.now_s + runtime_s * self.longer)

    def _wait_until(self, now_s: float) -> None:
        self.waited_s += len(self.cluster.waiting) * (now_s - self.cluster.now_s)
        self.cluster.now_s = now_s
