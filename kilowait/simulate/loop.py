"""The event loop: a list of submissions drives the same state machine and policies as a live scheduler.

A preempted job's checkpoint is of that instant and takes no time; going on from it costs the job's `checkpoint_s` on
the GPUs of the next attempt, at the power of the job. Not covered: failures, cancellations, nodes that come and go, and
the time a real start takes.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from operator import attrgetter
from typing import assert_never

from msgspec import Struct, structs

from kilowait.boards import WHOLE
from kilowait.cluster import Cluster, advance
from kilowait.errors import IllegalEvent, InputError, JobRefused, KilowaitError
from kilowait.events import AttemptFinished, Event, GpusJoined, JobPlaced, JobPreempted, JobSubmitted
from kilowait.hardware import CATALOGUE, canonical
from kilowait.jobs import Job, Prediction
from kilowait.policies import Place, Policy, Preempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job with what it really takes (`truth`) and what a policy may see (`seen`), both by GPU type."""

    job: Job
    truth: Mapping[str, Prediction]
    seen: Mapping[str, Prediction]


class Placement(Struct, frozen=True, kw_only=True, gc=False):
    """One attempt as it went: seconds on the submissions' clock, `energy_kwh` over all its GPUs.

    `runtime_s` stands beside `end_s` because their difference would round. `served_s` is how long earlier attempts,
    which were preempted, held GPUs. `gpus` counts boards, of which it had `gpu_milli` thousandths each.
    """

    job_id: str
    attempt: int
    gpu_type: str
    gpus: int
    submit_s: float
    start_s: float
    end_s: float
    runtime_s: float
    energy_kwh: float
    served_s: float = 0.0
    gpu_milli: int = WHOLE

    @property
    def gpu_s(self) -> float:
        """GPUs times seconds, a share as a fraction."""
        return self.gpus * self.runtime_s if self.gpu_milli == WHOLE else self.gpu_milli * self.runtime_s / WHOLE

    @property
    def wait_s(self) -> float:
        """Seconds that the job has waited in all by the start of this attempt."""
        wait_s = self.start_s - self.submit_s
        return max(0.0, wait_s - self.served_s) if self.served_s else wait_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a simulation did: every event taken in, every placement in the order decided, and jobs refused (why)."""

    policy: str
    inventory: Mapping[str, int]
    events: tuple[Event, ...]
    placements: tuple[Placement, ...]
    refused: Mapping[str, str]


def simulate(
    submissions: Iterable[Submission],
    inventory: Mapping[str, int],
    policy: Policy,
    *,
    nodes: Mapping[str, Sequence[int]] | None = None,
) -> Run:
    """Run all submissions to their end on `inventory` (GPUs by type, most powerful first) under `policy`.

    `nodes` lists the GPUs of each node by type; the GPUs of a type that it lacks are on one node.

    All completions, then all arrivals of an instant are taken in before one decision round. Raises InputError for an
    empty inventory, nodes that do not add up to it, a duplicate job id or a type that is seen but has no truth, and
    KilowaitError when the policy leaves jobs waiting although nothing runs any more.
    """
    by_id = _checked(submissions, inventory)
    loop = _Loop(by_id=by_id, policy=policy)
    for joined in _nodes(inventory, nodes or {}):
        loop.take_in(joined)
    loop.run()
    return Run(
        policy=getattr(policy, "__name__", type(policy).__name__),
        inventory=dict(inventory),
        events=tuple(loop.log),
        placements=tuple(loop.placements),
        refused=loop.refused,
    )


@dataclass(slots=True, kw_only=True)
class _Loop:
    """Arrivals in order, and one heap of completions keyed (time, serial), so that ties are deterministic."""

    by_id: Mapping[str, Submission]
    policy: Policy
    cluster: Cluster = field(default_factory=Cluster)
    completions: list[tuple[float, int, AttemptFinished]] = field(default_factory=list)
    log: list[Event] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    served_s: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Instant after instant: all completions, then all arrivals, then one decision."""
        cluster, policy, completions, log = self.cluster, self.policy, self.completions, self.log
        arrivals = self.arrivals()
        arrival, now_s = next(arrivals, None), 0.0
        while now_s < inf:
            while completions and completions[0][0] == now_s:
                finished = heapq.heappop(completions)[2]
                advance(cluster, finished)
                log.append(finished)
            while arrival is not None and arrival.time_s == now_s:
                self.take_in(arrival)
                arrival = next(arrivals, None)
            for decision in policy(cluster):
                match decision:
                    case Place():
                        self.place(decision, now_s)
                    case Preempt():
                        self.preempt(decision.job_id, now_s)
                    case _:
                        assert_never(decision)
            now_s = completions[0][0] if completions else inf
            if arrival is not None and arrival.time_s < now_s:
                now_s = arrival.time_s
        if cluster.waiting:
            left = ", ".join(w.job.job_id for w in cluster.queue())
            raise KilowaitError(f"the policy never placed these jobs although every GPU is free: {left}")

    def arrivals(self) -> Iterator[JobSubmitted]:
        """The submissions in queue order."""
        for submission in sorted(self.by_id.values(), key=attrgetter("job.submit_s", "job.job_id")):
            job = submission.job
            yield JobSubmitted(time_s=job.submit_s, job=job, predictions=submission.seen)

    def take_in(self, event: Event) -> None:
        """Change the cluster, and keep the event unless it is a job that is refused."""
        try:
            advance(self.cluster, event)
        except JobRefused as refusal:
            assert isinstance(event, JobSubmitted)
            self.refused[event.job.job_id] = str(refusal)
        else:
            self.log.append(event)

    def place(self, decision: Place, now_s: float) -> None:
        """Start a job, and schedule its true end."""
        cluster, job_id, gpu_type = self.cluster, decision.job_id, decision.gpu_type
        waiting = cluster.waiting.get(job_id)
        if waiting is None:
            raise IllegalEvent(f"job {job_id}: the policy places it, but it does not wait")
        job, attempt = waiting.job, waiting.attempt
        gpus = waiting.gpus.get(gpu_type, 0)
        where = cluster.locate(waiting, gpu_type) if cluster.boards and gpus else ()
        placed = JobPlaced(time_s=now_s, job_id=job_id, attempt=attempt, gpu_type=gpu_type, gpus=gpus, where=where)
        advance(cluster, placed)
        self.log.append(placed)
        truth, remaining = self.by_id[job_id].truth[gpu_type], waiting.remaining
        if remaining < 1:
            truth = truth.left(remaining, job.checkpoint_s or 0.0)
        placement = Placement(
            job_id=job_id,
            attempt=attempt,
            gpu_type=gpu_type,
            gpus=gpus,
            submit_s=job.submit_s,
            start_s=now_s,
            end_s=now_s + truth.runtime_s,
            runtime_s=truth.runtime_s,
            energy_kwh=truth.energy_kwh,
            served_s=self.served_s.get(job_id, 0.0) if attempt > 1 else 0.0,
            gpu_milli=job.gpu_milli,
        )
        finished = AttemptFinished(time_s=placement.end_s, job_id=job_id, attempt=attempt)
        heapq.heappush(self.completions, (placement.end_s, len(self.placements), finished))
        self.placements.append(placement)

    def preempt(self, job_id: str, now_s: float) -> None:
        """End a job's attempt at a checkpoint of this instant: it keeps the work that is done, and waits again."""
        at = next((k for k, (_, _, end) in enumerate(self.completions) if end.job_id == job_id), None)
        if at is None:
            raise IllegalEvent(f"job {job_id}: the policy preempts it, but it does not run")
        end_s, serial, _ = self.completions.pop(at)
        heapq.heapify(self.completions)
        active, planned = self.cluster.active[job_id], self.placements[serial]
        whole_s = self.by_id[job_id].truth[planned.gpu_type].runtime_s
        remaining = min(active.remaining, (end_s - now_s) / whole_s)  # none is done while it restarts
        preempted = JobPreempted(time_s=now_s, job_id=job_id, attempt=active.attempt, remaining=remaining)
        advance(self.cluster, preempted)
        self.log.append(preempted)
        held_s = now_s - planned.start_s
        energy_kwh = planned.energy_kwh * (held_s / planned.runtime_s)
        cut = structs.replace(planned, end_s=now_s, runtime_s=held_s, energy_kwh=energy_kwh)
        self.placements[serial] = cut
        self.served_s[job_id] = planned.served_s + held_s


