"""The event loop: a list of submissions drives the same state machine and policies as a live scheduler.

A preempted job's checkpoint is of that instant and takes no time; going on from it costs the job's `checkpoint_s` on
the GPUs of the next attempt, at the power of the job. Not covered: failures, cancellations, nodes that come and go, and
the time a real start takes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from operator import attrgetter
from typing import Literal, assert_never, get_args

from msgspec import structs

from kilowait.cluster.advance import advance
from kilowait.cluster.events import (
    Event,
    JobFailed,
    JobPlaced,
    JobPreempted,
    JobSubmitted,
    LimitSet,
    NodesReserved,
    SignalReported,
)
from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.errors import IllegalEvent, InputError, JobRefused, KilowaitError
from kilowait.policies import Place, Policy, Preempt, SetLimit
from kilowait.policies.limiting.limit_price import LimitPrice
from kilowait.simulate.attempt_ends.completions import Completions
from kilowait.simulate.attempt_ends.truths import Truths
from kilowait.simulate.compiled.covered import NotCovered
from kilowait.simulate.compiled.worth import pays
from kilowait.simulate.given import checked, joined
from kilowait.simulate.run import Placement, Run, Submission
from kilowait.simulate.sleeping import Sleeping, SleepRule
from kilowait.simulate.within_power.power_budget import PowerBudget
from kilowait.simulate.within_power.power_rules import PowerRules

Engine = Literal["auto", "python", "compiled"]
"""Who runs a simulation; all give the same results."""


def simulate(
    submissions: Iterable[Submission],
    inventory: Mapping[str, int],
    policy: Policy,
    *,
    nodes: Mapping[str, Sequence[int]] | None = None,
    engine: Engine = "auto",
    sleep: SleepRule | None = None,
    limits: LimitPrice | None = None,
    budget: PowerBudget | None = None,
    reports: Iterable[SignalReported | NodesReserved] = (),
) -> Run:
    """Run all submissions to their end on `inventory` (GPUs by type, most powerful first) under `policy`.

    `nodes` lists the GPUs of each node by type; the GPUs of a type that it lacks are on one node. `engine` says who
    runs it, by default the compiled kernels where they cover the world and pay, else the loop below. `sleep` says when
    nodes sleep and what hosts draw; without it none sleeps. `limits` is the price by which power limits are chosen
    where predictions have curves; without it none is set. `budget` are watts that all boards together never pass.
    `reports` are what is known of signals and windows of nodes, by time; those after the last end are not looked at.

    All completions, then all arrivals of an instant are taken in before one decision round. Where a policy looks at
    expected ends there is one more round whenever such an end has passed (`kilowait.cluster.overrun`). Raises
    InputError for an empty inventory, nodes that do not add up to it, a duplicate job id, a type that is seen but has
    no truth, and an engine that does not cover this, and KilowaitError when the policy leaves jobs waiting although
    nothing runs any more.
    """
    if engine not in get_args(Engine):
        raise InputError(f"engine must be one of {', '.join(get_args(Engine))}, got {engine!r}")
    jobs = submissions if isinstance(submissions, list | tuple) else list(submissions)
    first = next(reports := iter(reports), None)
    told, power = None if first is None else chain((first,), reports), PowerRules(limits=limits, budget=budget)
    only_here = "nodes that sleep" if sleep is not None else "windows" if isinstance(first, NodesReserved) else ""
    if only_here and engine == "compiled":
        raise InputError(f"the compiled engine does not cover this: {only_here}; use engine 'python'")
    if engine == "compiled" or (
        engine == "auto" and not only_here and pays(len(jobs), len(inventory), policy, bool(power))
    ):
        from kilowait.simulate.compiled import engine as core  # numba takes a second to load

        try:
            return core.run(jobs, inventory, policy, nodes or {}, power, told)
        except NotCovered as why:
            if engine == "compiled":
                raise InputError(f"the compiled engine does not cover this: {why}; use engine 'python'") from why
    return _run(jobs, inventory, policy, nodes or {}, sleep, power, told or iter(()))


def _run(
    submissions: Sequence[Submission],
    inventory: Mapping[str, int],
    policy: Policy,
    nodes: Mapping[str, Sequence[int]],
    sleep: SleepRule | None,
    power: PowerRules,
    reports: Iterator[SignalReported | NodesReserved],
) -> Run:
    by_id, sleeping = checked(submissions, inventory), None if sleep is None else Sleeping(rule=sleep)
    truths = Truths(by_id=by_id, kept=power.limits is None or power.budget is not None)
    loop = _Loop(by_id=by_id, truths=truths, policy=policy, sleeping=sleeping, limits=power.limits, budget=power.budget)
    if power.budget is not None:
        power.budget.joined(inventory)
    for event in joined(inventory, nodes):
        loop.take_in(event)
        if sleeping is not None:
            sleeping.joined(event.gpu_type, event.node, event.gpus)
    loop.run(reports)
    return Run(
        policy=getattr(policy, "__name__", type(policy).__name__),
        inventory=dict(inventory),
        placements=tuple(loop.placements),
        refused=loop.refused,
        log=tuple(loop.log),
        sleeping=sleeping,
    )


@dataclass(slots=True, kw_only=True)
class _Loop:
    """Arrivals in order, and the ends of what runs."""

    by_id: Mapping[str, Submission]
    truths: Truths
    policy: Policy
    cluster: Cluster = field(default_factory=Cluster)
    completions: Completions = field(default_factory=Completions)
    log: list[Event] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    served_s: dict[str, float] = field(default_factory=dict)
    sleeping: Sleeping | None = None
    limits: LimitPrice | None = None
    budget: PowerBudget | None = None

    def run(self, reports: Iterator[SignalReported | NodesReserved]) -> None:
        """Instant after instant: all completions, reports, then all arrivals, then one decision."""
        cluster, completions, log, arrivals = self.cluster, self.completions, self.log, self.arrivals()
        arrival, report, now_s = next(arrivals, None), next(reports, None), 0.0
        while now_s < inf:
            while completions.next_s == now_s:
                serial, event = completions.take()
                if self.sleeping is not None:
                    self.sleeps_again(self.placements[serial], now_s)
                if self.budget is not None:
                    self.budget.ended(event.job_id)
                advance(cluster, event)
                log.append(event)
            while report is not None and report.time_s <= now_s:
                self.take_in(report)
                report = next(reports, None)
            while arrival is not None and arrival.time_s == now_s:
                self.take_in(arrival)
                if self.sleeping is not None and arrival.job.job_id not in self.refused:
                    self.sleeping.submitted(now_s)
                arrival = next(arrivals, None)
            for decision in self.policy(cluster):
                match decision:
                    case Place():
                        if not self.place(decision, now_s):
                            break
                    case Preempt():
                        self.preempt(decision.job_id, now_s)
                    case SetLimit():
                        self.set_limit(decision, now_s)
                    case _:
                        assert_never(decision)
            now_s = completions.next_s
            if arrival is not None and arrival.time_s < now_s:
                now_s = arrival.time_s
            if report is not None and report.time_s < now_s and (now_s < inf or cluster.waiting):
                now_s = report.time_s
            if (renewal_s := cluster.next_renewal_s()) < now_s:
                now_s = cluster.now_s = renewal_s  # no event tells it
        if cluster.waiting:
            job_ids = ", ".join(w.job.job_id for w in cluster.queue())
            raise KilowaitError(f"the policy never placed these jobs although every GPU is free: {job_ids}")

    def arrivals(self) -> Iterator[JobSubmitted]:
        """The submissions in queue order."""
        for submission in sorted(self.by_id.values(), key=attrgetter("job.submit_s", "job.job_id")):
            job = submission.job
            yield JobSubmitted(time_s=job.submit_s, job=job, predictions=submission.seen)

    def take_in(self, event: Event) -> None:
        """Change the cluster, and keep the event unless it is a job that is refused."""
        if self.limits is not None and isinstance(event, JobSubmitted):
            seen = self.limits.options(self.cluster, event.job, event.predictions)
            event = event if seen is event.predictions else structs.replace(event, predictions=seen)
        try:
            if isinstance(event, JobSubmitted) and (refused := [one for one in event.job.after if one in self.refused]):
                raise JobRefused(f"job {event.job.job_id}: runs after job {refused[0]}, which can never run here")
            if self.budget is not None and isinstance(event, JobSubmitted):
                event = structs.replace(event, predictions=self.budget.options(event.job, event.predictions))
            advance(self.cluster, event)
        except JobRefused as refusal:
            assert isinstance(event, JobSubmitted)
            self.refuse(event.job.job_id, str(refusal), event.time_s)
        else:
            self.log.append(event)
            if self.budget is not None and isinstance(event, JobSubmitted):
                self.budget.accepted(event.job, event.predictions)

    def refuse(self, job_id: str, why: str, time_s: float) -> None:
        """A job never runs, and neither do those that were submitted before to run after it."""
        self.refused[job_id] = why
        for child, parent in self.cluster.lines.dependents.in_vain(job_id):
            self.refused[child] = f"job {child}: runs after job {parent}, which can never run here"
            event = JobFailed(time_s=time_s, job_id=child, reason=self.refused[child])
            advance(self.cluster, event)
            self.log.append(event)

    def place(self, decision: Place, now_s: float) -> bool:
        """Start a job, and schedule its true end; False where there is no power for it yet."""
        cluster, job_id, gpu_type = self.cluster, decision.job_id, decision.gpu_type
        if (waiting := cluster.waiting.get(job_id)) is None:
            raise IllegalEvent(f"job {job_id}: the policy places it, but it does not wait")
        job, attempt, gpus = waiting.job, waiting.attempt, waiting.gpus.get(gpu_type, 0)
        where = decision.where or (cluster.locate(waiting, gpu_type) if cluster.boards and gpus else ())
        limit_w = decision.limit_w or (self.limit(waiting, gpu_type) if gpus else None)
        if self.budget is not None and gpus and limit_w is None:
            return False
        start_event = JobPlaced(
            time_s=now_s, job_id=job_id, attempt=attempt, gpu_type=gpu_type, gpus=gpus, where=where, limit_w=limit_w
        )
        advance(cluster, start_event)
        self.log.append(start_event)
        truth = self.truths.rest(job_id, gpu_type, limit_w, gpus, waiting.remaining)
        if self.budget is not None and limit_w is not None:
            self.budget.started(job_id, gpu_type, gpus, limit_w)
        delay_s = 0.0 if self.sleeping is None else self.sleeping.placed(gpu_type, where, now_s)
        placement = Placement(
            job_id=job_id,
            attempt=attempt,
            gpu_type=gpu_type,
            gpus=gpus,
            submit_s=job.submit_s,
            start_s=now_s + delay_s,
            end_s=now_s + delay_s + truth.runtime_s,
            runtime_s=truth.runtime_s,
            energy_kwh=truth.energy_kwh,
            served_s=self.served_s.get(job_id, 0.0) if attempt > 1 else 0.0,
            gpu_milli=job.gpu_milli,
            limit_w=limit_w,
            ready_s=waiting.ready_s,
        )
        self.placements.append(placement)
        self.completions.add(placement.end_s, len(self.placements) - 1, job_id, attempt)
        return True

    def limit(self, waiting: Waiting, gpu_type: str) -> float | None:
        """The power limit of a job that starts now, None for none, or where the budget has no room."""
        if self.budget is not None:
            return self.budget.limit(self.cluster, waiting, gpu_type)
        return None if self.limits is None else self.limits.at_start(self.cluster, waiting, gpu_type)

    def sleeps_again(self, placement: Placement, now_s: float) -> None:
        """The nodes of an attempt that ends now may fall asleep from now on; asked before its places are forgotten."""
        assert self.sleeping is not None
        where = self.cluster.active[placement.job_id].where
        share = max(0.0, now_s - placement.start_s) / placement.runtime_s
        self.sleeping.ended(placement.gpu_type, where, placement.gpu_s * min(1.0, share), now_s)

    def preempt(self, job_id: str, now_s: float) -> None:
        """End a job's attempt at a checkpoint of this instant: it keeps the work that is done, and waits again."""
        end_s, serial = self.completions.withdraw(job_id)
        active, placement = self.cluster.active[job_id], self.placements[serial]
        if self.budget is not None:
            self.budget.ended(job_id)
        if self.sleeping is not None:
            self.sleeps_again(placement, now_s)
        whole_s = self.truths.whole(job_id, placement.gpu_type, placement.limit_w, placement.gpus).runtime_s
        remaining = min(active.remaining, (end_s - now_s) / whole_s)  # none is done while it restarts
        event = JobPreempted(time_s=now_s, job_id=job_id, attempt=active.attempt, remaining=remaining)
        advance(self.cluster, event)
        self.log.append(event)
        rest = None if placement.limit_w is None else self.truths.attempt(placement, active.remaining)
        left_kwh = None if rest is None else rest.energy_kwh * (end_s - now_s) / rest.runtime_s
        self.placements[serial] = placement.cut(now_s, left_kwh)
        self.served_s[job_id] = placement.served_s + self.placements[serial].runtime_s

    def set_limit(self, decision: SetLimit, now_s: float) -> None:
        """What is left of a running job goes on under another power limit."""
        end_s, serial = self.completions.withdraw(decision.job_id)
        active, before = self.cluster.active[decision.job_id], self.placements[serial]
        after = structs.replace(before, limit_w=decision.limit_w)
        old, new = (self.truths.attempt(one, active.remaining) for one in (before, after))
        part = (end_s - now_s) / old.runtime_s
        new_end_s, more_kwh = now_s + part * new.runtime_s, part * (new.energy_kwh - old.energy_kwh)
        self.placements[serial] = before.limited_anew(decision.limit_w, new_end_s, more_kwh)
        self.completions.add(new_end_s, serial, before.job_id, before.attempt)
        event = LimitSet(time_s=now_s, job_id=before.job_id, attempt=before.attempt, limit_w=decision.limit_w)
        advance(self.cluster, event)
        self.log.append(event)
