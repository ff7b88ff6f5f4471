"""The events of a compiled run, made from its log when somebody asks for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kilowait.cluster.events import AttemptFinished, Event, GpusJoined, JobPlaced, JobSubmitted
from kilowait.simulate.run import Placement, Submission


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tape:
    """`log` has a job's number for its arrival, N + k for the start of placement k and 2 N + k for its end.

    The jobs are `submissions`, in queue order, N of them; those that are refused stand in the log too.
    """

    joined: Sequence[GpusJoined]
    submissions: Sequence[Submission]
    placements: Sequence[Placement]
    refused: frozenset[str]
    log: NDArray[np.int32]

    def __iter__(self) -> Iterator[Event]:
        yield from self.joined
        jobs, submissions, placements = len(self.submissions), self.submissions, self.placements
        for entry in self.log.tolist():
            if entry < jobs:
                job, predictions = submissions[entry].job, submissions[entry].seen
                if job.job_id not in self.refused:
                    yield JobSubmitted(time_s=job.submit_s, job=job, predictions=predictions)
            elif entry < 2 * jobs:
                p = placements[entry - jobs]
                yield JobPlaced(time_s=p.start_s, job_id=p.job_id, attempt=p.attempt, gpu_type=p.gpu_type, gpus=p.gpus)
            else:
                p = placements[entry - 2 * jobs]
                yield AttemptFinished(time_s=p.end_s, job_id=p.job_id, attempt=p.attempt)

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Tape | tuple) else NotImplemented

    __hash__ = None  # type: ignore[assignment]
