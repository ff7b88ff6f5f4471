"""A shadow run: the same arrivals on the same GPUs under another policy, as run times are predicted.

Nothing real depends on where a job is in the shadow; only how long its queue is counts.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from kilowait.cluster.advance import advance
from kilowait.cluster.events import (
    AttemptFinished,
    GpusHeld,
    GpusJoined,
    JobCancelled,
    JobPlaced,
    JobPredicted,
    JobSubmitted,
)
from kilowait.cluster.nodes_told_apart import tell_apart
from kilowait.cluster.restricted import of_the_same_users
from kilowait.cluster.standing import Active, Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.task_lines import TaskLines
from kilowait.cluster.views.windows import windows_of
from kilowait.core.errors import JobRefused
from kilowait.core.jobs import Held, Job, Prediction
from kilowait.policies.decisions import Place, Policy

NODE = "shadow"

Nodes = Mapping[tuple[str, str], int]
"""Boards by node and type."""


def nodes_beside(cluster: Cluster) -> Nodes:
    """The nodes of a shadow of a cluster: its own where one of them has a window, else all boards on one."""
    if windows_of(cluster):
        return {key: gpus for t in cluster.total for key, gpus in cluster.nodes.items() if key[1] == t}
    return {(NODE, gpu_type): gpus for gpu_type, gpus in cluster.total.items() if gpus}


@dataclass(slots=True, kw_only=True)
class ShadowRun:
    """A cluster under `policy` with these nodes, run on from event to event.

    `waited_s` is the waiting of all its jobs together so far, `longer` by how much run times are taken to be longer
    than predicted.
    """

    policy: Policy
    nodes: Nodes
    waited_s: float = 0.0
    longer: float = 1.0
    cluster: Cluster = field(default_factory=Cluster)
    ends: list[tuple[float, str]] = field(default_factory=list)

    @classmethod
    def beside(cls, cluster: Cluster, policy: Policy) -> "ShadowRun":
        """One on the same GPUs from now on, with the jobs that run: users have had as much, orders are the same."""
        shadow = cls(policy=policy, nodes=nodes_beside(cluster), cluster=of_the_same_users(cluster))
        shadow.begin(cluster.now_s)
        shadow._follow(cluster)
        for active in cluster.active.values():
            if not _is_on_its_way_out(cluster, active):
                shadow._submit(active.job, active.predictions)
                shadow._start(active.job.job_id, active.gpu_type, active.predicted_end_s, active.where)
        return shadow

    @classmethod
    def going_on(cls, cluster: Cluster, policy: Policy, longer: float) -> "ShadowRun":
        """What becomes of a real cluster under a policy: its jobs that run end as is expected of them."""
        ends = [(max(cluster.now_s, active.predicted_end_s), job_id) for job_id, active in cluster.active.items()]
        heapq.heapify(ends)
        shadow = cls(policy=policy, nodes=cluster.nodes, longer=longer, cluster=cluster.copy(), ends=ends)
        shadow.cluster.lines = TaskLines()  # those whose turn it is not are yet to come, to the other shadows too
        shadow._decide()
        return shadow

    def begin(self, now_s: float) -> None:
        """Let the GPUs join."""
        for (node, gpu_type), gpus in self.nodes.items():
            advance(self.cluster, GpusJoined(time_s=now_s, node=node, gpu_type=gpu_type, gpus=gpus))
        if windows_of(self.cluster):
            tell_apart(self.cluster)

    def to_come_s(self) -> float:
        """How long the jobs that wait now will still wait, all together, if nobody else comes."""
        if not self.cluster.waiting:
            return 0.0
        rest = replace(self, waited_s=0.0, cluster=self.cluster.copy(), ends=list(self.ends))
        while rest.cluster.waiting and (next_s := rest._next_s()) < inf:
            rest._take_in_ends(next_s)
            rest._decide()
        return rest.waited_s

    def run_until(
        self,
        now_s: float,
        arrived: Sequence[Waiting] = (),
        gone: Sequence[str] = (),
        beside: Cluster | None = None,
    ) -> None:
        """Take in what ends until then, deciding after each instant, and what comes, and who is withdrawn, then."""
        while (next_s := self._next_s(months=True)) < now_s:
            self._take_in_ends(next_s)
            self._decide()
        due = next_s == now_s
        self._take_in_ends(now_s)
        more_is_free = beside is not None and self._follow(beside)
        for job_id in gone:
            self._withdraw(job_id)
        for waiting in arrived:
            self._arrive(waiting)
        if due or arrived or gone or more_is_free:
            self._decide()

    def _arrive(self, waiting: Waiting) -> None:
        """A job comes, on the types that are open to it; or one that waits is predicted anew."""
        cluster, job_id = self.cluster, waiting.job.job_id
        if (before := cluster.entry(job_id)) is not None:
            predictions = {gpu_type: waiting.whole[gpu_type] for gpu_type in before.whole}
            advance(cluster, JobPredicted(time_s=cluster.now_s, job_id=job_id, predictions=predictions))
        elif job_id not in cluster.active and job_id not in cluster.over:
            self._submit(waiting.job, {t: told for t, told in waiting.whole.items() if t in waiting.gpus})

    def _submit(self, job: Job, predictions: Mapping[str, Prediction]) -> None:
        """A job comes; one that can never run there is left out, and jobs that are not there keep none waiting."""
        after = tuple(parent for parent in job.after if parent in self.cluster.active or self.cluster.entry(parent))
        try:
            job = job if after == job.after else replace(job, after=after)
            advance(self.cluster, JobSubmitted(time_s=self.cluster.now_s, job=job, predictions=predictions))
        except JobRefused:
            return

    def _withdraw(self, job_id: str) -> None:
        """A job that never ran in reality is cancelled, whether it runs here or not."""
        if job_id in self.cluster.active or self.cluster.entry(job_id) is not None:
            advance(self.cluster, JobCancelled(time_s=self.cluster.now_s, job_id=job_id))

    def _start(self, job_id: str, gpu_type: str, end_s: float, where: tuple[Held, ...] = ()) -> None:
        """Let a job that waits run until then, there or else where there is room for it."""
        cluster = self.cluster
        waiting, now_s = cluster.waiting.get(job_id), cluster.now_s
        if waiting is None or gpu_type not in waiting.gpus:
            return
        gpus, job, boards = waiting.gpus[gpu_type], waiting.job, cluster.boards.get(gpu_type)
        if not (boards and where and boards.allows(where, gpus, job.gpu_milli, job.one_node)):
            if not cluster.room().fits(waiting, gpu_type):
                return
            where = cluster.locate(waiting, gpu_type)
        event = JobPlaced(
            time_s=now_s, job_id=job_id, attempt=waiting.attempt, gpu_type=gpu_type, gpus=gpus, where=where
        )
        advance(cluster, event)
        heapq.heappush(self.ends, (max(now_s, end_s), job_id))

    def _follow(self, beside: Cluster) -> bool:
        """Operators' orders are those of the real cluster, and other work holds as many boards as far as they are free;
        whether it gave some back."""
        own, freed = self.cluster, False
        own.quotas, own.maintenance, own.reservations = beside.quotas, beside.maintenance, beside.reservations
        if not (beside.held or own.held):
            return False
        for node, gpu_type in self.nodes:
            asked = sum(n for (name, t), n in beside.held.items() if t == gpu_type and node in (name, NODE))
            held = own.held.get((node, gpu_type), 0)
            if (gpus := min(asked, held + own.free_on(node, gpu_type))) != held:
                advance(own, GpusHeld(time_s=own.now_s, node=node, gpu_type=gpu_type, gpus=gpus))
                freed |= gpus < held
        return freed

    def _next_s(self, *, months: bool = False) -> float:
        """When a job ends, or nodes are open again, or, of `months`, use is forgotten that counts against a quota."""
        cluster, next_s = self.cluster, self.ends[0][0] if self.ends else inf
        for ordered in (cluster.maintenance, cluster.reservations) if cluster.waiting else ():
            next_s = min((next_s, *(one.ends_s for one in ordered.values() if one.ends_s > cluster.now_s)))
        if months and cluster.quotas and cluster.waiting:
            next_s = min(next_s, cluster.usage.next_freed_s(cluster.now_s))
        return next_s

    def _take_in_ends(self, end_s: float) -> None:
        self.waited_s += len(self.cluster.waiting) * (end_s - self.cluster.now_s)
        self.cluster.now_s = end_s
        while self.ends and self.ends[0][0] == end_s:
            active = self.cluster.active.get(heapq.heappop(self.ends)[1])
            if active is not None:  # else it was withdrawn
                event = AttemptFinished(time_s=end_s, job_id=active.job.job_id, attempt=active.attempt)
                advance(self.cluster, event)

    def _decide(self) -> None:
        for decision in self.policy(self.cluster) if self.cluster.waiting else ():
            waiting = self.cluster.waiting.get(decision.job_id)
            if isinstance(decision, Place) and waiting is not None:  # a running job that is to move stays where it is
                end_s = self.cluster.now_s + waiting.predictions[decision.gpu_type].runtime_s * self.longer
                self._start(decision.job_id, decision.gpu_type, end_s, decision.where)


def _is_on_its_way_out(cluster: Cluster, active: Active) -> bool:
    """Whether a job runs on nodes that drain alone: what it has is nobody's afterwards."""
    return bool(active.where) and all(held.node in cluster.draining for held in active.where)