def _nodes(inventory: Mapping[str, int], nodes: Mapping[str, Sequence[int]]) -> Iterator[GpusJoined]:
    """The nodes of a cluster; raises InputError where their GPUs are not those of the inventory."""
    for gpu_type in nodes:
        if sum(nodes[gpu_type]) != inventory.get(gpu_type, 0):
            raise InputError(
                f"nodes of {gpu_type} have {sum(nodes[gpu_type])} GPUs, the inventory {inventory.get(gpu_type, 0)}"
            )
    for gpu_type, gpus in inventory.items():
        for serial, count in enumerate(nodes.get(gpu_type, (gpus,))):
            name = f"{gpu_type}-{serial}" if len(nodes.get(gpu_type, ())) > 1 else "simulated"
            memory = _memory_bytes(gpu_type)
            yield GpusJoined(time_s=0.0, node=name, gpu_type=gpu_type, gpus=count, memory_bytes=memory)


def _checked(submissions: Iterable[Submission], inventory: Mapping[str, int]) -> dict[str, Submission]:
    """Submissions by job id; raises InputError for what the loop could not run."""
    if not inventory:
        raise InputError("the inventory is empty; give at least one GPU type and its count")
    for gpu_type, gpus in inventory.items():
        if gpus < 1:
            raise InputError(f"inventory: {gpu_type} must have >= 1 GPUs, got {gpus!r}")
    by_id: dict[str, Submission] = {}
    for submission in submissions:
        job_id = submission.job.job_id
        if job_id in by_id:
            raise InputError(f"job {job_id}: submitted twice; job ids must be unique")
        if submission.seen is not submission.truth and (unknown := _without_truth(submission, inventory)):
            raise InputError(f"job {job_id}: predictions are seen for {', '.join(unknown)}, but no truth is given")
        by_id[job_id] = submission
    return by_id


def _without_truth(submission: Submission, inventory: Mapping[str, int]) -> list[str]:
    return [t for t in submission.seen if t in inventory and t not in submission.truth]


def _memory_bytes(gpu_type: str) -> int | None:
    """A board's memory by the catalogue, None for a type that it does not know."""
    try:
        return CATALOGUE[canonical(gpu_type)].memory_bytes
    except InputError:
        return None
