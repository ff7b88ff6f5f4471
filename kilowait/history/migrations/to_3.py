"""Schema 3: jobs are found by their labels, and names, without a look at the labels of all jobs."""

from collections.abc import Iterator

import msgspec
from alembic.operations import Operations
from sqlalchemy import Column, Connection, String, Text, text

JOBS_AT_ONCE = 5000


def upgrade(operations: Operations) -> None:
    """A table of labels, filled from what stands beside each job."""
    binary = Text().with_variant(Text(collation="C"), "postgresql")
    labels = operations.create_table(
        "job_labels",
        Column("name", binary, primary_key=True),
        Column("text", binary, primary_key=True),
        Column("job_id", String(40), primary_key=True),
        sqlite_with_rowid=False,
    )
    for rows in _labelled(operations.get_bind()):
        operations.bulk_insert(labels, rows)


def _labelled(connection: Connection) -> Iterator[list[dict[str, str]]]:
    """The labels of all jobs, of so many jobs at a time that some have labels."""
    query = text("SELECT job_id, labels FROM jobs WHERE job_id > :after ORDER BY job_id LIMIT :most")
    after = ""
    while jobs := connection.execute(query, {"after": after, "most": JOBS_AT_ONCE}).all():
        after = jobs[-1].job_id
        rows = [
            {"name": name, "text": value, "job_id": job.job_id}
            for job in jobs
            for name, value in msgspec.json.decode(job.labels, type=dict[str, str]).items()
        ]
        if rows:
            yield rows
