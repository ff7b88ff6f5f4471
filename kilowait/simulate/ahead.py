"""What happens next: a copy of a cluster is run on, from where it is, until its queue has started.

The same state machine and the same policies as the live scheduler, with run times that somebody supposes. Nobody else
submits, no node comes or goes, and an attempt starts when it is placed and gives way at once. All results are modelled.
"""

import heapq
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import assert_never

from kilowait.cluster.advance import advance
from kilowait.cluster.events import AttemptFinished, JobPlaced, LimitSet
from kilowait.cluster.giving_way import preempted_event
from kilowait.cluster.overrun import estimated_end_s
from kilowait.cluster.standing import Active
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Held
from kilowait.policies import Decision, Place, Policy, Preempt, SetLimit

Supposed = Callable[[str, float, float], float]
"""(job id, predicted seconds, seconds that it has run) -> seconds that it takes in all, more than it has run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A job as it would run: seconds on the cluster's clock, kWh as predicted for the type; `where` as `Active`'s."""

    gpu_type: str
    gpus: int
    start_s: float
    end_s: float
    energy_kwh: float
    where: tuple[Held, ...] = ()


def run_ahead(
    cluster: Cluster, policy: Policy, now_s: float, suppose: Supposed | None, wanted: Collection[str] | None = None
) -> dict[str, PlannedRun]:
    """When the waiting jobs start and end; changes `cluster`, so give a copy.

    Without a supposition jobs end as all planners expect it (`kilowait.cluster.overrun`). Stops once all of `wanted`
    have started (None: every job). A job that never starts is left out.
    """
    loop = _Ahead(cluster, policy, suppose)
    return loop.run(max(now_s, cluster.now_s), set(cluster.waiting if wanted is None else wanted))


class _Ahead:
    """One heap of ends keyed (time, serial), so that ties are deterministic."""

    def __init__(self, cluster: Cluster, policy: Policy, suppose: Supposed | None) -> None:
        self.cluster, self.policy, self.suppose = cluster, policy, suppose
        self.ends: list[tuple[float, int, AttemptFinished]] = []
        self.planned: dict[str, PlannedRun] = {}
        self.serial = count()

    def run(self, now_s: float, job_ids: set[str]) -> dict[str, PlannedRun]:
        self.cluster.now_s = now_s
        for active in self.cluster.active.values():
            self._expect(active, now_s)
        while job_ids - self.planned.keys():
            for decision in self.policy(self.cluster):
                self._carry_out(decision, now_s)
            if not self.ends and self.cluster.next_renewal_s() == inf:
                break
            now_s = self._next_instant()
        return self.planned

    def _next_instant(self) -> float:
        """Take in all that ends next, unless the policy looks at an expected end that passes before."""
        now_s = min(self.ends[0][0] if self.ends else inf, self.cluster.next_renewal_s())
        self.cluster.now_s = now_s
        while self.ends and self.ends[0][0] == now_s:
            advance(self.cluster, heapq.heappop(self.ends)[2])
        return now_s

    def _carry_out(self, decision: Decision, now_s: float) -> None:
        match decision:
            case Place():
                self._place(decision, now_s)
            case Preempt():
                self._preempt(decision, now_s)
            case SetLimit():
                self._limit(decision, now_s)
            case _:
                assert_never(decision)

    def _place(self, decision: Place, now_s: float) -> None:
        cluster, waiting = self.cluster, self.cluster.waiting[decision.job_id]
        where = decision.where or cluster.locate(waiting, decision.gpu_type)
        gpus = waiting.gpus[decision.gpu_type]
        job_id, gpu_type = decision.job_id, decision.gpu_type
        event = JobPlaced(
            time_s=now_s,
            job_id=job_id,
            attempt=waiting.attempt,
            gpu_type=gpu_type,
            gpus=gpus,
            where=where,
            limit_w=decision.limit_w,
        )
        advance(cluster, event)
        active = cluster.active[job_id]
        end_s, prediction = self._expect(active, now_s), active.predictions[gpu_type]
        before = self.planned.get(job_id)  # where it was preempted since, its start is its first one
        start_s = now_s if before is None else before.start_s
        self.planned[job_id] = PlannedRun(
            gpu_type=gpu_type, gpus=gpus, start_s=start_s, end_s=end_s, energy_kwh=prediction.energy_kwh, where=where
        )

    def _preempt(self, decision: Preempt, now_s: float) -> None:
        """A running job gives way at a checkpoint of this instant."""
        self._forget(decision.job_id)
        active = self.cluster.active[decision.job_id]
        advance(self.cluster, preempted_event(active, now_s, checkpointed=True))

    def _limit(self, decision: SetLimit, now_s: float) -> None:
        """A running job goes on under another power limit."""
        self._forget(job_id := decision.job_id)
        attempt = self.cluster.active[job_id].attempt
        advance(self.cluster, LimitSet(time_s=now_s, job_id=job_id, attempt=attempt, limit_w=decision.limit_w))
        self._expect(self.cluster.active[job_id], now_s)

    def _forget(self, job_id: str) -> None:
        """Its end is another from now on."""
        self.ends = [end for end in self.ends if end[2].job_id != job_id]
        heapq.heapify(self.ends)

    def _expect(self, active: Active, now_s: float) -> float:
        """Note when an attempt ends, and return it."""
        end_s, run_s = estimated_end_s(active, now_s), now_s - active.placed_s
        if self.suppose is not None:
            seconds = self.suppose(active.job.job_id, active.predictions[active.gpu_type].runtime_s, run_s)
            end_s = max(now_s, active.placed_s + seconds)
        event = AttemptFinished(time_s=end_s, job_id=active.job.job_id, attempt=active.attempt)
        heapq.heappush(self.ends, (end_s, next(self.serial), event))
        return end_s
