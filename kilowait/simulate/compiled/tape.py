"""The events of a compiled run, made from its log when somebody asks for them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kilowait.cluster.events import AttemptFinished, Event, GpusJoined, JobPlaced, JobSubmitted, SignalReported
from kilowait.core.jobs import Prediction
from kilowait.simulate.run import Placement, Submission
from kilowait.simulate.within_power.power_rules import UNLIMITED, PowerRules


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tape:
    """`log` has a job's number for its arrival, N + k for the start of placement k and 2 N + k for its end.

    The jobs are `submissions`, in queue order, N of them; those that are refused stand in the log too. `reports` are
    what was told of signals, by time. Under `power` job n was seen while `crowd_N[n]` jobs waited, it included.
    """

    joined: Sequence[GpusJoined]
    submissions: Sequence[Submission]
    placements: Sequence[Placement]
    refused: frozenset[str]
    log: NDArray[np.int32]
    reports: Sequence[SignalReported] = ()
    power: PowerRules = UNLIMITED
    crowd_N: Sequence[int] = ()

    def __iter__(self) -> Iterator[Event]:
        yield from self.joined
        told, reports = 0, self.reports
        for event in self._of_jobs():
            while told < len(reports) and (
                reports[told].time_s < event.time_s
                or (reports[told].time_s == event.time_s and not isinstance(event, AttemptFinished))
            ):
                yield reports[told]
                told += 1
            yield event
        yield from reports[told:]

    def _of_jobs(self) -> Iterator[Event]:
        jobs, submissions, placements = len(self.submissions), self.submissions, self.placements
        total = {event.gpu_type: event.gpus for event in self.joined}  # one node of each type
        for entry in self.log.tolist():
            if entry < jobs:
                job = submissions[entry].job
                if job.job_id not in self.refused:
                    yield JobSubmitted(time_s=job.submit_s, job=job, predictions=self._seen(entry, total))
            elif entry < 2 * jobs:
                p = placements[entry - jobs]
                yield JobPlaced(
                    time_s=p.start_s,
                    job_id=p.job_id,
                    attempt=p.attempt,
                    gpu_type=p.gpu_type,
                    gpus=p.gpus,
                    limit_w=p.limit_w,
                )
            else:
                p = placements[entry - 2 * jobs]
                yield AttemptFinished(time_s=p.end_s, job_id=p.job_id, attempt=p.attempt)

    def _seen(self, entry: int, total: Mapping[str, int]) -> Mapping[str, Prediction]:
        """What a policy saw of a job."""
        one = self.submissions[entry]
        if not self.power:
            return one.seen
        return self.power.seen(one.job, one.seen, total, self.crowd_N[entry])

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Tape | tuple) else NotImplemented

    __hash__ = None  # type: ignore[assignment]
