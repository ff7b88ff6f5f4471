"""What a cluster is at one moment: inventory, queue, active set, and the views that policies look at.

The views are built when they are first asked for and kept up from then on, so nobody pays for a view that no policy
looks at. What changes a cluster is in `kilowait.cluster.advance`.
"""

import copy
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import inf
from types import MappingProxyType

from kilowait.cluster.boards import Boards
from kilowait.cluster.nodes_told_apart import tell_apart
from kilowait.cluster.obstacles import obstacle, possible, refusal
from kilowait.cluster.standing import Active, Postponed, Snapshot, Waiting, Withdrawn
from kilowait.cluster.task_lines import TaskLines
from kilowait.cluster.views.by_area import ByArea
from kilowait.cluster.views.ends import Ends
from kilowait.cluster.views.ranking import JobKey, Key, Keys, Ranking, ranked_in, ranking_by
from kilowait.cluster.views.recent import Recent, submitted
from kilowait.cluster.views.room import Room
from kilowait.cluster.views.scale import Scale
from kilowait.cluster.views.usage import Usage
from kilowait.core.errors import IllegalEvent
from kilowait.core.jobs import Held, Job, Prediction
from kilowait.core.maintenance import Maintenance, NodeReservation
from kilowait.core.over_time.signals import Signal
from kilowait.core.quotas import Quota
from kilowait.core.units import WHOLE

_NO_BOARDS: Mapping[str, Boards] = MappingProxyType({})


