"""The tables of the durable history. Their names and columns are written here and nowhere else."""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SCHEMA = "3"
"""The version of the tables below. Each has a step in `kilowait.history.migrations` that leads to it."""

TABLES = MetaData()
NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""Of events and what else is counted on and on: SQLite counts up by itself in an Integer alone."""

META = Table("meta", TABLES, Column("key", String(20), primary_key=True), Column("value", Text, nullable=False))
EVENTS = Table(
    "events",
    TABLES,
    Column("seq", NUMBER, primary_key=True, autoincrement=False),
    Column("time_s", Float(53), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("payload", Text, nullable=False),
)
_CANCELLING = text("cancel_s IS NOT NULL AND ended_s IS NULL")
JOBS = Table(
    "jobs",
    TABLES,
    Column("job_id", String(40), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("client_key", Text),
    Column("request_hash", String(64), nullable=False),
    Column("program", Text, nullable=False),
    Column("asked", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("retry", Text, nullable=False),
    Column("state", String(12), nullable=False),
    Column("reason", Text),
    Column("submitted_s", Float(53), nullable=False),
    Column("ended_s", Float(53)),
    Column("cancel_s", Float(53)),
    UniqueConstraint("owner", "client_key"),
    Index("ix_jobs_owner_job", "owner", "job_id"),
    Index("ix_jobs_state_job", "state", "job_id"),
    Index("ix_jobs_cancelling", "job_id", sqlite_where=_CANCELLING, postgresql_where=_CANCELLING),
)
BINARY = Text().with_variant(Text(collation="C"), "postgresql")
"""A text that is compared by its characters, whatever the language of the database: so a beginning is a range."""
JOB_LABELS = Table(
    "job_labels",
    TABLES,
    Column("name", BINARY, primary_key=True),
    Column("text", BINARY, primary_key=True),
    Column("job_id", String(40), primary_key=True),
    sqlite_with_rowid=False,
)
"""The labels of jobs by what they are: what lists of a label, or of a name, look into."""
ATTEMPTS = Table(
    "attempts",
    TABLES,
    Column("job_id", String(40), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("token", BigInteger, nullable=False, unique=True),
    Column("gpu_type", Text, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("places", Text, nullable=False),
    Column("placed_s", Float(53), nullable=False),
    Column("started_s", Float(53)),
    Column("ended_s", Float(53), index=True),
    Column("exit_code", Integer),
    Column("reason", Text),
    Column("peak_memory_bytes", BigInteger),
    Column("gpu_memory_bytes", BigInteger),
)
LATE_PREDICTIONS = Table(
    "late_predictions",
    MetaData(),  # beside the others: made when it is first asked for, so that no earlier history needs a step
    Column("job_id", String(40), primary_key=True),
    Column("seq", NUMBER, primary_key=True, autoincrement=False),
)
ARRAYS = Table(  # beside the others, as the next
    "arrays",
    MetaData(),
    Column("array_id", String(40), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("client_key", Text),
    Column("request_hash", String(64), nullable=False),
    Column("program", Text, nullable=False),
    Column("files", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("tasks", Text, nullable=False),
    Column("at_once", Integer),
    Column("submitted_s", Float(53), nullable=False),
    UniqueConstraint("owner", "client_key"),
)
ARRAY_TASKS = Table(
    "array_tasks",
    MetaData(),
    Column("job_id", String(40), primary_key=True),
    Column("array_id", String(40), nullable=False),
    Column("task", Integer, nullable=False),
    UniqueConstraint("array_id", "task"),
)
SIGNAL_REPORTS = Table(  # which events are of which signal; beside the others, as the next
    "signal_reports",
    MetaData(),
    Column("seq", NUMBER, primary_key=True, autoincrement=False),
    Column("name", String(40), nullable=False),
    Column("time_s", Float(53), nullable=False),
    Index("ix_signal_reports", "name", "time_s"),
)
ATTEMPT_AMOUNTS = Table(
    "attempt_amounts",
    MetaData(),
    Column("job_id", String(40), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("value", Float(53), nullable=False),
    Column("provenance", String(12), nullable=False),
)
LOGS = Table(
    "logs",
    TABLES,
    Column("job_id", String(40), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("rank", Integer, primary_key=True),
    Column("first_byte", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
MEASUREMENTS = Table(
    "measurements",
    TABLES,
    Column("job_id", String(40), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("gpu_type", Text, nullable=False),
    Column("runtime_s", Float(53), nullable=False),
    Column("runtime_provenance", String(12), nullable=False),
    Column("energy_j", Float(53), nullable=False),
    Column("energy_provenance", String(12), nullable=False),
    Column("meter", Text, nullable=False),
    Column("gpu_ids", Text, nullable=False),
)
