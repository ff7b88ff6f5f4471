"""The state machine: what a cluster is, and the one function that changes it.

A driver (the simulator, a live scheduler) takes events in with `advance` and asks a policy what to place. Nothing
here reads a clock: time comes with the events.

The views that a policy may ask for (`ranked`, `ranked_jobs`, `predicted_ends`, `scale`) are built when they are first
asked for and kept up from then on, so nobody pays for a view that no policy looks at.

Not covered: partitions of a GPU, which board of a type a job gets, and nodes that drain or die.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from kilowait.ends import Ends
from kilowait.errors import IllegalEvent, JobRefused
from kilowait.events import (
    AttemptFailed,
    AttemptFinished,
    Event,
    GpusJoined,
    JobCancelled,
    JobPlaced,
    JobPreempted,
    JobSubmitted,
)
from kilowait.jobs import Job, Prediction
from kilowait.ranking import JobKey, JobKeys, Key, Keys, PairKeys, Ranking
from kilowait.scale import Scale
from kilowait.standing import Active, Waiting

__all__ = ["Active", "Cluster", "Snapshot", "Waiting", "advance", "replay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A cluster's state at one moment, for comparison and display; `waiting` is in queue order."""

    now_s: float
    total: Mapping[str, int]
    free: Mapping[str, int]
    waiting: tuple[Waiting, ...]
    active: tuple[Active, ...]
    over: frozenset[str]


