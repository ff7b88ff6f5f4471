"""Schema 2: jobs are listed by owner and by state without sorting all of them, and a start finds what is cancelling.

By schema 1 a page of a state's jobs read and sorted every job of that state, and each start of a scheduler read the
whole table for the few running jobs whose end was asked for.
"""

from alembic.operations import Operations
from sqlalchemy import text


def upgrade(operations: Operations) -> None:
    """Three indexes more, one less."""
    operations.create_index("ix_jobs_owner_job", "jobs", ["owner", "job_id"])
    operations.create_index("ix_jobs_state_job", "jobs", ["state", "job_id"])
    operations.drop_index("ix_jobs_state", "jobs")
    where = text("cancel_s IS NOT NULL AND ended_s IS NULL")
    operations.create_index("ix_jobs_cancelling", "jobs", ["job_id"], sqlite_where=where, postgresql_where=where)
