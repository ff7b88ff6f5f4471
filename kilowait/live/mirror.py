"""The live cluster as its log tells it, kept up event by event, for those who look and decide nothing.

It stands where the scheduler stood when it wrote the last event, and remembers of every placement what the choice was
then. Any number of mirrors may follow one log.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from kilowait.cluster.advance import advance
from kilowait.cluster.events import (
    AttemptFinished,
    Event,
    JobCancelled,
    JobFailed,
    JobPlaced,
    JobPredicted,
    JobSubmitted,
)
from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job
from kilowait.core.units import DAY_S, HOUR_S
from kilowait.live.holds import Holds
from kilowait.live.rating import ahead_of, criterion
from kilowait.predict.standin import is_unread

KEPT = 10_000
"""So many of the last placements are remembered."""

WAIT_BOUNDS_S = (1.0, 10.0, 60.0, 300.0, 1800.0, HOUR_S, 4 * HOUR_S, DAY_S, inf)
"""Waits are counted up to each of these; all of the log, so the counts survive a restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeOption:
    """One GPU type as it stood for a job: `rating` is by the policy's criterion, `ahead` jobs came before it there.

    `ahead` is None of a placement: to count it each time would cost more than the decision.
    """

    gpu_type: str
    gpus: int
    free: int
    total: int
    runtime_s: float
    energy_kwh: float
    rating: float | None
    ahead: int | None

    @property
    def fits(self) -> bool:
        """Whether so many GPUs were free, wherever they were."""
        return self.gpus <= self.free


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementChoice:
    """The choice that there was when an attempt was placed.

    `held_s` is since when the job had waited though a type that it may use had room for it, None where it had not.
    """

    job_id: str
    attempt: int
    time_s: float
    gpu_type: str
    waiting: int
    criterion: str | None
    larger_first: bool
    options: tuple[TypeOption, ...]
    held_s: float | None = None


class Mirror:
    """Follows the log of a scheduler that runs `policy` with `options`; `order` as in `Cluster`."""

    def __init__(self, policy: str, options: Mapping[str, Any], order: tuple[str, ...]) -> None:
        self.policy, self.options, self.seq = policy, options, 0
        self.cluster = Cluster(order=order)
        self.cluster.count_submissions()
        self.guessed: dict[str, Job] = {}  # that are not over, and whose prediction is to follow
        self.choices: OrderedDict[str, PlacementChoice] = OrderedDict()
        self.holds = Holds()
        self.waits = [0] * len(WAIT_BOUNDS_S)
        self.wait_s_sum = 0.0
        self.submitted = self.finished = self.failed = self.cancelled = self.placed = 0

    def take(self, seq: int, event: Event) -> None:
        """The next event of the log; raises what `advance` raises."""
        self.holds.look(self.cluster, event.time_s)
        match event:
            case JobPlaced():
                self._remember(event)
            case JobSubmitted():
                self.submitted += 1
                if is_unread(event.predictions):
                    self.guessed[event.job.job_id] = event.job
            case JobPredicted():
                self.guessed.pop(event.job_id, None)
            case AttemptFinished():
                self.finished += 1
                self.guessed.pop(event.job_id, None)
            case JobFailed():
                self.failed += 1
                self.guessed.pop(event.job_id, None)
            case JobCancelled():
                self.cancelled += 1
                self.guessed.pop(event.job_id, None)
            case _:
                pass
        advance(self.cluster, event)
        self.seq = seq

    def look(self, waiting: Waiting, *, count: bool = True) -> tuple[str | None, bool, tuple[TypeOption, ...]]:
        """(name of the criterion, whether the larger goes first, how the types stand for a job) now."""
        cluster, rated_by = self.cluster, criterion(self.policy, self.options, self.cluster)
        options = tuple(
            TypeOption(
                gpu_type=gpu_type,
                gpus=gpus,
                free=cluster.free[gpu_type],
                total=cluster.total[gpu_type],
                runtime_s=(prediction := waiting.predictions[gpu_type]).runtime_s,
                energy_kwh=prediction.energy_kwh,
                rating=None if rated_by is None else rated_by.of(waiting.job, gpu_type, prediction),
                ahead=ahead_of(waiting, gpu_type, rated_by, cluster) if count else None,
            )
            for gpu_type, gpus in waiting.gpus.items()
        )
        return (None, True, options) if rated_by is None else (rated_by.name, rated_by.larger_first, options)

    def _remember(self, event: JobPlaced) -> None:
        waiting = self.cluster.waiting[event.job_id]
        self.placed += 1
        if event.attempt == 1:
            wait_s = event.time_s - waiting.job.submit_s
            self.waits[bisect_left(WAIT_BOUNDS_S, wait_s)] += 1
            self.wait_s_sum += wait_s
        name, larger_first, options = self.look(waiting, count=False)
        self.choices[event.job_id] = PlacementChoice(
            job_id=event.job_id,
            attempt=event.attempt,
            time_s=event.time_s,
            gpu_type=event.gpu_type,
            waiting=len(self.cluster.waiting),
            criterion=name,
            larger_first=larger_first,
            options=options,
            held_s=self.holds.of(event.job_id, event.time_s),
        )
        self.choices.move_to_end(event.job_id)
        while len(self.choices) > KEPT:
            self.choices.popitem(last=False)
