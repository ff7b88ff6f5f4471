"""A history's database that can be lost, on a disk that can be full: PostgreSQL where it is installed, else SQLite.

The disk is a file system in memory of a few megabytes, which root may mount (as anybody: `unshare -rm python -m ...`).
PostgreSQL is killed -9 and started again; SQLite is locked by another process for longer than a write waits for it.
"""

import contextlib
import sqlite3
import subprocess
import time
from pathlib import Path

from benchmarks.own_postgres import OwnPostgres, found_program
from kilowait.core.errors import InputError
from kilowait.history.store import LOCK_WAIT_S

DISK_MB = 300
AWAY_S = 8.0
"""How long the database is away, or the disk full."""


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

    def lose(self, away_s: float) -> None:
        """Nobody can write to it for so many seconds and as long as a write waits."""
        with contextlib.closing(sqlite3.connect(self.file, isolation_level=None, timeout=60.0)) as other:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(LOCK_WAIT_S + away_s)
            other.execute("ROLLBACK")

    def mend(self) -> None:
        """There is nothing to do once the disk has space."""

    def close(self) -> None:
        """There is nothing to end."""


class TroubledDatabase:
    """`url` of a database of its own, of the kind "postgresql" or "sqlite"; `fill_disk` and `lose` take a while."""

    def __init__(self, folder: Path, kind: str, *, own_disk: bool) -> None:
        place = folder / "database"
        place.mkdir()
        self._disk = SmallDisk(place) if own_disk else None
        self._database = OwnPostgres(place) if kind == "postgresql" else LockedAway(place)
        self.url = self._database.url

    def lose(self) -> None:
        """It is away for AWAY_S and more."""
        self._database.lose(AWAY_S)

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
    return bool(found_program("initdb") and found_program("postgres"))
