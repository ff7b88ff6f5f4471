"""The durable history of a live scheduler: every event, and tables of jobs and attempts for those who ask.

The events alone are the truth: replayed, they give the cluster. The other tables are written from them in the same
transaction, so that a question needs no replay. SQLite (with a write-ahead log, each commit on disk before it returns)
by default, PostgreSQL by URL. A database of an earlier release is upgraded by who takes it over, and by nobody else:
see `kilowait.history.schema_version`.

Not covered: forgetting old events, and going back to an earlier schema (with SQLite a copy of it is kept).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Table, create_engine, inspect, select, update
from sqlalchemy import event as hooks
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from kilowait.cluster.events import Event
from kilowait.core.errors import InputError, StoreError, Superseded
from kilowait.core.submission import Log, Program, Retry
from kilowait.history import lease, schema_version
from kilowait.history.database_url import parse_url, sqlite_file
from kilowait.history.job_filter import EVERY_JOB, JobFilter, page_of
from kilowait.history.lease import Claim
from kilowait.history.schema import ATTEMPTS, EVENTS, JOBS, LOGS, MEASUREMENTS, META, SCHEMA
from kilowait.history.sqlite_files import copy_database, make_database_private
from kilowait.history.statements import Statements
from kilowait.history.task_files import whole_program
from kilowait.history.writing import Writing

LOCK_WAIT_S, STUCK_S = 5.0, 10.0
"""How long a write waits for another process that holds the database; and for so long a stuck one may (PostgreSQL)."""

_WRITER = update(META).where(META.c.key == "writer")
_DECODERS = {kind.__name__: msgspec.json.Decoder(kind) for kind in Event.__args__}


class Store:
    """A history behind a URL, `sqlite:///path` or `postgresql://...`, or the path of an SQLite file.

    Opening makes the tables where there are none. Raises StoreError when it cannot be opened or is of a newer schema.
    One of an earlier schema opens, but nothing can be asked or written before somebody has taken it over with a claim.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_engine(parsed_url := parse_url(url), connect_args=_waiting(parsed_url))
        if (file := sqlite_file(parsed_url)) is not None:
            make_database_private(file)
        self.name = self._engine.url.render_as_string(hide_password=True)
        if self._engine.dialect.name == "sqlite":
            hooks.listen(self._engine, "connect", _make_durable)
        self._statements, self._writer = Statements(self._engine.dialect), ""
        self._ensured: set[str] = set()
        try:
            with self._named_errors("opened"), self._engine.begin() as connection:
                self._earlier = schema_version.prepare(self.name, connection)
        except StoreError:
            self.close()
            raise

    def take_over(self, claim: Claim | None = None) -> int:
        """Become the one who writes, so that no earlier one can any more; returns the last event's number.

        With a claim the lease is taken, too, and a database of an earlier schema is upgraded; raises Occupied while
        another living cluster has it.
        """
        with self.alone("taken over") as connection:
            if claim is not None:
                lease.check(self.name, lease.kept(connection), claim.cluster, claim.time_s)
                self._upgrade(connection)
                lease.write(connection, claim)
            schema_version.check_upgraded(self.name, connection)
            self._writer = self._next_writer(connection)
            return connection.execute(select(EVENTS.c.seq).order_by(EVENTS.c.seq.desc()).limit(1)).scalar() or 0

    def upgrade(self, time_s: float) -> None:
        """Bring a database of an earlier schema to this release's, before there is a cluster that could claim it.

        Raises Occupied while any living cluster has the lease, whatever the schema. Who wrote before can no more.
        """
        with self.alone("upgraded") as connection:
            lease.check(self.name, lease.kept(connection), "", time_s)
            if self._upgrade(connection):
                self._next_writer(connection)

    def renew(self, claim: Claim) -> None:
        """Say that the holder lives; raises Superseded when another has taken over."""
        with self._fenced() as connection:
            lease.write(connection, claim)

    def let_go(self, cluster: str) -> None:
        """Give the lease back where this cluster has it, once none of its jobs runs any more."""
        with self.alone("written") as connection:
            if (held := lease.kept(connection)) is not None and held.cluster == cluster:
                lease.erase(connection)

    def check_lease(self, cluster: str, time_s: float) -> None:
        """Raises Occupied while another living cluster schedules by this history."""
        with self._named_errors("read"), self._engine.connect() as connection:
            lease.check(self.name, lease.kept(connection), cluster, time_s)

    @contextmanager
    def writing(self, last_seq: int) -> Iterator["Writing"]:
        """One transaction after event number `last_seq`: all of it is durable when this ends well, else none of it.

        Raises Superseded when another has taken over, StoreError when the database cannot take it.
        """
        with self._fenced() as connection:
            writing = Writing(connection, self._statements, last_seq)
            yield writing
            writing.flush()

    @contextmanager
    def _fenced(self) -> Iterator[Connection]:
        """A transaction of the one who may write."""
        with self._named_errors("written"), self._engine.begin() as connection:
            change = {"key": "writer", "value": self._writer}, {"value": self._writer}
            if self._statements.update(connection, META, [change]) != 1:  # this also takes the write lock
                raise Superseded(f"{self.name}: another scheduler has taken over; this one must stop")
            yield connection

    def _upgrade(self, connection: Connection) -> bool:
        """Whether there was something to upgrade. The write lock is held, so the copy is of what is upgraded."""
        if not schema_version.is_earlier(self.name, connection):
            return False
        if (file := sqlite_file(self._engine.url)) is not None:
            try:
                copy_database(file, file.with_name(f"{file.name}.before-{SCHEMA}"))
            except InputError as error:
                raise StoreError(f"{self.name}: not upgraded: {error}") from error
        schema_version.upgrade(self.name, connection)
        return True

    def _next_writer(self, connection: Connection) -> str:
        writer = connection.execute(select(META.c.value).where(META.c.key == "writer")).scalar_one()
        connection.execute(_WRITER.values(value=(number := str(int(writer) + 1))))
        return number

    def events(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        """Every event behind number `after` with its own, in order; raises StoreError for one that cannot be read."""
        with self._named_errors("read"), self._engine.connect() as connection:
            self._check_upgraded(connection)
            connection = connection.execution_options(yield_per=1000)
            query = select(EVENTS).where(EVENTS.c.seq > after)
            with closing(connection.execute(query.order_by(EVENTS.c.seq))) as rows:
                for row in rows:
                    yield row.seq, self._decoded(row)

    def job(self, job_id: str) -> Mapping[str, Any] | None:
        """A row of the jobs table, None where there is no such job."""
        return next((dict(row._mapping) for row in self._rows(select(JOBS).where(JOBS.c.job_id == job_id))), None)

    def jobs(
        self, chosen: JobFilter = EVERY_JOB, *, after: str = "", limit: int = 100, newest: bool = False
    ) -> list[Mapping[str, Any]]:
        """Rows of the jobs table by job id, from behind `after` on ("" for the first), at most `limit`."""
        query = page_of(chosen.of(select(JOBS)), JOBS.c.job_id, after=after, limit=limit, newest=newest)
        return [dict(row._mapping) for row in self._rows(query)]

    def attempts(self, job_id: str) -> list[Mapping[str, Any]]:
        """Rows of the attempts table with what was measured (None where nothing was), first attempt first."""
        return self.attempts_of([job_id])

    def attempts_of(self, job_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """As `attempts` of some hundreds of jobs, a job's behind the other's."""
        columns = [column for column in MEASUREMENTS.c if column.name not in ATTEMPTS.c]
        same = (MEASUREMENTS.c.job_id == ATTEMPTS.c.job_id) & (MEASUREMENTS.c.attempt == ATTEMPTS.c.attempt)
        query = select(ATTEMPTS, *columns).select_from(ATTEMPTS.outerjoin(MEASUREMENTS, same))
        query = query.where(ATTEMPTS.c.job_id.in_(job_ids)).order_by(ATTEMPTS.c.job_id, ATTEMPTS.c.attempt)
        return [dict(row._mapping) for row in self._rows(query)]

    def log(self, job_id: str, attempt: int, rank: int = 0) -> Log | None:
        """What was kept of the log of an attempt that has ended, None where nothing was."""
        condition = (LOGS.c.job_id == job_id) & (LOGS.c.attempt == attempt) & (LOGS.c.rank == rank)
        rows = self._rows(select(LOGS).where(condition))
        return Log(rank=rank, first_byte=rows[0].first_byte, data=rows[0].data) if rows else None

    def program(self, job_id: str) -> Program:
        """What a job runs; raises StoreError where there is no such job."""
        if (row := self.job(job_id)) is None:
            raise StoreError(f"{self.name}: no job {job_id}")
        return whole_program(self._rows, row)

    def retry(self, job_id: str) -> Retry:
        """When a job is tried again."""
        return msgspec.json.decode(self._rows(select(JOBS.c.retry).where(JOBS.c.job_id == job_id))[0].retry, type=Retry)

    def started(self) -> set[str]:
        """The jobs whose present attempt was allowed to start its program."""
        open_and_started = ATTEMPTS.c.ended_s.is_(None) & ATTEMPTS.c.started_s.is_not(None)
        return {row.job_id for row in self._rows(select(ATTEMPTS.c.job_id).where(open_and_started))}

    def cancelling(self) -> set[str]:
        """The running jobs whose end was asked for."""
        condition = JOBS.c.cancel_s.is_not(None) & JOBS.c.ended_s.is_(None)
        return {row.job_id for row in self._rows(select(JOBS.c.job_id).where(condition))}

    def job_of_key(self, owner: str, client_key: str) -> Mapping[str, Any] | None:
        """The row of the job that an owner asked for by this key, None where there is none."""
        query = select(JOBS).where(JOBS.c.owner == owner, JOBS.c.client_key == client_key)
        return next((dict(row._mapping) for row in self._rows(query)), None)

    def started_s(self) -> dict[str, float]:
        """By job id, when each attempt that has begun and not ended was allowed to start its program."""
        running = ATTEMPTS.c.ended_s.is_(None) & ATTEMPTS.c.started_s.is_not(None)
        return {row.job_id: row.started_s for row in self._rows(select(ATTEMPTS).where(running))}

    def rows(self, query: Any) -> list[Row[Any]]:
        """What a query of `kilowait.history` finds; raises StoreError."""
        return self._rows(query)

    def change(self, statement: Any) -> None:
        """One statement beside the history (a token, say), durable when this returns; raises StoreError."""
        with self._named_errors("written"), self._engine.begin() as connection:
            self._check_upgraded(connection)
            connection.execute(statement)

    @contextmanager
    def alone(self, what: str) -> Iterator[Connection]:
        """A transaction during which nobody else writes, so what it read stays so; `what` is for StoreErrors."""
        with self._named_errors(what), self._engine.begin() as connection:
            connection.execute(_WRITER.values(value=META.c.value))  # takes the write lock, before anything is read
            yield connection

    def ensure(self, table: Table) -> None:
        """Make a table beside the history's where it is not there."""
        if table.name not in self._ensured:
            with self._named_errors("opened"):
                with self._engine.connect() as connection:
                    self._check_upgraded(connection)
                try:
                    table.create(self._engine, checkfirst=True)
                except DBAPIError:  # another process made it between the look and the making
                    if not inspect(self._engine).has_table(table.name):
                        raise
            self._ensured.add(table.name)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _decoded(self, row: Row[Any]) -> Event:
        try:
            event: Event = _DECODERS[row.kind].decode(row.payload)
        except (KeyError, msgspec.DecodeError) as error:
            raise StoreError(f"{self.name}: event {row.seq} ({row.kind}) cannot be read: {error}") from error
        return event

    def _rows(self, query: Any) -> list[Row[Any]]:
        with self._named_errors("read"), self._engine.connect() as connection:
            self._check_upgraded(connection)
            return list(connection.execute(query))

    def _check_upgraded(self, connection: Connection) -> None:
        """Raises StoreError where the database was of an earlier schema when it was opened, and still is."""
        if self._earlier:
            schema_version.check_upgraded(self.name, connection)
            self._earlier = False

    @contextmanager
    def _named_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise Superseded(f"{self.name}: not {what}, another scheduler writes it too ({error.orig})") from error
        except DBAPIError as error:
            if isinstance(error, DataError) and what == "read":  # for PostgreSQL no text has a NUL
                raise InputError(f"what is asked for cannot be looked up ({error.orig}); correct it") from error
            raise StoreError(f"{self.name}: not {what}: {error.orig}; {_remedy(str(error.orig))}") from error
        except SQLAlchemyError as error:
            raise StoreError(f"{self.name}: not {what}: {error}") from error


def _waiting(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"timeout": LOCK_WAIT_S, "check_same_thread": False}
    limits = {"lock_timeout": LOCK_WAIT_S, "idle_in_transaction_session_timeout": STUCK_S}
    return {"options": " ".join(f"-c {name}={int(s * 1000)}" for name, s in limits.items()), "connect_timeout": 10}


def _make_durable(connection: Any, _: object) -> None:
    """A commit of SQLite is on disk when it returns, and readers do not wait for writers."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _remedy(message: str) -> str:
    """What to do about a database's complaint."""
    if "full" in message or "No space" in message:
        return "nothing of it is kept; make space on its disk and try again"
    if "locked" in message or "lock timeout" in message:
        return "nothing of it is kept; end the process that holds the database, or wait for it"
    if "unable to open" in message or "readonly" in message:
        return "see whether its folder is there and may be written"
    return "nothing of it is kept; see whether the database runs and may be written"
