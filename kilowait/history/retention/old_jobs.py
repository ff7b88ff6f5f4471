"""Jobs that ended long ago, as Parquet; what is bulky of them is then forgotten: their programs' texts and their logs.

A job stays in lists with its times, states, attempts and measurements, and its events stay, so that the log replays to
the same state. What was archived is marked in the transaction that forgets it: a killed archive writes the file that
it had begun once more, under the same name.

Not covered: forgetting events, which are short.
"""

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct
from sqlalchemy import (
    Column,
    MetaData,
    Select,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from kilowait.core.errors import InputError
from kilowait.core.private_files import private_folder
from kilowait.core.submission import Program
from kilowait.files.atomic import flush
from kilowait.files.columns import HISTORY
from kilowait.files.parquet import table, write_table
from kilowait.history.queries import history
from kilowait.history.schema import ARRAY_TASKS, ARRAYS, JOBS, LOGS
from kilowait.history.statements import chunks
from kilowait.history.store import Store
from kilowait.history.task_files import whole_program

ARCHIVED = Table("archived_jobs", MetaData(), Column("job_id", String(40), primary_key=True))
JOBS_OF_A_FILE, FILE_BYTES = 5000, 64_000_000
"""At most, of texts and logs before they are compressed, so that they fit into memory; a larger job is alone."""
PAGE = 1000
KEPT_JOBS = pa.schema(
    [
        ("job_id", pa.string()),
        ("owner", pa.string()),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("labels", pa.string()),  # JSON object
        ("submitted_s", pa.float64()),  # seconds since the epoch
        ("ended_s", pa.float64()),
        ("asked", pa.string()),  # JSON: what it asked for
        ("program", pa.string()),  # JSON: texts by path, arguments; variables are encrypted where there is a key
    ]
)
"""One row a job."""
KEPT_LOGS = pa.schema(
    [
        ("job_id", pa.string()),
        ("attempt", pa.int32()),
        ("rank", pa.int32()),
        ("first_byte", pa.int64()),
        ("data", pa.binary()),
    ]
)
"""One row an attempt on a node, beside the columns of `kilowait.files.columns.HISTORY` for the attempts."""


class Archived(Struct, frozen=True, kw_only=True):
    """How much was written down, and where."""

    jobs: int = 0
    attempts: int = 0
    files: tuple[str, ...] = ()


def archive(store: Store, folder: Path, before_s: float, *, only_copy: bool = False) -> Archived:
    """Write down what ended before then and was not archived yet, and forget what is bulky of it.

    With `only_copy` nothing is forgotten, and the next archive writes the same again. Files are for their owner alone,
    as the history is. Raises StoreError, InputError while another archive writes to the folder, and OSError where it
    cannot be written.
    """
    for beside in (ARCHIVED, ARRAYS, ARRAY_TASKS):
        store.ensure(beside)
    jobs, attempts, files = 0, 0, list[str]()
    with _alone_in(private_folder(folder)):
        for ids in _ended(store, before_s):
            rows, logs = _job_rows(store, ids), table(_rows_of(store, LOGS, ids), KEPT_LOGS)
            tables = {"jobs": table(rows, KEPT_JOBS), "attempts": _attempts(store, ids), "logs": logs}
            if _archived(store, ids):  # into another folder, while these were read: their texts may be missing
                continue
            files += _written(tables, folder, ids[0])
            jobs, attempts = jobs + len(ids), attempts + tables["attempts"].num_rows
            if not only_copy:
                _forget(store, rows)
        if not only_copy:
            _forget_arrays(store)
    return Archived(jobs=jobs, attempts=attempts, files=tuple(files))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """While this lasts no other archive writes to the folder: it could replace the only copy of something."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{folder}: another archive writes there; run this one when it is done") from error
        yield


def _written(tables: Mapping[str, pa.Table], folder: Path, name: str) -> list[str]:
    """The paths of the files, which are on the disk when this returns: what is in them is forgotten next."""
    paths = [folder / f"{kind}-{name}.parquet" for kind in tables]
    for path, data in zip(paths, tables.values(), strict=True):
        write_table(data, path, private=True)
    for path in (*paths, folder):
        flush(path)
    return list(map(str, paths))


def _archived(store: Store, ids: Sequence[str]) -> bool:
    """Whether any of them is."""
    queries = (select(ARCHIVED.c.job_id).where(ARCHIVED.c.job_id.in_(chunk)).limit(1) for chunk in chunks(ids))
    return any(store.rows(query) for query in queries)


def _ended(store: Store, before_s: float) -> Iterator[list[str]]:
    """Ids of jobs for a file each time, in order: all are chosen first, so that what is forgotten changes nothing."""
    ids, size = list[str](), 0
    for row in store.rows(_sizes(store, before_s)):
        if ids and (len(ids) == JOBS_OF_A_FILE or size + row.size > FILE_BYTES):
            yield ids
            ids, size = [], 0
        ids.append(row.job_id)
        size += row.size
    if ids:
        yield ids


def _sizes(store: Store, before_s: float) -> Select[Any]:
    """What finds the jobs, and how large each is once its logs and the texts of its array are with it."""
    logs = select(LOGS.c.job_id, func.sum(func.length(LOGS.c.data)).label("size")).group_by(LOGS.c.job_id).subquery()
    of_array = select(ARRAY_TASKS.c.job_id, func.length(ARRAYS.c.files).label("size"))
    texts = of_array.join_from(ARRAY_TASKS, ARRAYS, ARRAYS.c.array_id == ARRAY_TASKS.c.array_id).subquery()
    beside_it = func.coalesce(logs.c.size, 0) + func.coalesce(texts.c.size, 0)
    query = select(JOBS.c.job_id, (func.length(JOBS.c.program) + beside_it).label("size"))
    query = query.outerjoin(logs, logs.c.job_id == JOBS.c.job_id).outerjoin(texts, texts.c.job_id == JOBS.c.job_id)
    query = query.where(JOBS.c.ended_s < before_s, JOBS.c.job_id.not_in(select(ARCHIVED.c.job_id)))
    return query.order_by(JOBS.c.job_id)


def _rows_of(store: Store, kept: Table, ids: Sequence[str]) -> list[dict[str, Any]]:
    """What a table of the history has of these jobs."""
    queries = (select(kept).where(kept.c.job_id.in_(chunk)) for chunk in chunks(ids))
    return [dict(row._mapping) for query in queries for row in store.rows(query)]


def _job_rows(store: Store, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of KEPT_JOBS."""
    rows = _rows_of(store, JOBS, ids)
    whole = [msgspec.json.encode(whole_program(store.rows, row)).decode() for row in rows]
    kept = [{name: row[name] for name in KEPT_JOBS.names} for row in rows]
    return [{**row, "program": program} for row, program in zip(kept, whole, strict=True)]


def _attempts(store: Store, ids: Sequence[str]) -> pa.Table:
    """Rows of HISTORY of these jobs, which stand side by side but for those that have not ended long enough."""
    wanted, rows, after = set(ids), list[dict[str, Any]](), (ids[0], 0)
    while page := history(store, after=after, limit=PAGE):
        rows += [{name: row.get(name) for name in HISTORY.names} for row in page if row["job_id"] in wanted]
        after = page[-1]["job_id"], page[-1]["attempt"]
        if after[0] > ids[-1]:
            break
    return table(rows, HISTORY)


def _forget(store: Store, rows: Sequence[dict[str, Any]]) -> None:
    """Forget texts and logs of these jobs, some hundreds in a transaction, so that nobody waits for long."""
    shorter = update(JOBS).where(JOBS.c.job_id == bindparam("of")).values(program=bindparam("without"))
    for chunk in chunks(rows):
        ids = [row["job_id"] for row in chunk]
        with store.alone("written") as connection:
            connection.execute(shorter, [{"of": row["job_id"], "without": _short(row["program"])} for row in chunk])
            connection.execute(delete(LOGS).where(LOGS.c.job_id.in_(ids)))
            known = connection.execute(select(ARCHIVED.c.job_id).where(ARCHIVED.c.job_id.in_(ids))).scalars().all()
            if new := [{"job_id": job_id} for job_id in ids if job_id not in known]:
                connection.execute(insert(ARCHIVED), new)


def _short(program: str) -> str:
    """The program without its texts."""
    known = msgspec.json.decode(program, type=Program)
    return msgspec.json.encode(msgspec.structs.replace(known, files={})).decode()


def _forget_arrays(store: Store) -> None:
    """The texts that an array keeps for its tasks, once all of these are archived."""
    open_arrays = select(ARRAY_TASKS.c.array_id).where(ARRAY_TASKS.c.job_id.not_in(select(ARCHIVED.c.job_id)))
    store.change(update(ARRAYS).where(ARRAYS.c.files != "{}", ARRAYS.c.array_id.not_in(open_arrays)).values(files="{}"))
