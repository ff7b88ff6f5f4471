"""The state machine: what a cluster is, and the one function that changes it.

A driver (the simulator, a live scheduler) takes events in with `advance` and asks a policy what to place. Nothing
here reads a clock: time comes with the events.

Not covered: partitions of a GPU, which board of a type a job gets, and nodes that drain or die.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import assert_never
from weakref import WeakKeyDictionary

from kilowait.errors import IllegalEvent, JobRefused
from kilowait.events import (
    AttemptFailed,
    AttemptFinished,
    Event,
    GpusJoined,
    JobCancelled,
    JobPlaced,
    JobSubmitted,
)
from kilowait.jobs import Job, Prediction
from kilowait.ranking import Key, Ranking
from kilowait.scale import Scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A job in the queue; `attempt` is the number its next attempt will have (1 is the first)."""

    job: Job
    predictions: Mapping[str, Prediction]
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """A job that holds GPUs, with the predictions as they were seen when it was submitted."""

    job: Job
    predictions: Mapping[str, Prediction]
    attempt: int
    gpu_type: str
    gpus: int
    placed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A cluster's state at one moment, for comparison and display; `waiting` is in queue order."""

    now_s: float
    total: Mapping[str, int]
    free: Mapping[str, int]
    waiting: tuple[Waiting, ...]
    active: tuple[Active, ...]
    over: frozenset[str]
    scale: Scale


@dataclass(slots=True, kw_only=True, eq=False)
class Cluster:
    """Inventory, queue and active set at the present time; changed by `advance` and by nothing else.

    `order` lists GPU types most powerful first; a type that joins unlisted goes behind. `total` and `free` count
    GPUs by type in that order, `memory_bytes` is a board's memory where it is known. `over` holds jobs that are
    finished or cancelled, `scale` says how large the jobs submitted so far are.
    """

    order: tuple[str, ...] = ()
    now_s: float = 0.0
    total: dict[str, int] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)
    memory_bytes: dict[str, int] = field(default_factory=dict)
    nodes: dict[tuple[str, str], int] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    active: dict[str, Active] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    scale: Scale = field(default_factory=Scale)
    _queue: list[tuple[float, str]] = field(default_factory=list)
    _rankings: WeakKeyDictionary[Key, Ranking] = field(default_factory=WeakKeyDictionary)

    def queue(self) -> Iterator[Waiting]:
        """Waiting jobs, first come first: by submit time, then by job id as text."""
        return (self.waiting[job_id] for _, job_id in self._queue)

    def options(self, waiting: Waiting) -> tuple[str, ...]:
        """The types a job may use and could ever fit on, most powerful first."""
        return tuple(t for t in self.total if self._obstacle(waiting.job, waiting.predictions, t) is None)

    def ranked(self, key: Key) -> Ranking:
        """The waiting (job, type) pairs in the order of `key`.

        The ranking is built at the first call and kept up from then on for as long as the key function lives, so
        hand in the same function object each time.
        """
        ranking = self._rankings.get(key)
        if ranking is None:
            ranking = Ranking({name: place for place, name in enumerate(self.total)})
            for waiting in self.queue():
                ranking.add(key, waiting.job, waiting.predictions, self.options(waiting))
            self._rankings[key] = ranking
        return ranking

    def refusal(self, job: Job, predictions: Mapping[str, Prediction]) -> str | None:
        """Why this job can never run on the present inventory, None when it can."""
        obstacles = {t: self._obstacle(job, predictions, t) for t in self.total}
        if None in obstacles.values():
            return None
        reasons = "; ".join(f"{name}: {why}" for name, why in obstacles.items())
        return reasons or "the cluster has no GPUs"

    def snapshot(self) -> Snapshot:
        """A copy of the state that later events do not change."""
        return Snapshot(
            now_s=self.now_s,
            total=dict(self.total),
            free=dict(self.free),
            waiting=tuple(self.queue()),
            active=tuple(sorted(self.active.values(), key=lambda active: active.job.job_id)),
            over=frozenset(self.over),
            scale=self.scale,
        )

    def _obstacle(self, job: Job, predictions: Mapping[str, Prediction], gpu_type: str) -> str | None:
        """Why `job` can never run on `gpu_type`, None when it can."""
        if job.allowed is not None and gpu_type not in job.allowed:
            return f"not among the types it may use ({', '.join(sorted(job.allowed)) or 'none'})"
        if gpu_type not in predictions:
            return "no prediction for this type"
        memory = self.memory_bytes.get(gpu_type)
        if memory is not None and job.memory_bytes is not None and job.memory_bytes > memory:
            return f"needs {job.memory_bytes / 1e9:.1f} GB on each GPU, a board has {memory / 1e9:.1f} GB"
        if job.gpus_on(gpu_type) > self.total[gpu_type]:
            return f"needs {job.gpus_on(gpu_type)} GPUs, the cluster has {self.total[gpu_type]}"
        return None

    def _enqueue(self, waiting: Waiting) -> tuple[str, ...]:
        """Let a job wait; returns the types it could ever fit on."""
        job = waiting.job
        options = self.options(waiting)
        for key, ranking in self._rankings.items():  # first, because a key that is no number raises
            ranking.add(key, job, waiting.predictions, options)
        self.waiting[job.job_id] = waiting
        insort(self._queue, (job.submit_s, job.job_id))
        return options

    def _dequeue(self, job_id: str) -> Waiting:
        waiting = self.waiting.pop(job_id)
        del self._queue[bisect_left(self._queue, (waiting.job.submit_s, job_id))]
        for ranking in self._rankings.values():
            ranking.remove(job_id)
        return waiting

    def _release(self, job_id: str) -> Active:
        active = self.active.pop(job_id)
        self.free[active.gpu_type] += active.gpus
        return active


