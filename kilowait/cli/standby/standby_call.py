"""A command handed to the process that stands by for it, with its files, folder and variables; and how one is left.

Whatever is wrong with that process, the command runs as if there were none.
"""

import argparse
import array
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from tempfile import TemporaryFile
from typing import Any

from kilowait.cli.standby.standby_place import MINUTES, PACKAGE, StandbyPlace, place_for

COMMANDS = ("predict", "compare")
TAKES_S = 2.0
"""A process that does not take a command within this is busy with another."""
TAKEN = b"\1"
HEAD, CODE = struct.Struct(">I"), struct.Struct(">i")
_here = False
"""Whether this process is the one that stands by, or was forked by it."""


def add_cold_option(parser: argparse.ArgumentParser) -> None:
    """Declare --cold."""
    parser.add_argument(
        "--cold",
        action="store_true",
        help="neither use nor leave the process that keeps PyTorch loaded for the next prediction, for some minutes "
        f"({MINUTES}; 0: never)",
    )


def stay() -> None:
    """From now on this process runs commands itself, and leaves none behind."""
    global _here
    _here = True


def answered(words: Sequence[str], place: StandbyPlace | None) -> int | None:
    """The exit code of the command, run by the process that stands by; None where there is none that takes it."""
    if place is None or not place.socket.exists():
        return None
    if None in (sys.stdin, sys.stdout, sys.stderr):  # one was closed, as of a daemon: there are no three to hand over
        return None
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(TAKES_S)
        try:
            line.connect(os.fspath(place.socket))
            if peer_of(line) != os.geteuid():
                return None
            _send(line, words)
            if line.recv(1) != TAKEN:
                return None
            line.settimeout(None)
            code = line.recv(CODE.size, socket.MSG_WAITALL)
        except ConnectionRefusedError:  # it was ended from outside
            place.socket.unlink(missing_ok=True)
            return None
        except OSError:
            return None
    return int(CODE.unpack(code)[0]) if len(code) == CODE.size else None


def standby_of(args: argparse.Namespace) -> StandbyPlace | None:
    """Where the process for a command would be; raises InputError."""
    return None if _here else place_for(args, os.environ)


def leave_behind(place: StandbyPlace | None) -> None:
    """Start a process that stands by for commands like the one that is done; it ends by itself.

    What that one imported it imports ahead, for another run of the same program.
    """
    if place is None or place.socket.exists():
        return
    from kilowait.predict.dryrun.child.worker_messages import send_request
    from kilowait.predict.worker_pair import noted

    task = {"socket": os.fspath(place.socket), "interpreter": place.interpreter, "minutes": place.minutes}
    with TemporaryFile() as requests:
        for request in noted():
            send_request(requests, request)
        requests.seek(0)
        subprocess.Popen(
            [sys.executable, "-m", "kilowait.cli.standby.standby_server", json.dumps(task)],
            stdin=requests,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=PACKAGE.parent,  # from where no module of a program's folder is found
        )


def peer_of(line: socket.socket) -> int:
    """The user at the other end of a socket, as the kernel knows them."""
    credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def _send(line: socket.socket, words: Sequence[str]) -> None:
    umask = os.umask(0o077)
    os.umask(umask)
    request: dict[str, Any] = {
        "words": list(words),
        "folder": os.getcwd(),
        "variables": dict(os.environ),
        "umask": umask,
        "encodings": [[stream.encoding, stream.errors] for stream in (sys.stdin, sys.stdout, sys.stderr)],
    }
    data = json.dumps(request).encode()
    files = array.array("i", [0, 1, 2])
    line.sendmsg([HEAD.pack(len(data))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
    line.sendall(data)
