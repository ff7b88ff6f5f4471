"""Decisions beside the loop that takes events in: on a copy of the cluster, which follows it by the same events.

A slow decision then keeps no submission, cancellation or end waiting. What it places is checked against the present
state before it is carried out: a job may have been cancelled meanwhile, or its boards lost.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from math import inf

from kilowait.cluster.advance import advance
from kilowait.cluster.events import (
    AttemptFailed,
    AttemptFinished,
    Event,
    JobCancelled,
    JobPlaced,
    JobPreempted,
    LimitSet,
)
from kilowait.cluster.standing import Postponed
from kilowait.cluster.state import Cluster
from kilowait.core.errors import IllegalEvent
from kilowait.live.postponing import same_plan
from kilowait.live.preemption.yielding import Leaving
from kilowait.policies import Decision, Place, Policy, SetLimit
from kilowait.policies.limiting.promised_watts import allows
from kilowait.policies.planning.coming_hours import WAKE
from kilowait.policies.steering.steered import steered_around
from kilowait.policies.wrappers.outside_windows import outside_windows
from kilowait.policies.wrappers.under_power_budget import under_power_budget
from kilowait.policies.wrappers.under_quotas import under_quotas


class DecidingCopy:
    """The copy on which a policy decides, one decision at a time. It keeps the views that the policy asks for.

    Made at the first decision; what has happened since the last one is taken in at the beginning of the next.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy, self._news, self.leaving = policy, list[Event](), Leaving()
        self._copy: Cluster | None = None
        self._limited = dict[str, float | None]()
        self._stale = False

    def happened(self, event: Event) -> None:
        """The cluster has taken an event in."""
        job_id = getattr(event, "job_id", "")
        if isinstance(event, LimitSet):
            self._limited[job_id] = event.limit_w
        if job_id not in self.leaving:
            self._news += [] if self._copy is None else [event]
        elif isinstance(event, AttemptFinished | AttemptFailed | JobPreempted | JobCancelled):
            self.leaving.forget(job_id)
            self._stale = True

    def take_limited(self) -> dict[str, float | None]:
        """The limits of running jobs that were set since this was asked last, in watts a board."""
        limited, self._limited = self._limited, {}
        return limited

    def leaves(self, cluster: Cluster, job_id: str) -> None:
        """A running job is preempted: in the copy its boards are free from the next decision on. Raises
        IllegalEvent for one that cannot be."""
        self.leaving.ask(cluster, job_id)
        self._stale = True

    def forget(self) -> None:
        """The cluster was replayed, so that the copy no longer follows it."""
        self._copy, self._news, self._stale = None, [], False

    def begin(self, cluster: Cluster) -> Callable[[], list[Decision]]:
        """What decides, in any thread, on the state as it is now; the one begun before it must be over."""
        copy = self._copy = self._anew(cluster) if self._copy is None or self._stale else self._copy
        news, self._news, now_s = self._news, [], cluster.now_s

        def decide() -> list[Decision]:
            for event in news:
                advance(copy, event)
            copy.now_s = now_s
            return self._policy(copy)

        return decide

    def _anew(self, cluster: Cluster) -> Cluster:
        """The state as it is now, put into the copy that the policy knows; attempts on their way out are yet to go."""
        anew, copy = cluster.copy(), self._copy
        before = {} if copy is None else copy.kept
        for name, plan in before.items():  # when the policy looked at it last is not in the log
            if name == WAKE or same_plan(plan, anew.kept.get(name)):
                anew.kept[name] = plan
        self._news, self._stale = list(self.leaving.events(cluster)), False
        if copy is None:
            return anew
        for part in fields(Cluster):
            setattr(copy, part.name, getattr(anew, part.name))
        return copy

    @property
    def kept(self) -> Mapping[str, Postponed]:
        """What was kept by the last decision; only while none is under way."""
        return {} if self._copy is None else self._copy.kept

    def next_renewal_s(self) -> float:
        """As `Cluster.next_renewal_s`, as of the last decision; only while none is under way."""
        return inf if self._copy is None else self._copy.next_renewal_s()


def held_to(policy: Policy) -> Policy:
    """A policy under the orders of operators, which hold whatever it is: quotas, maintenance and reservations of nodes,
    and a power budget.

    A price that steers itself does so around them, against a baseline under the same orders.
    """
    return steered_around(policy, _under_orders, limits=True)


def _under_orders(policy: Policy) -> Policy:
    return under_power_budget(under_quotas(outside_windows(policy)))


def is_possible(cluster: Cluster, decision: Place) -> bool:
    """Whether a job that was to be placed still waits, and finds the boards that were meant for it free."""
    waiting, gpu_type, where = cluster.waiting.get(decision.job_id), decision.gpu_type, decision.where
    if waiting is None or gpu_type not in waiting.gpus or not allows(cluster, decision):
        return False
    if where and cluster.boards:
        job = waiting.job
        return cluster.boards[gpu_type].allows(where, waiting.gpus[gpu_type], job.gpu_milli, job.one_node)
    return cluster.room().fits(waiting, gpu_type)


def limit_events(cluster: Cluster, decision: SetLimit) -> Iterator[LimitSet]:
    """The limit as of now; none where the job is over meanwhile, or the budget has no room for that limit yet."""
    active, limit_w = cluster.active.get(decision.job_id), decision.limit_w
    if active is not None and limit_w != active.limit_w and allows(cluster, decision):
        yield LimitSet(time_s=cluster.now_s, job_id=decision.job_id, attempt=active.attempt, limit_w=limit_w)


def placed_event(cluster: Cluster, decision: Place) -> JobPlaced:
    """The placement as of now, on boards that the cluster chooses where the policy named none; raises IllegalEvent for
    a job that does not wait for this type."""
    job_id, gpu_type = decision.job_id, decision.gpu_type
    waiting = cluster.waiting.get(job_id)
    if waiting is None or gpu_type not in waiting.gpus:
        raise IllegalEvent(f"job {job_id}: the policy places it on {gpu_type}, where it does not wait for room")
    return JobPlaced(
        time_s=cluster.now_s,
        job_id=job_id,
        attempt=waiting.attempt,
        gpu_type=gpu_type,
        gpus=waiting.gpus[gpu_type],
        where=decision.where or cluster.locate(waiting, gpu_type),
        limit_w=decision.limit_w,
    )
