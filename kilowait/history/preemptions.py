"""Attempts that gave their GPUs back at a checkpoint: what follows them is no attempt after a failure."""

from sqlalchemy import func, select

from kilowait.core.checkpoints.checkpointing import PREEMPTED
from kilowait.history.schema import ATTEMPTS
from kilowait.history.store import Store


def preemptions(store: Store, job_id: str) -> int:
    """How many attempts of a job were preempted so far."""
    query = select(func.count()).select_from(ATTEMPTS)
    return int(store.rows(query.where(ATTEMPTS.c.job_id == job_id, ATTEMPTS.c.reason == PREEMPTED))[0][0])
