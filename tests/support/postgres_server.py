"""A PostgreSQL server of a test's own, in a temporary folder; the binaries must be on this machine."""

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

ATTEMPTS = 5
OTHERS = ("postgres", "nobody")  # PostgreSQL refuses to run as root


def binary(name):
    """The path of one of PostgreSQL's programs; skips the test where there is none."""
    places = [shutil.which(name), *sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)]
    found = next((place for place in places if place and os.path.exists(place)), None)
    if found is None:
        pytest.skip(f"no {name} on this machine; install PostgreSQL (apt-get install postgresql) to run this test")
    return os.path.realpath(found)


def _account():
    """Whom to run as: None for oneself, else the first account that root may become."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = next((known[name] for name in OTHERS if name in known), None)
    if account is None:
        pytest.skip(f"PostgreSQL does not run as root, and there is none of the accounts {', '.join(OTHERS)}")
    return account


@contextmanager
def postgres():
    """The URL of an empty database; the server is stopped in the end.

    Its folder is none of pytest's: those are their owner's alone, and any pytest that starts sees to it again.
    """
    initdb, server = binary("initdb"), binary("postgres")
    account = _account()
    with (
        tempfile.TemporaryDirectory(prefix="kilowait-postgres-") as folder,
        _running(initdb, server, account, Path(folder)) as port,
    ):
        yield f"postgresql://kilowait@127.0.0.1:{port}/postgres"


@contextmanager
def _running(initdb, server, account, folder):
    """The port of a server whose data lie in a folder; it is stopped in the end."""
    as_other = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    data = folder / "data"
    data.mkdir()
    if account:
        folder.chmod(0o711)
        os.chown(data, account.pw_uid, account.pw_gid)
    common = {"cwd": data, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, **as_other}
    made = [initdb, "-D", str(data), "-U", "kilowait", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, **common)
    running, port = _started(server, data, folder / "server.log", common)
    try:
        yield port
    finally:
        running.send_signal(signal.SIGINT)  # a fast shutdown: it waits for no client
        running.wait(300)


def _started(server, data, log, common):
    """(process, port) of a server that listens; a port that another process takes meanwhile is given up."""
    for _ in range(ATTEMPTS):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = ["-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
        with log.open("wb") as out:
            running = subprocess.Popen([server, *options], stdout=out, stderr=out, **common)
        while running.poll() is None:
            if "ready to accept connections" in log.read_text(errors="replace"):
                return running, port
            time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")
