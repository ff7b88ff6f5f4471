"""Running jobs give way to more urgent ones, around any policy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from kilowait.cluster.giving_way import least_urgent_first
from kilowait.cluster.standing import Active, Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.core.errors import InputError
from kilowait.core.over_time.time_text import seconds
from kilowait.policies.choices import fastest
from kilowait.policies.decisions import Decision, Place, Policy, Preempt
from kilowait.policies.planning.coming_hours import ask_at
from kilowait.policies.wrappers.urgent import urgent
from kilowait.policies.wrappers.wrapper import Wrapper


def preempting(policy: Policy, quantum_s: float = 0.0) -> Policy:
    """`urgent(policy)`; where a waiting job finds no boards, running ones of a smaller priority give way to it.

    Only jobs that go on from checkpoints do, once their attempt has run for `quantum_s` seconds: the least urgent
    first, of these the one that started last, on the type that is fastest for the job. Nobody gives way where that
    would not make enough room. In a decision in which the policy itself preempts nothing is added. Raises InputError
    for a quantum below 0.
    """
    if not quantum_s >= 0:
        raise InputError(f"preempting: the quantum must be >= 0 seconds, got {quantum_s!r}")
    inner = urgent(policy)

    def preempting(cluster: Cluster) -> list[Decision]:
        decisions = inner(cluster)
        if not cluster.waiting or not all(isinstance(one, Place) for one in decisions):
            return decisions
        plan = _Yielding(cluster=cluster, room=cluster.room(), quantum_s=quantum_s)
        return [*decisions, *plan.more([one for one in decisions if isinstance(one, Place)])]

    return preempting


@dataclass(slots=True, kw_only=True)
class _Yielding:
    """One decision: the room that is left, and who has given way."""

    cluster: Cluster
    room: Room
    quantum_s: float
    gone: set[str] = field(default_factory=set)

    def more(self, placed: Sequence[Place]) -> list[Decision]:
        """What gives way, and starts, beside what was placed."""
        found, started = list[Decision](), {one.job_id for one in placed}
        for one in placed:
            self.room.take(self.cluster.waiting[one.job_id], one.gpu_type, one.where)
        for waiting in sorted(self.cluster.queue(), key=lambda one: -one.job.priority):
            if waiting.job.job_id not in started and not self.room.fitting(waiting):
                found += self._for(waiting)
        if found:  # what is left of their boards is others', at once
            ask_at(self.cluster, math.nextafter(self.cluster.now_s, math.inf))
        return found

    def _for(self, waiting: Waiting) -> list[Decision]:
        making = {gpu_type: jobs for gpu_type in waiting.gpus if (jobs := self._who(waiting, gpu_type))}
        gpu_type = fastest(waiting, making)
        if gpu_type is None:
            return []
        for active in making[gpu_type]:
            self.room.give_back(active)
            self.gone.add(active.job.job_id)
        self.room.take(waiting, gpu_type, ())
        stop = [Preempt(job_id=active.job.job_id) for active in making[gpu_type]]
        return [*stop, Place(job_id=waiting.job.job_id, gpu_type=gpu_type)]

    def _who(self, waiting: Waiting, gpu_type: str) -> list[Active]:
        """Who gives way on a type; nobody where that makes too little room."""
        room, jobs = self.room.copy(), list[Active]()
        for active in self._less_urgent(waiting, gpu_type):
            if room.fits(waiting, gpu_type):
                break
            room.give_back(active)
            jobs.append(active)
        return jobs if room.fits(waiting, gpu_type) else []

    def _less_urgent(self, waiting: Waiting, gpu_type: str) -> list[Active]:
        running = [
            one
            for job_id, one in self.cluster.active.items()
            if one.gpu_type == gpu_type and one.job.priority < waiting.job.priority and job_id not in self.gone
        ]
        yielding = [one for one in running if one.job.checkpoint_s is not None and self._may(one)]
        return sorted(yielding, key=least_urgent_first)

    def _may(self, active: Active) -> bool:
        """Whether an attempt has run for its quantum; where it has not, the policy is asked again then."""
        until_s = active.placed_s + self.quantum_s
        if until_s > self.cluster.now_s:
            ask_at(self.cluster, until_s)
        return until_s <= self.cluster.now_s


WRAPPER = Wrapper(
    name="preempting",
    sentence="it decides first for the jobs of the largest priority, and jobs of a smaller one give way to them at "
    "checkpoints",
    wrap=preempting,
    read=seconds,
    arguments="TIME",
    needs=frozenset({"users", "checkpoints"}),
)
