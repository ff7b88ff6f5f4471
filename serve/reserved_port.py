"""The port of a service, taken before anything is started: two services never listen on one.

Ray Serve's proxies share a port among themselves (SO_REUSEPORT), so a second service would be let in without an error,
and each would get some of the other's requests. Whoever listens already is found by connecting; of two that start at
the same time one has the name of the port, which the kernel gives once and takes back when the process ends.

Not covered: a program that is no service of kilowait and begins to listen, sharing, while this one starts.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path

from kilowait.core.errors import InputError

MOST = 65_535
CONNECT_S = 1.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}
"""Where who listens at all addresses is found."""


def reserved(host: str, port: int) -> socket.socket:
    """What holds the port until it is closed; raises InputError, naming who has it, for one that is taken."""
    if not 0 < port <= MOST:
        raise InputError(f"--port {port}: no TCP port; give one from 1 to {MOST}")
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0kilowait serve {port}")  # a name of the kernel's, not a file
        _check_free(host, port)
    except OSError as error:
        name.close()
        raise _taken(host, port, "another kilowait serve that is about to listen") from error
    except InputError:
        name.close()
        raise
    return name


def _check_free(host: str, port: int) -> None:
    try:
        socket.create_connection((EVERYWHERE.get(host, host), port), CONNECT_S).close()
    except socket.gaierror as error:
        raise InputError(f"--host {host}: no address to listen at ({error.strerror}); give another") from error
    except OSError:  # nobody answers
        return
    raise _taken(host, port, _holder(port) or "another process")


def _taken(host: str, port: int, who: str) -> InputError:
    return InputError(f"--port {port}: {who} has it on {host}; give another with --port, or end that one")


def _holder(port: int) -> str | None:
    """The process that has a port, as far as this user may see; None where none is seen."""
    links = {f"socket:[{inode}]" for inode in _inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if any(os.readlink(file) in links for file in (process / "fd").iterdir()):
                return f"process {process.name} ({(process / 'comm').read_text().strip()})"
    return None


def _inodes(port: int) -> list[str]:
    """Of the TCP sockets at a port: the number of each in the kernel's tables."""
    rows: list[list[str]] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            rows += [line.split() for line in Path(table).read_text().splitlines()[1:]]
    return [row[9] for row in rows if int(row[1].rpartition(":")[2], 16) == port and row[9] != "0"]
