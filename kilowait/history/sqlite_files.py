"""Copies of an SQLite history while others use it, and a copy put into a history's place.

A copy is written beside its target and moved there when it is on disk and found sound, so that a target is the old
file or the whole new one. Files are for their owner's eyes alone: they hold programs and hashes of tokens.

Not covered: a service that is started on the target in the very instant in which a copy is put there.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from kilowait.core.errors import InputError, StoreError
from kilowait.core.private_files import make_private
from kilowait.files.atomic import flush
from kilowait.history import lease, schema_version

WAIT_S = 5.0
"""How long another process's lock is waited for."""
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database that is in use, or was when its process died."""
MAGIC = b"SQLite format 3\0"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def make_database_private(file: Path) -> None:
    """As `make_private`, with what SQLite keeps beside the database."""
    make_private(file, *_beside(file))


def copy_database(source: Path, target: Path) -> int:
    """Write what is committed in `source` at one moment to `target`; returns its bytes.

    Others may read and write meanwhile. Raises InputError for a source that is not there or a target that is something
    else than a copy, StoreError where the source is damaged or the copy cannot be written; then `target` is as it was.
    """
    _check_places(source, target)
    _check_a_copy(target)
    with _partial(source, target) as partial, _named(target, "not written"):
        os.replace(partial, target)
        flush(target.parent)
    return target.stat().st_size


def restore_database(copy: Path, target: Path, *, force: bool, time_s: float) -> str:
    """Put a copy into the place of the history `target`; returns the version of its schema.

    Raises InputError where there is a history already and `force` is not given, Occupied while a living cluster has
    its lease, StoreError for a copy that is damaged, of a newer schema or no history, and while a process has the
    target open; then the target is as it was.
    """
    schema = check_history(copy)
    existing = [file for file in (target, *_beside(target)) if file.exists()]
    if existing and not force:
        raise InputError(f"{existing[0]}: is there already; give another place, or --force to lose what it holds")
    _check_places(copy, target)
    with _partial(copy, target) as partial, _out_of_use(target, time_s):
        if target.exists():
            _take_owner(partial, target)
        with _named(target, "not replaced"):
            for file in _beside(target):  # of the old file; SQLite would play them into the new one
                file.unlink(missing_ok=True)
            os.replace(partial, target)
            flush(target.parent)
    return schema


def check_history(file: Path) -> str:
    """The version of a history's schema; raises InputError where there is no file, StoreError for one not to be used.

    That is one that is damaged, that holds no history, or that is of a newer schema.
    """
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    with _named(file, "not read"), closing(_open(file, "ro")) as connection:
        _check_sound(file, connection)
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            raise StoreError(f"{file}: an SQLite database, but no history of kilowait")
        meta = dict(connection.execute("SELECT key, value FROM meta"))
    return str(schema_version.number(str(file), meta.get("schema"), meta.get(schema_version.WRITTEN_BY)))


@contextmanager
def _partial(source: Path, target: Path) -> Iterator[Path]:
    """A sound copy of `source` in the folder of `target`, which is gone in the end unless it was moved."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with _named(source, f"not copied to {target}"):
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with closing(_open(source, "rw")) as original, closing(_open(partial, "rw")) as duplicate:
                original.backup(duplicate)
                duplicate.execute("PRAGMA journal_mode=DELETE")  # one file: it needs none beside it
                _check_sound(source, duplicate)
        yield partial
    finally:
        for file in (partial, *_beside(partial)):
            file.unlink(missing_ok=True)


@contextmanager
def _out_of_use(target: Path, time_s: float) -> Iterator[None]:
    """While nobody else has the target open; raises StoreError where somebody has, Occupied where a cluster lives."""
    if not target.exists():
        yield
        return
    with closing(_open(target, "rw")) as connection:
        try:
            _check_lease(target, connection, time_s)
            connection.execute("PRAGMA journal_mode=DELETE")  # which SQLite grants to the only one who has it open
            connection.execute("BEGIN EXCLUSIVE")
            _check_lease(target, connection, time_s)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in _DAMAGED:  # a damaged one is what a copy is for
                raise StoreError(f"{target}: not replaced: {error}; {_remedy(str(error))}") from error
        yield


def _check_lease(target: Path, connection: sqlite3.Connection, time_s: float) -> None:
    """Raises Occupied while a living cluster has it; a database that is not a history has no lease."""
    try:
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (lease.KEY,)).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return
    lease.check(str(target), msgspec.json.decode(row[0], type=lease.Claim) if row else None, "", time_s)


def _check_sound(file: Path, connection: sqlite3.Connection) -> None:
    """Raises StoreError, naming the file, where SQLite finds its pages or indexes damaged."""
    problems = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    if problems != ["ok"]:
        raise StoreError(f"{file}: damaged: {problems[0]}; use another copy")


def _check_places(source: Path, target: Path) -> None:
    if not source.is_file():
        raise InputError(f"{source}: there is no such file")
    if not target.parent.is_dir():
        raise InputError(f"{target}: there is no folder {target.parent}; make it first")
    if target.is_dir() or (target.exists() and target.samefile(source)):
        raise InputError(f"{target}: {'is a folder' if target.is_dir() else 'is the database itself'}; name another")


def _check_a_copy(target: Path) -> None:
    """Raises InputError for a file that a new copy must not replace."""
    if not target.exists():
        return
    with _named(target, "not read"), target.open("rb") as file:
        first_bytes = file.read(len(MAGIC))
    if first_bytes not in (b"", MAGIC):
        raise InputError(f"{target}: is there already and is no SQLite database; take it away or name another")
    if companions := [file.name for file in _beside(target) if file.exists()]:
        raise InputError(
            f"{target}: {companions[0]} beside it says that a process uses it; take it away or name another"
        )


def _open(file: Path, mode: str) -> sqlite3.Connection:
    """A connection that makes no new file and begins no transaction by itself."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode={mode}", uri=True, timeout=WAIT_S, isolation_level=None)


def _beside(file: Path) -> list[Path]:
    return [file.with_name(file.name + end) for end in BESIDE]


def _take_owner(partial: Path, target: Path) -> None:
    """Give the new file the mode of the old one and, where one may, its owner."""
    shutil.copymode(target, partial)
    with suppress(PermissionError):
        os.chown(partial, target.stat().st_uid, target.stat().st_gid)


@contextmanager
def _named(file: Path, what: str) -> Iterator[None]:
    """What SQLite or the disk complains of, with the file's name and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{file}: {what}: {error}; {_remedy(str(error))}") from error
    except OSError as error:
        raise StoreError(f"{file}: {what}: {error.strerror}; see whether its folder may be written") from error


def _remedy(message: str) -> str:
    if "full" in message or "I/O" in message:
        return "nothing is kept of it; make space on its disk and try again"
    if "locked" in message:
        return "end the processes that have it open (the service, a refit) and try again"
    if "malformed" in message or "not a database" in message:
        return "it is damaged or something else; use another copy"
    return "see whether it is there and may be read and written"
