"""Where a job stands in a cluster: it waits, or it holds GPUs; and what a node that drains had."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec import Struct

from kilowait.cluster.events import JobProgressed
from kilowait.core.jobs import Held, Job, Prediction


class Waiting(Struct, frozen=True, kw_only=True, gc=False):
    """A job in the queue; `attempt` is the number its next attempt will have (1 is the first).

    `gpus` says on how many boards it runs on each type that it may use and could ever fit on, most powerful first.
    `remaining` is the share of its work that is left to do, below 1 once it was preempted. `predictions` are of that
    rest and of restarting, so that a policy need not look twice; `whole` are of the whole job, as submitted. `ready_s`
    is when the jobs were over after which it runs, 0 where there are none.
    """

    job: Job
    predictions: Mapping[str, Prediction]
    whole: Mapping[str, Prediction]
    attempt: int
    gpus: Mapping[str, int]
    remaining: float = 1.0
    ready_s: float = 0.0

    @property
    def waits_since_s(self) -> float:
        """Since when it may run: its submission, or when the jobs were over after which it runs."""
        return max(self.job.submit_s, self.ready_s)

    @property
    def place(self) -> tuple[float, str]:
        """Its place in the queue: first come, first served, then by job id as text."""
        return self.job.submit_s, self.job.job_id


class Active(Struct, frozen=True, kw_only=True, gc=False):
    """A job that holds GPUs; `predictions`, `whole`, `remaining` and `ready_s` are those it had when its attempt
    began.

    `where` says which boards it holds, once the cluster tells them apart: see `Cluster.locate`. `progress` is what was
    seen of it last, None before; `predictions` have been renewed by that, and `whole` are as submitted. `limit_w` is
    the power limit of each of its boards now, None for their own.
    """

    job: Job
    predictions: Mapping[str, Prediction]
    whole: Mapping[str, Prediction]
    attempt: int
    gpu_type: str
    gpus: int
    placed_s: float
    remaining: float = 1.0
    ready_s: float = 0.0
    where: tuple[Held, ...] = ()
    progress: JobProgressed | None = None
    limit_w: float | None = None

    @property
    def waits_since_s(self) -> float:
        """As of a job that waits: its submission, or when the jobs were over after which it runs."""
        return max(self.job.submit_s, self.ready_s)

    @property
    def predicted(self) -> Prediction:
        """What was predicted of it before anything was seen of its program, under its power limit."""
        now = self.predictions[self.gpu_type]
        return self.whole[self.gpu_type].under(now.limit_w) if self.remaining == 1.0 else now

    @property
    def predicted_end_s(self) -> float:
        """When it is predicted to end; that may be past."""
        return self.placed_s + self.predictions[self.gpu_type].runtime_s


class Postponed(Struct, frozen=True, kw_only=True, gc=False):
    """A waiting job that a policy means to start at `until_s` on a type; `since_s` and `amounts` are those of the
    event that says so (`JobPostponed`), where there is one."""

    until_s: float
    gpu_type: str
    since_s: float = 0.0
    amounts: Mapping[str, tuple[float, float]] = {}


class Withdrawn(Struct, frozen=True, kw_only=True, gc=False):
    """The boards of one type on a node that drains; `held` of them were others' when it began to."""

    gpus: int
    held: int
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A cluster's state at one moment, for comparison and display; `waiting` and `stranded` are in queue order."""

    now_s: float
    total: Mapping[str, int]
    free: Mapping[str, int]
    waiting: tuple[Waiting, ...]
    active: tuple[Active, ...]
    over: frozenset[str]
    stranded: tuple[Waiting, ...] = ()

    @classmethod
    def of(
        cls,
        now_s: float,
        total: Mapping[str, int],
        free: Mapping[str, int],
        queue: Iterable[Waiting],
        active: Mapping[str, Active],
        over: Iterable[str],
        stranded: Mapping[str, Waiting],
    ) -> "Snapshot":
        """Copies of what a cluster has."""
        return cls(
            now_s=now_s,
            total=dict(total),
            free=dict(free),
            waiting=tuple(queue),
            active=tuple(sorted(active.values(), key=lambda active: active.job.job_id)),
            over=frozenset(over),
            stranded=tuple(sorted(stranded.values(), key=lambda waiting: waiting.place)),
        )
