"""A history's database that can be lost, on a disk that can be full: PostgreSQL where it is installed, else SQLite.

The disk is a file system in memory of a few megabytes, which root may mount (as anybody: `unshare -rm python -m ...`).
PostgreSQL is killed -9 and started again; SQLite is locked by another process for longer than a write waits for it.
"""

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.history.store import LOCK_WAIT_S

DISK_MB = 300
AWAY_S = 8.0
"""How long the database is away, or the disk full."""
ACCOUNT = "postgres"
READY = "ready to accept connections"


class SmallDisk:
    """A file system of DISK_MB in a folder, which is there already; raises InputError where none may be mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(
                f"{folder}: no disk of its own may be mounted ({done.stderr.strip()}); run it as root or under "
                "unshare -rm, or with --disk-fulls 0"
            )

    def fill(self) -> None:
        """Nobody can write anything more to it for AWAY_S."""
        filling = self.folder / "filling"
        until_s = time.monotonic() + AWAY_S
        with filling.open("wb", buffering=0) as file:
            while time.monotonic() < until_s:
                try:
                    file.write(b"\0" * 65536)
                except OSError:
                    time.sleep(0.05)
        filling.unlink()

    def close(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


class LockedAway:
    """An SQLite database in a folder."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "kilowait.db"
        self.url = f"sqlite:///{self.file}"

    def lose(self) -> None:
        """Nobody can write to it for AWAY_S and as long as a write waits."""
        with contextlib.closing(sqlite3.connect(self.file, isolation_level=None, timeout=60.0)) as other:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(LOCK_WAIT_S + AWAY_S)
            other.execute("ROLLBACK")

    def mend(self) -> None:
        """There is nothing to do once the disk has space."""

    def close(self) -> None:
        """There is nothing to end."""


class OwnPostgres:
    """A server of PostgreSQL whose data lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self._data, self._log = folder / "data", folder.parent / "postgres.log"
        self._data.mkdir()
        account = pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else None
        self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        if account:
            folder.parent.chmod(0o711)
            folder.chmod(0o711)
            os.chown(self._data, account.pw_uid, account.pw_gid)
        self._common = {"cwd": self._data, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, **self._as}
        made = [_binary("initdb"), "-D", str(self._data), "-U", "kilowait", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, **self._common)  # type: ignore[call-overload]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"postgresql://kilowait@127.0.0.1:{self._port}/postgres"
        self._start()

    def lose(self) -> None:
        """kill -9 of the server, which is started again after AWAY_S."""
        os.kill(self._server.pid, signal.SIGKILL)
        self._server.wait()
        time.sleep(AWAY_S)
        self._start()

    def mend(self) -> None:
        """Start it where a full disk has ended it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(2.0)
        if self._server.poll() is not None:
            self._start()

    def close(self) -> None:
        """A fast shutdown, which waits for no client."""
        self._server.send_signal(signal.SIGINT)
        self._server.wait(60.0)

    def _start(self) -> None:
        """Start it until it stays: what an earlier one left behind may be in its way for a moment."""
        words = [_binary("postgres"), "-D", str(self._data), "-p", str(self._port), "-h", "127.0.0.1", "-k", ""]
        deadline_s = time.monotonic() + 120.0
        while time.monotonic() < deadline_s:
            with self._log.open("wb") as out:
                self._server = subprocess.Popen(words, stdout=out, stderr=out, **self._common)  # type: ignore[call-overload]
            while self._server.poll() is None:
                if READY in self._log.read_text(errors="replace"):
                    return
                time.sleep(0.05)
            time.sleep(0.5)
        raise RuntimeError(f"PostgreSQL does not start: {self._log.read_text(errors='replace')[-2000:]}")


class TroubledDatabase:
    """`url` of a database of its own; `fill_disk` and `lose` take a while."""

    def __init__(self, folder: Path, kind: str, *, own_disk: bool) -> None:
        place = folder / "database"
        place.mkdir()
        self._disk = SmallDisk(place) if own_disk else None
        self._database = OwnPostgres(place) if kind == "postgresql" else LockedAway(place)
        self.url, self.lose = self._database.url, self._database.lose

    def fill_disk(self) -> None:
        """The disk is full for a while; a server that this ended is started again."""
        assert self._disk is not None
        self._disk.fill()
        self._database.mend()

    def close(self) -> None:
        """End and unmount all of it."""
        self._database.close()
        if self._disk is not None:
            self._disk.close()


def installed() -> bool:
    """Whether PostgreSQL is here."""
    return bool(_found("initdb") and _found("postgres"))


@contextmanager
def troubled_database(folder: Path, kind: str, *, own_disk: bool) -> Iterator[TroubledDatabase]:
    """A database of this kind, "postgresql" or "sqlite", that is ended in the end."""
    database = TroubledDatabase(folder, kind, own_disk=own_disk)
    try:
        yield database
    finally:
        database.close()


def _found(name: str) -> str | None:
    places = [*sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True), shutil.which(name)]
    return next((place for place in places if place), None)


def _binary(name: str) -> str:
    if (found := _found(name)) is None:
        raise InputError(f"no {name} on this machine; install PostgreSQL, or use --database sqlite")
    return os.path.realpath(found)
