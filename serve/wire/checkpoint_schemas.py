"""How a job goes on from checkpoints, as it crosses HTTP."""

from pydantic import BaseModel, ConfigDict, Field

from kilowait.core.checkpoints.checkpointing import MOST_GRACE_S, StopSignal
from kilowait.core.jobs import Job
from kilowait.core.submission import Program
from kilowait.core.submission_limits import MAX_ENTRIES

from .texts import Argument


class CheckpointBody(BaseModel):
    """A job may be preempted: told by `signal`, it writes a checkpoint and ends, and goes on later in a new attempt."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    restart_s: float = Field(ge=0, lt=1e9, description="how long it takes to go on from a checkpoint")
    signal: StopSignal = "TERM"
    grace_s: float = Field(default=60.0, gt=0, le=MOST_GRACE_S, description="how long it may take to end; then killed")
    arguments: list[Argument] = Field(
        default=[], max_length=MAX_ENTRIES, description="behind its own in every attempt but the first"
    )


def checkpoint_view(job: Job, program: Program) -> CheckpointBody | None:
    """How a job is preempted, as it was asked for; None where it is not."""
    one = program.checkpointing
    if one is None or job.checkpoint_s is None:
        return None
    return CheckpointBody(
        restart_s=job.checkpoint_s, signal=one.signal, grace_s=one.grace_s, arguments=list(one.arguments)
    )
