"""slurmrestd asked over a socket file or TCP, in the newest version of its interface that it and this have."""

import getpass
import http.client
import json
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from kilowait.advise.slurm.slurm_commands import WITHIN_S
from kilowait.core.errors import InputError, ServiceError

VERSIONS = tuple(f"v0.0.{number}" for number in range(43, 37, -1))
"""Of the interface, those whose words are known; Slurm 22.05 has up to v0.0.38."""
TOKEN = "SLURM_JWT"
"""The variable that `scontrol token` prints."""
Ask = Callable[[str], Mapping[str, Any]]
"""`jobs` -> what slurmrestd answers; raises ServiceError."""


def rest_server(address: str, environment: Mapping[str, str]) -> Ask:
    """What asks the slurmrestd at `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH`; raises InputError.

    With `SLURM_JWT` in the environment it asks with that token, as `SLURM_USER` or the user who runs this.
    """
    scheme, _, path = address.partition(":")
    if not (path if scheme == "unix" else scheme in ("http", "https") and urlsplit(address).hostname):
        raise InputError(f"--rest {address}: write http://HOST:PORT, https://HOST:PORT or unix:PATH")
    headers = {"Accept": "application/json"}
    if token := environment.get(TOKEN):
        headers |= {
            "X-SLURM-USER-TOKEN": token,
            "X-SLURM-USER-NAME": environment.get("SLURM_USER") or getpass.getuser(),
        }
    spoken: list[str] = []

    def ask(what: str) -> Mapping[str, Any]:
        for version in spoken or VERSIONS:
            status, body = _got(address, f"/slurm/{version}/{what}", headers)
            if status != 404:
                spoken[:] = [version]
                return _answer(address, what, status, body)
        raise ServiceError(f"{address}: none of {VERSIONS[-1]} to {VERSIONS[0]}; does slurmrestd load openapi/slurm?")

    return ask


def _got(address: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    connection = _connection(address)
    try:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ServiceError(f"{address}: {error or type(error).__name__}; is slurmrestd up there?") from error
    finally:
        connection.close()


def _connection(address: str) -> http.client.HTTPConnection:
    if address.startswith("unix:"):
        return _FileConnection(os.path.normpath(address.removeprefix("unix:")))
    found = urlsplit(address)
    kind = http.client.HTTPSConnection if found.scheme == "https" else http.client.HTTPConnection
    return kind(found.netloc, timeout=WITHIN_S)


class _FileConnection(http.client.HTTPConnection):
    """HTTP over a socket file."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=WITHIN_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WITHIN_S)
        self.sock.connect(self._path)


def _answer(address: str, what: str, status: int, body: bytes) -> Mapping[str, Any]:
    """Raises ServiceError where it is no object, or one with errors."""
    try:
        found = json.loads(body)
        errors = found.get("errors") or []
    except (ValueError, AttributeError) as error:
        remedy = f"; set {TOKEN} (scontrol token)" if status in (401, 403) else ""
        raise ServiceError(f"{address}: {what}: it answered {status} and no object{remedy}") from error
    if status != 200 or errors:
        said = "; ".join(str(one.get("error") or one.get("description")) for one in errors if isinstance(one, dict))
        remedy = f"; is {TOKEN} set, and not too old? scontrol token" if status in (401, 403) or "uth" in said else ""
        raise ServiceError(f"{address}: {what}: it answered {status}: {said or 'nothing more'}{remedy}")
    answer: Mapping[str, Any] = found
    return answer
