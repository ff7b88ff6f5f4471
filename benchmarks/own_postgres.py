"""A server of PostgreSQL of one's own on this host, which is not run as root; its programs must be here."""

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

from benchmarks.free_ports import free_ports
from kilowait.core.errors import InputError

PORTS_TRIED = 5
"""Another process may take a free one meanwhile."""
RESTARTED_S = 120.0
"""For so long a start on the same port is tried again: what a server left that was killed may be in its way."""
OTHERS = ("postgres", "nobody")
"""Whom root becomes, the first that there is."""
READY = "ready to accept connections"


def found_program(name: str) -> str | None:
    """The path of one of PostgreSQL's programs, also where Debian keeps them."""
    places = [shutil.which(name), *sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)]
    found = next((place for place in places if place and os.path.exists(place)), None)
    return os.path.realpath(found) if found else None


class OwnPostgres:
    """A server at `url` whose data lie in a folder, with its log beside that folder.

    The folder and the one above are opened to whom it runs as. Raises InputError where a program is missing, or
    somebody whom root may become.
    """

    def __init__(self, folder: Path) -> None:
        initdb, self._program, account = _program("initdb"), _program("postgres"), _account()
        self._data, self._log = folder / "data", folder.parent / "postgres.log"
        self._data.mkdir()
        if account:
            folder.parent.chmod(0o711)
            folder.chmod(0o711)
            os.chown(self._data, account.pw_uid, account.pw_gid)
        as_other = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        self._common = {"cwd": self._data, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, **as_other}
        made = [initdb, "-D", str(self._data), "-U", "kilowait", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, **self._common)  # type: ignore[call-overload]
        for _ in range(PORTS_TRIED):
            (self._port,) = free_ports(1)
            if self._stays():
                break
        else:
            raise self._failed()
        self.url = f"postgresql://kilowait@127.0.0.1:{self._port}/postgres"

    def lose(self, away_s: float) -> None:
        """kill -9 of the server, which is started again after so many seconds."""
        os.kill(self._server.pid, signal.SIGKILL)
        self._server.wait()
        time.sleep(away_s)
        self._restart()

    def mend(self) -> None:
        """Start it where a full disk has ended it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(2.0)
        if self._server.poll() is not None:
            self._restart()

    def close(self) -> None:
        """A fast shutdown, which waits for no client."""
        self._server.send_signal(signal.SIGINT)
        self._server.wait(300.0)

    def _restart(self) -> None:
        deadline_s = time.monotonic() + RESTARTED_S
        while time.monotonic() < deadline_s:
            if self._stays():
                return
            time.sleep(0.5)
        raise self._failed()

    def _stays(self) -> bool:
        """Start it; whether it listens, rather than ends."""
        words = [self._program, "-D", str(self._data), "-p", str(self._port), "-h", "127.0.0.1", "-k", ""]
        with self._log.open("wb") as out:
            self._server = subprocess.Popen(words, stdout=out, stderr=out, **self._common)  # type: ignore[call-overload]
        while self._server.poll() is None:
            if READY in self._log.read_text(errors="replace"):
                return True
            time.sleep(0.05)
        return False

    def _failed(self) -> RuntimeError:
        return RuntimeError(f"PostgreSQL does not start: {self._log.read_text(errors='replace')[-2000:]}")


def _program(name: str) -> str:
    if (found := found_program(name)) is None:
        raise InputError(f"no {name} on this machine; install PostgreSQL (apt-get install postgresql)")
    return found


def _account() -> pwd.struct_passwd | None:
    """None for oneself."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = next((known[name] for name in OTHERS if name in known), None)
    if account is None:
        raise InputError(f"PostgreSQL does not run as root, and there is none of the accounts {', '.join(OTHERS)}")
    return account
