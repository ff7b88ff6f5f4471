"""What happens to a cluster, one frozen record a happening; `kilowait.cluster.advance` takes them in.

A recorded log of these replays to the same state, and carries the predictions as they were seen at submission.
Draining and dying nodes, preemption and migration come as further members of `Event`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kilowait.jobs import Job, Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class GpusJoined:
    """`gpus` boards of one type on one node became usable. Way out: none yet (draining and dying come later).

    `memory_bytes` is the memory of each board, None when unknown.
    """

    time_s: float
    node: str
    gpu_type: str
    gpus: int
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted:
    """A job asks to run, with the predictions (by GPU type) a policy may see. Ways out: placed, cancelled."""

    time_s: float
    job: Job
    predictions: Mapping[str, Prediction]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlaced:
    """A waiting job got its GPUs and attempt number `attempt` began. Ways out: finished, failed, cancelled."""

    time_s: float
    job_id: str
    attempt: int
    gpu_type: str
    gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFinished:
    """An attempt ended well: the job is done and its GPUs are free. Final."""

    time_s: float
    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed:
    """An attempt ended badly: its GPUs are free and the job waits again, at its old place, for the next attempt."""

    time_s: float
    job_id: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCancelled:
    """A waiting or running job was withdrawn; GPUs it held are free. Final."""

    time_s: float
    job_id: str


Event = GpusJoined | JobSubmitted | JobPlaced | AttemptFinished | AttemptFailed | JobCancelled
"""Everything that can happen to a cluster."""
