"""The event loop: a list of submissions drives the same state machine and policies as a live scheduler.

Not covered: preemption, failures, cancellations, nodes that come and go, and the time a real start takes.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import assert_never

from kilowait.cluster import Cluster, advance
from kilowait.errors import IllegalEvent, InputError, JobRefused, KilowaitError
from kilowait.events import AttemptFinished, Event, GpusJoined, JobPlaced, JobSubmitted
from kilowait.hardware import CATALOGUE, canonical
from kilowait.jobs import Job, Prediction
from kilowait.policies import Place, Policy

_JOIN, _COMPLETION, _ARRIVAL = range(3)  # the order within an instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job with what it really takes (`truth`) and what a policy may see (`seen`), both by GPU type."""

    job: Job
    truth: Mapping[str, Prediction]
    seen: Mapping[str, Prediction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One attempt as it went: seconds on the submissions' clock, `energy_kwh` over all its GPUs.

    `runtime_s` stands beside `end_s` because their difference would round.
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

    @property
    def wait_s(self) -> float:
        """Seconds between submission and start."""
        return self.start_s - self.submit_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a simulation did: every event taken in, every placement in the order decided, and jobs refused (why)."""

    policy: str
    inventory: Mapping[str, int]
    events: tuple[Event, ...]
    placements: tuple[Placement, ...]
    refused: Mapping[str, str]


def simulate(submissions: Iterable[Submission], inventory: Mapping[str, int], policy: Policy) -> Run:
    """Run all submissions to their end on `inventory` (GPUs by type, most powerful first) under `policy`.

    All completions, then all arrivals of an instant are taken in before one decision round. Raises InputError for
    an empty inventory, a duplicate job id or a type that is seen but has no truth, and KilowaitError when the
    policy leaves jobs waiting although nothing runs any more.
    """
    by_id = _checked(submissions, inventory)
    loop = _Loop(by_id=by_id, policy=policy)
    for gpu_type, gpus in inventory.items():
        memory = _memory_bytes(gpu_type)
        joined = GpusJoined(time_s=0.0, node="simulated", gpu_type=gpu_type, gpus=gpus, memory_bytes=memory)
        loop.schedule(_JOIN, joined)
    for submission in sorted(by_id.values(), key=lambda s: (s.job.submit_s, s.job.job_id)):
        job = submission.job
        loop.schedule(_ARRIVAL, JobSubmitted(time_s=job.submit_s, job=job, predictions=submission.seen))
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
    """One heap keyed (time, priority, serial), so that ties are deterministic."""

    by_id: Mapping[str, Submission]
    policy: Policy
    cluster: Cluster = field(default_factory=Cluster)
    heap: list[tuple[float, int, int, Event]] = field(default_factory=list)
    serial: Iterator[int] = field(default_factory=count)
    log: list[Event] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def schedule(self, priority: int, event: Event) -> None:
        heapq.heappush(self.heap, (event.time_s, priority, next(self.serial), event))

    def run(self) -> None:
        while self.heap:
            now_s = self.heap[0][0]
            while self.heap and self.heap[0][0] == now_s:  # simultaneous events are one decision
                self._take_in(heapq.heappop(self.heap)[3])
            for decision in self.policy(self.cluster):
                match decision:
                    case Place():
                        self._place(decision, now_s)
                    case _:
                        assert_never(decision)
        if self.cluster.waiting:
            left = ", ".join(w.job.job_id for w in self.cluster.queue())
            raise KilowaitError(f"the policy never placed these jobs although every GPU is free: {left}")

    def _take_in(self, event: Event) -> None:
        try:
            advance(self.cluster, event)
        except JobRefused as refusal:
            assert isinstance(event, JobSubmitted)
            self.refused[event.job.job_id] = str(refusal)
        else:
            self.log.append(event)

    def _place(self, decision: Place, now_s: float) -> None:
        waiting = self.cluster.waiting.get(decision.job_id)
        if waiting is None:
            raise IllegalEvent(f"job {decision.job_id}: the policy places it, but it does not wait")
        gpu_type, job, attempt = decision.gpu_type, waiting.job, waiting.attempt
        gpus = job.gpus_on(gpu_type)
        self._take_in(JobPlaced(time_s=now_s, job_id=job.job_id, attempt=attempt, gpu_type=gpu_type, gpus=gpus))
        truth = self.by_id[job.job_id].truth[gpu_type]
        end_s = now_s + truth.runtime_s
        self.schedule(_COMPLETION, AttemptFinished(time_s=end_s, job_id=job.job_id, attempt=attempt))
        self.placements.append(
            Placement(
                job_id=job.job_id,
                attempt=attempt,
                gpu_type=gpu_type,
                gpus=gpus,
                submit_s=job.submit_s,
                start_s=now_s,
                end_s=end_s,
                runtime_s=truth.runtime_s,
                energy_kwh=truth.energy_kwh,
            )
        )


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
        unknown = [t for t in submission.seen if t in inventory and t not in submission.truth]
        if unknown:
            raise InputError(f"job {job_id}: predictions are seen for {', '.join(unknown)}, but no truth is given")
        by_id[job_id] = submission
    return by_id


def _memory_bytes(gpu_type: str) -> int | None:
    """A board's memory by the catalogue, None for a type that it does not know."""
    try:
        return CATALOGUE[canonical(gpu_type)].memory_bytes
    except InputError:
        return None