@dataclass(slots=True, kw_only=True, eq=False)
class Cluster:
    """Inventory, queue and active set at the present time; changed by `advance` and by nothing else.

    `order` lists GPU types most powerful first; a type that joins unlisted goes behind. `total` and `free` count
    whole GPUs by type in that order, `largest` those of the node that has the most, `memory_bytes` is the memory of the
    smallest board where it is known. A type whose last node left stays, with 0 GPUs. By (node, type), `nodes` counts
    boards, `held` those of them that other work holds, and `memory_of` is a board's memory; what nodes in `draining`
    have is in `withdrawn` instead, though jobs may still run there. Unseen by policies, `stranded` are jobs that fit
    nowhere since nodes have left, and `lines` has tasks that wait for others of their array; `over` are all that ended.

    Boards are told apart, in `boards` by type, from the second node of a type or the first job with a share on. Until
    then they are on the only node of their type, unshared. `_special` jobs share, or ask for one node. As told last are
    `signals`, `quotas`, `reservations` and, by node, `maintenance`; `kept` jobs a policy notes, to be asked when due.
    """

    order: tuple[str, ...] = ()
    now_s: float = 0.0
    total: dict[str, int] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)
    memory_bytes: dict[str, int] = field(default_factory=dict)
    nodes: dict[tuple[str, str], int] = field(default_factory=dict)
    memory_of: dict[tuple[str, str], int] = field(default_factory=dict)
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    draining: set[str] = field(default_factory=set)
    withdrawn: dict[tuple[str, str], Withdrawn] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    stranded: dict[str, Waiting] = field(default_factory=dict)
    active: dict[str, Active] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    boards: dict[str, Boards] = field(default_factory=dict)
    anchors: dict[tuple[str | None, str, str], Mapping[str, float]] = field(default_factory=dict)  # cluster.anchoring
    lines: TaskLines = field(default_factory=TaskLines)
    signals: dict[str, Signal] = field(default_factory=dict)
    quotas: dict[str, Quota] = field(default_factory=dict)
    maintenance: dict[str, Maintenance] = field(default_factory=dict)
    reservations: dict[str, NodeReservation] = field(default_factory=dict)
    kept: dict[str, Postponed] = field(default_factory=dict)
    _special: set[str] = field(default_factory=set)
    _queue: list[Waiting] = field(default_factory=list)
    _places: list[tuple[float, str]] = field(default_factory=list)
    _rankings: list[Ranking] = field(default_factory=list)
    _ends: Ends | None = None
    _by_area: ByArea | None = None
    _scale: Scale | None = None
    _recent: Recent | None = None
    _usage: Usage | None = None
    _lent: Room | None = None

    def queue(self) -> Iterator[Waiting]:
        """Waiting jobs, first come first: by submit time, then by job id as text."""
        return iter(self._queue)

    def entry(self, job_id: str) -> Waiting | None:
        """A job that waits wherever it stands: in the queue, for a node where it fits, behind its array."""
        return self.waiting.get(job_id) or self.stranded.get(job_id) or self.lines.get(job_id)

    def options(self, waiting: Waiting) -> tuple[str, ...]:
        """The types a job may use and could ever fit on, most powerful first."""
        return tuple(waiting.gpus)

    def room(self) -> Room:
        """What is free now, for a policy to use up."""
        if self._lent is not None:
            return self._lent.copy()
        apart = self._special or self.draining or self.maintenance or self.reservations
        return Room(self.free.copy(), self.boards if apart else _NO_BOARDS)

    def free_on(self, node: str, gpu_type: str) -> int:
        """The whole free boards of one type on a node that does not drain."""
        return self.boards[gpu_type].free_on(node) if self.boards else self.free[gpu_type]

    def runs_on(self, active: Active, node: str) -> bool:
        """Whether a running job holds boards of a node."""
        if active.where:
            return any(held.node == node for held in active.where)
        return (node, active.gpu_type) in self.nodes

    def locate(self, waiting: Waiting, gpu_type: str) -> tuple[Held, ...]:
        """The boards that a job gets if it is placed now, best fit, as `Boards.choose`; () where it does not fit, and
        where there is nothing to choose: boards that are not told apart."""
        if not self.boards:
            return ()
        return self.boards[gpu_type].choose(waiting.gpus[gpu_type], waiting.job.gpu_milli, waiting.job.one_node)

    def ranked(self, key: Key) -> Ranking:
        """The waiting (job, type) pairs in the order of `key`; kept up for as long as that function object lives."""
        return ranking_by(key, self._rankings) or self._new_ranking(Keys(key, per_job=False))

    def ranked_jobs(self, key: JobKey) -> Ranking:
        """As `ranked`, by a key of the job that is the same for all its types."""
        return ranking_by(key, self._rankings) or self._new_ranking(Keys(key, per_job=True))

    def by_area(self) -> ByArea:
        """The waiting jobs as arrays, the smallest first."""
        if self._by_area is None:
            self._by_area = ByArea(tuple(self.total), self._queue)
        return self._by_area

    def predicted_ends(self) -> Mapping[str, Sequence[tuple[float, int]]]:
        """By type, when running jobs are expected to end, the soonest first, and the thousandths of GPUs that each
        gives back. It is the cluster's own: change nothing."""
        return self.ends().by_type

    def next_renewal_s(self) -> float:
        """When the next estimate passes, use is forgotten or what is kept is due; inf where nobody asked, or waits."""
        next_s = inf if self._ends is None or not self.waiting else self.ends().next_s()
        if self.kept:
            next_s = min((next_s, *(kept.until_s for kept in self.kept.values() if kept.until_s > self.now_s)))
        return min(next_s, self._usage.next_freed_s(self.now_s)) if self._usage and self.waiting else next_s

    def ends(self) -> Ends:
        """The running jobs by their expected ends, as of now."""
        if self._ends is None:
            self._ends = Ends.of(self.active.values(), self.total, self.draining, self.now_s)
        self._ends.renew(self.now_s)
        return self._ends

    @property
    def scale(self) -> Scale:
        """How large the submitted jobs are. Asked for before the first job is over, it counts all from the first."""
        if self._scale is None:
            self._scale = Scale()
            for waiting in submitted(self._queue, self.active.values(), self.possible):
                self._scale.add(waiting.whole, waiting.gpus, waiting.job.gpu_milli / WHOLE)
        return self._scale

    @property
    def recent(self) -> Recent:
        """The last jobs submitted. Asked for before the first job is over, it knows all from the first."""
        if self._recent is None:
            self._recent = Recent.of(submitted(self._queue, self.active.values(), self.possible))
        return self._recent

    @property
    def usage(self) -> Usage:
        """What users have had of the GPUs. Asked for before the first job is over, it is all that they had."""
        if self._usage is None:
            self._usage = Usage()
        return self._usage

    def possible(self, job: Job, predictions: Mapping[str, Prediction]) -> dict[str, int]:
        """On how many boards a job runs on each type that is no `obstacle` to it, most powerful first."""
        return possible(self, job, predictions)

    def refusal(self, job: Job, predictions: Mapping[str, Prediction]) -> str | None:
        """Why this job can never run on the present inventory, None when it can."""
        return refusal(self, job, predictions)

    def obstacle(self, job: Job, predictions: Mapping[str, Prediction], gpu_type: str) -> str | None:
        """Why `job` can never run on `gpu_type`, None when it can."""
        return obstacle(self, job, predictions, gpu_type)

    def snapshot(self) -> Snapshot:
        """A copy of the state that later events do not change."""
        return Snapshot.of(self.now_s, self.total, self.free, self._queue, self.active, self.over, self.stranded)

    def copy(self) -> "Cluster":
        """The same state, which changes without this one; rankings and ends are built anew when they are asked for."""
        cluster = Cluster(**{part.name: copy.copy(getattr(self, part.name)) for part in fields(self)})
        cluster.boards = {gpu_type: boards.copy() for gpu_type, boards in self.boards.items()}
        cluster._scale, cluster._recent = self._scale and replace(self._scale), self._recent and self._recent.copy()
        cluster._rankings, cluster._ends, cluster._by_area = [], None, None
        cluster._usage, cluster.lines = self._usage and self._usage.copy(), self.lines.copy()
        return cluster

    def count_submissions(self) -> None:
        """Keep `scale`, `recent` and `usage` from now on, in case a policy asks for them once jobs are over."""
        _ = self.scale, self.recent, self.usage

    def _new_ranking(self, keys: Keys) -> Ranking:
        self._rankings.append(Ranking.of(self._queue, keys, self.total, self.waiting))
        return self._rankings[-1]

    def submit(self, waiting: Waiting) -> None:
        """Let a new job wait; raises InputError, before anything changes, when a ranking has no number for it."""
        job = waiting.job
        self.enqueue(waiting)
        if self._recent is not None:
            self._recent.add(waiting)
        if self._scale is not None:
            self._scale.add(waiting.whole, waiting.gpus, job.gpu_milli / WHOLE)
        if job.one_node or job.gpu_milli != WHOLE:
            self._special.add(job.job_id)
        if job.gpu_milli != WHOLE:
            tell_apart(self)

    def enqueue(self, waiting: Waiting) -> None:
        """Let a job wait; raises InputError, before anything changes, when a ranking has no number for it."""
        if self._rankings:
            self._rankings = ranked_in(self._rankings, waiting)
        places, place = self._places, waiting.place
        self.waiting[waiting.job.job_id] = waiting
        position = bisect_left(places, place) if places and place < places[-1] else len(places)
        places.insert(position, place)
        self._queue.insert(position, waiting)
        if self._by_area is not None:
            self._by_area.add(waiting)

    def requeue(self, waiting: Waiting) -> None:
        """Let a job wait on at its place by other predictions; raises as `enqueue`."""
        self._rankings = ranked_in(self._rankings, waiting)
        if self._by_area is not None:
            self._by_area.remove(self.waiting[waiting.job.job_id])
            self._by_area.add(waiting)
        self.waiting[waiting.job.job_id] = waiting
        self._queue[bisect_left(self._places, waiting.place)] = waiting
        for ranking in self._rankings:
            ranking.depart()

    def revise(self, before: Waiting, after: Waiting) -> None:
        """Count a job as it is predicted now, where it was counted as it was submitted."""
        if self._recent is not None:
            self._recent.revise(before, after)
        if self._scale is not None:
            self._scale.revise(before.whole, after.whole, before.gpus)

    def dequeue(self, job_id: str) -> Waiting:
        """Take a job out of the queue."""
        waiting = self.waiting.pop(job_id)
        self.kept.pop(job_id, None)
        position = 0 if self._queue[0] is waiting else bisect_left(self._places, waiting.place)
        del self._queue[position], self._places[position]
        if self._by_area is not None:
            self._by_area.remove(waiting)
        for ranking in self._rankings:
            ranking.depart()
        return waiting

    def start(self, active: Active, fewer: int) -> None:
        """Let a job run; so many boards of its type are no longer whole and free."""
        self.free[active.gpu_type] -= fewer
        self.active[active.job.job_id] = active
        if self._ends is not None:
            self._ends.add(active)

    def release(self, job_id: str, attempt: int) -> Active:
        """Free the GPUs of an attempt that ended; raises IllegalEvent, before anything changes, unless it runs."""
        active = self.active.get(job_id)
        if active is None:
            raise IllegalEvent(f"job {job_id}: attempt {attempt} ended, but the job does not run")
        if active.attempt != attempt:
            raise IllegalEvent(f"job {job_id}: attempt {active.attempt} runs, got the end of {attempt!r}")
        del self.active[job_id]
        boards = self.boards.get(active.gpu_type)
        gpus = active.gpus if boards is None else boards.give_back(active.where, active.job.gpu_milli)
        self.free[active.gpu_type] += gpus
        if self._ends is not None:
            self._ends.remove(active)
        return active

    def close(self, job_id: str) -> None:
        """A job is over that neither waits nor runs any more."""
        self.over.add(job_id)
        self._special.discard(job_id)

    def wait_anew(self, jobs: Sequence[Waiting]) -> None:
        """Let just these jobs wait, those without a type that they can run on as stranded ones."""
        self._queue = sorted((w for w in jobs if w.gpus), key=lambda w: w.place)
        self._places, self.stranded = [w.place for w in self._queue], {w.job.job_id: w for w in jobs if not w.gpus}
        self.waiting.clear()
        self.waiting.update((w.job.job_id, w) for w in self._queue)
        self._rankings.clear()
        self._ends = self._by_area = None