@dataclass(slots=True, kw_only=True, eq=False)
class Cluster:
    """Inventory, queue and active set at the present time; changed by `advance` and by nothing else.

    `order` lists GPU types most powerful first; a type that joins unlisted goes behind. `total` and `free` count
    GPUs by type in that order, `memory_bytes` is a board's memory where it is known. `over` holds jobs that are
    finished or cancelled.
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
    _queue: list[Waiting] = field(default_factory=list)
    _places: list[tuple[float, str]] = field(default_factory=list)
    _rankings: list[Ranking] = field(default_factory=list)
    _ends: Ends | None = None
    _scale: Scale | None = None

    def queue(self) -> Iterator[Waiting]:
        """Waiting jobs, first come first: by submit time, then by job id as text."""
        return iter(self._queue)

    def options(self, waiting: Waiting) -> tuple[str, ...]:
        """The types a job may use and could ever fit on, most powerful first."""
        return tuple(waiting.gpus)

    def ranked(self, key: Key) -> Ranking:
        """The waiting (job, type) pairs in the order of `key`.

        The ranking is built at the first call and kept up from then on for as long as the key function lives, so
        hand in the same function object each time.
        """
        return self._ranking(key) or self._new_ranking(PairKeys(key))

    def ranked_jobs(self, key: JobKey) -> Ranking:
        """As `ranked`, by a key of the job that is the same for all its types."""
        return self._ranking(key) or self._new_ranking(JobKeys(key))

    def predicted_ends(self) -> Mapping[str, Sequence[tuple[float, int]]]:
        """By type, when its running jobs are predicted to end, and the GPUs each gives back, soonest first.

        Ends that are past belong to jobs that have overrun their prediction. It is the cluster's own: change nothing.
        """
        if self._ends is None:
            self._ends = Ends(self.total)
            for active in self.active.values():
                self._ends.add(active)
        return self._ends.by_type

    @property
    def scale(self) -> Scale:
        """How large the submitted jobs are. Asked for before the first job is over, it counts all from the first."""
        if self._scale is None:
            self._scale = Scale()
            everyone: list[Active | Waiting] = [*self.active.values(), *self._queue]
            for known in sorted(everyone, key=lambda known: (known.job.submit_s, known.job.job_id)):
                self._scale.add(known.whole, self.possible(known.job, known.whole))
        return self._scale

    def possible(self, job: Job, predictions: Mapping[str, Prediction]) -> dict[str, int]:
        """a_ij on the types that a job may use and could ever fit on, most powerful first."""
        # As `_obstacle`, but without words: every submission asks every type.
        allowed, by_type, memory, gpus = job.allowed, job.gpus_by_type, job.memory_bytes, job.gpus
        found = {}
        for gpu_type, total in self.total.items():
            if gpu_type in predictions and (allowed is None or gpu_type in allowed):
                taken = by_type.get(gpu_type, gpus) if by_type else gpus
                if taken <= total and (memory is None or memory <= self.memory_bytes.get(gpu_type, math.inf)):
                    found[gpu_type] = taken
        return found

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
        )

    def _ranking(self, key: Key | JobKey) -> Ranking | None:
        for ranking in self._rankings:
            if ranking.keys.by(key):
                return ranking
        return None

    def _new_ranking(self, keys: Keys) -> Ranking:
        ranking = Ranking(keys, {name: place for place, name in enumerate(self.total)}, self.waiting)
        for waiting in self._queue:
            ranking.add(waiting, keys.of(waiting) or ())
        self._rankings.append(ranking)
        return ranking

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

    def _enqueue(self, waiting: Waiting) -> None:
        """Let a job wait; raises InputError, before anything changes, when a ranking has no number for it."""
        if self._rankings:
            ranked = [(ranking, keys) for ranking in self._rankings if (keys := ranking.keys.of(waiting)) is not None]
            self._rankings = [ranking for ranking, _ in ranked]
            for ranking, keys in ranked:
                ranking.add(waiting, keys)
        job, places = waiting.job, self._places
        self.waiting[job.job_id] = waiting
        place = (job.submit_s, job.job_id)
        at = bisect_left(places, place) if places and place < places[-1] else len(places)
        places.insert(at, place)
        self._queue.insert(at, waiting)

    def _dequeue(self, job_id: str) -> Waiting:
        waiting = self.waiting.pop(job_id)
        at = 0 if self._queue[0] is waiting else bisect_left(self._places, waiting.place)
        del self._queue[at], self._places[at]
        for ranking in self._rankings:
            ranking.depart()
        return waiting

    def _release(self, job_id: str, attempt: int) -> Active:
        """Free the GPUs of an attempt that ended; raises IllegalEvent, before anything changes, unless it runs."""
        active = self.active.get(job_id)
        if active is None:
            raise IllegalEvent(f"job {job_id}: attempt {attempt} ended, but the job does not run")
        if active.attempt != attempt:
            raise IllegalEvent(f"job {job_id}: attempt {active.attempt} runs, got the end of {attempt!r}")
        del self.active[job_id]
        self.free[active.gpu_type] += active.gpus
        if self._ends is not None:
            self._ends.remove(active)
        return active


def advance(cluster: Cluster, event: Event) -> None:
    """Take one event in, changing `cluster` in place.

    Raises JobRefused when a submitted job can never run, and IllegalEvent when the event cannot follow the present
    state; either way the cluster is left as it was.
    """
    if not cluster.now_s <= event.time_s < math.inf:
        raise IllegalEvent(f"{event}: time_s must be finite and not before the present {cluster.now_s!r}")
    match event:
        case JobSubmitted():
            _submit(cluster, event)
        case JobPlaced():
            _start(cluster, event)
        case AttemptFinished():
            cluster._release(event.job_id, event.attempt)
            cluster.over.add(event.job_id)
        case AttemptFailed():
            active = cluster._release(event.job_id, event.attempt)
            _wait_again(cluster, active, active.remaining)
        case JobPreempted():
            _check_checkpoint(cluster, event)
            _wait_again(cluster, cluster._release(event.job_id, event.attempt), event.remaining)
        case GpusJoined():
            _join(cluster, event)
        case JobCancelled():
            _cancel(cluster, event)
        case _:
            assert_never(event)
    cluster.now_s = event.time_s


def replay(events: Iterable[Event], order: Iterable[str] = ()) -> Cluster:
    """The cluster that these events lead to, from an empty one; raises what `advance` raises.

    Its `scale` is kept from the first event on, in case a policy looks at it.
    """
    cluster = Cluster(order=tuple(order))
    cluster._scale = Scale()
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
    _open_to_waiting(cluster)


def _open_to_waiting(cluster: Cluster) -> None:
    """More GPUs can open a type to jobs that wait: their options are looked up again, and rankings built anew."""
    cluster._queue = [msgspec.structs.replace(w, gpus=cluster.possible(w.job, w.predictions)) for w in cluster._queue]
    for waiting in cluster._queue:
        cluster.waiting[waiting.job.job_id] = waiting
    cluster._rankings.clear()
    cluster._ends = None


def _submit(cluster: Cluster, event: JobSubmitted) -> None:
    job = event.job
    if job.job_id in cluster.waiting or job.job_id in cluster.active or job.job_id in cluster.over:
        raise IllegalEvent(f"job {job.job_id}: submitted before; give it another id")
    gpus = cluster.possible(job, event.predictions)
    if not gpus:
        raise JobRefused(f"job {job.job_id}: can never run here: {cluster.refusal(job, event.predictions)}")
    seen = event.predictions
    cluster._enqueue(Waiting(job=job, predictions=seen, whole=seen, attempt=1, gpus=gpus))
    if cluster._scale is not None:
        cluster._scale.add(event.predictions, gpus)


def _start(cluster: Cluster, event: JobPlaced) -> None:
    _check_placement(cluster, event)
    waiting = cluster._dequeue(event.job_id)
    cluster.free[event.gpu_type] -= event.gpus
    active = cluster.active[event.job_id] = Active(
        job=waiting.job,
        predictions=waiting.predictions,
        whole=waiting.whole,
        attempt=event.attempt,
        gpu_type=event.gpu_type,
        gpus=event.gpus,
        placed_s=event.time_s,
        remaining=waiting.remaining,
    )
    if cluster._ends is not None:
        cluster._ends.add(active)


def _wait_again(cluster: Cluster, active: Active, remaining: float) -> None:
    """Back to its old place in the queue for the next attempt, with `remaining` of the work to do."""
    job, whole, predictions = active.job, active.whole, active.predictions
    if remaining < active.remaining:
        predictions = {t: seen.left(remaining, job.checkpoint_s or 0.0) for t, seen in whole.items()}
    again = Waiting(
        job=job,
        predictions=predictions,
        whole=whole,
        attempt=active.attempt + 1,
        gpus=cluster.possible(job, whole),
        remaining=remaining,
    )
    cluster._enqueue(again)


def _check_checkpoint(cluster: Cluster, event: JobPreempted) -> None:
    """Raises IllegalEvent for a job that has no checkpoints, and for a checkpoint that cannot be."""
    active = cluster.active.get(event.job_id)
    if active is None:
        return  # and `_release` says so
    if active.job.checkpoint_s is None:
        raise IllegalEvent(f"job {event.job_id}: preempted, but it cannot go on from a checkpoint")
    if not 0 < event.remaining <= active.remaining:
        most = active.remaining
        raise IllegalEvent(f"job {event.job_id}: remaining must be > 0 and <= {most!r}, got {event.remaining!r}")


def _check_placement(cluster: Cluster, event: JobPlaced) -> None:
    """Raises IllegalEvent unless the job waits, may run on the type and finds its GPUs free."""
    on, waiting = event.gpu_type, cluster.waiting.get(event.job_id)
    if waiting is None:
        wrong = "placed, but it does not wait"
    elif event.attempt != waiting.attempt:
        wrong = f"attempt {waiting.attempt} is next, got {event.attempt!r}"
    elif on not in waiting.gpus:
        wrong = f"may not run on {on}"
    elif event.gpus != waiting.gpus[on]:
        wrong = f"takes {waiting.gpus[on]} GPUs on {on}, got {event.gpus!r}"
    elif event.gpus > cluster.free[on]:
        wrong = f"needs {event.gpus} GPUs on {on}, {cluster.free[on]} are free"
    else:
        return
    raise IllegalEvent(f"job {event.job_id}: {wrong}")


def _cancel(cluster: Cluster, event: JobCancelled) -> None:
    if event.job_id in cluster.waiting:
        cluster._dequeue(event.job_id)
    elif event.job_id in cluster.active:
        cluster._release(event.job_id, cluster.active[event.job_id].attempt)
    else:
        raise IllegalEvent(f"job {event.job_id}: cancelled, but it neither waits nor runs")
    cluster.over.add(event.job_id)