def advance(cluster: Cluster, event: Event) -> None:
    """Take one event in, changing `cluster` in place.

    Raises JobRefused when a submitted job can never run, and IllegalEvent when the event cannot follow the present
    state; either way the cluster is left as it was.
    """
    if not (math.isfinite(event.time_s) and event.time_s >= cluster.now_s):
        raise IllegalEvent(f"{event}: time_s must be finite and not before the present {cluster.now_s!r}")
    match event:
        case GpusJoined():
            _join(cluster, event)
        case JobSubmitted():
            _submit(cluster, event)
        case JobPlaced():
            _place(cluster, event)
        case AttemptFinished():
            _check_attempt(cluster, event)
            cluster._release(event.job_id)
            cluster.over.add(event.job_id)
        case AttemptFailed():
            _check_attempt(cluster, event)
            active = cluster._release(event.job_id)
            again = Waiting(job=active.job, predictions=active.predictions, attempt=active.attempt + 1)
            cluster._enqueue(again)
        case JobCancelled():
            _cancel(cluster, event)
        case _:
            assert_never(event)
    cluster.now_s = event.time_s


def replay(events: Iterable[Event], order: Iterable[str] = ()) -> Cluster:
    """The cluster that these events lead to, from an empty one; raises what `advance` raises."""
    cluster = Cluster(order=tuple(order))
    for event in events:
        advance(cluster, event)
    return cluster


def _join(cluster: Cluster, event: GpusJoined) -> None:
    name = event.gpu_type
    if event.gpus < 1:
        raise IllegalEvent(f"node {event.node}: gpus must be >= 1, got {event.gpus!r}")
    if (event.node, name) in cluster.nodes:
        raise IllegalEvent(f"node {event.node}: its {name} GPUs joined before and would be counted twice")
    cluster.nodes[event.node, name] = event.gpus
    rank = {gpu_type: place for place, gpu_type in enumerate(dict.fromkeys((*cluster.order, *cluster.total)))}
    for counts in (cluster.total, cluster.free):
        counts[name] = counts.get(name, 0) + event.gpus
        in_order = sorted(counts.items(), key=lambda item: rank.get(item[0], len(rank)))
        counts.clear()
        counts.update(in_order)
    if event.memory_bytes is not None:  # the smallest board decides: a job may get any of the type
        known = cluster.memory_bytes.get(name, event.memory_bytes)
        cluster.memory_bytes[name] = min(known, event.memory_bytes)
    cluster._rankings.clear()  # more GPUs can open a type to jobs that wait


def _submit(cluster: Cluster, event: JobSubmitted) -> None:
    job = event.job
    if job.job_id in cluster.waiting or job.job_id in cluster.active or job.job_id in cluster.over:
        raise IllegalEvent(f"job {job.job_id}: submitted before; give it another id")
    reason = cluster.refusal(job, event.predictions)
    if reason is not None:
        raise JobRefused(f"job {job.job_id}: can never run here: {reason}")
    options = cluster._enqueue(Waiting(job=job, predictions=event.predictions, attempt=1))
    cluster.scale = cluster.scale.after(job, event.predictions, options)


def _place(cluster: Cluster, event: JobPlaced) -> None:
    _check_placement(cluster, event)
    waiting = cluster._dequeue(event.job_id)
    cluster.free[event.gpu_type] -= event.gpus
    cluster.active[event.job_id] = Active(
        job=waiting.job,
        predictions=waiting.predictions,
        attempt=event.attempt,
        gpu_type=event.gpu_type,
        gpus=event.gpus,
        placed_s=event.time_s,
    )


def _check_placement(cluster: Cluster, event: JobPlaced) -> None:
    """Raises IllegalEvent unless the job waits, may run on the type and finds its GPUs free."""
    who, on = f"job {event.job_id}", event.gpu_type
    waiting = cluster.waiting.get(event.job_id)
    if waiting is None:
        raise IllegalEvent(f"{who}: placed, but it does not wait")
    if event.attempt != waiting.attempt:
        raise IllegalEvent(f"{who}: attempt {waiting.attempt} is next, got {event.attempt!r}")
    if on not in cluster.options(waiting):
        raise IllegalEvent(f"{who}: may not run on {on}")
    if event.gpus != waiting.job.gpus_on(on):
        raise IllegalEvent(f"{who}: takes {waiting.job.gpus_on(on)} GPUs on {on}, got {event.gpus!r}")
    if event.gpus > cluster.free[on]:
        raise IllegalEvent(f"{who}: needs {event.gpus} GPUs on {on}, {cluster.free[on]} are free")


def _check_attempt(cluster: Cluster, event: AttemptFinished | AttemptFailed) -> None:
    active = cluster.active.get(event.job_id)
    if active is None:
        raise IllegalEvent(f"job {event.job_id}: attempt {event.attempt} ended, but the job does not run")
    if active.attempt != event.attempt:
        raise IllegalEvent(f"job {event.job_id}: attempt {active.attempt} runs, got the end of {event.attempt!r}")


def _cancel(cluster: Cluster, event: JobCancelled) -> None:
    if event.job_id in cluster.waiting:
        cluster._dequeue(event.job_id)
    elif event.job_id in cluster.active:
        cluster._release(event.job_id)
    else:
        raise IllegalEvent(f"job {event.job_id}: cancelled, but it neither waits nor runs")
    cluster.over.add(event.job_id)
