"""The isolation of jobs as an operator writes it, what holds of it, and what is said of it."""

import os
from collections.abc import Mapping
from pathlib import Path

from kilowait.core.closed_ray import TOKEN_FILE
from kilowait.core.errors import InputError
from kilowait.isolation.modes import FIRST_UID, NONE, Holding, IsolationSettings, Mount, holding

SQLITE = "sqlite:///"
LEAST_UID = 1000
"""Of people's accounts: those below are the system's."""


def mount_of(text: str) -> Mount:
    """Read "/PATH", "/PATH:rw", "/PATH@OWNER,OWNER" or "/PATH:rw@OWNER"; raises InputError for what is not there."""
    rest, at, owners = text.partition("@")
    path, _, kind = rest.partition(":")
    names = tuple(filter(None, owners.split(",")))
    if kind not in ("", "ro", "rw") or not path.startswith("/") or bool(at) != bool(names):
        raise InputError(f"mount {text!r}: must be /PATH, with :rw where jobs may write and @OWNER,... for some alone")
    if not Path(path).exists():
        raise InputError(f"mount {text!r}: {path} is not there")
    return Mount(path=path, writable=kind == "rw", owners=names)


def owner_uid_of(text: str) -> tuple[str, int]:
    """Read "OWNER=UID"; raises InputError."""
    owner, _, number = text.rpartition("=")
    if not owner or not number.isascii() or not number.isdigit():
        raise InputError(f"owner-uid {text!r}: must be OWNER=UID, as in ada=1001")
    return owner, int(number)


def owner_uids_of(given: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Checked; raises InputError for a user of the system's, or one that the jobs of others may have."""
    for owner, uid in given.items():
        if not LEAST_UID <= uid < FIRST_UID:
            raise InputError(
                f"owner-uid {owner}={uid}: must be from {LEAST_UID} to {FIRST_UID - 1}: below are the system's users, "
                "above those of single jobs"
            )
    return tuple(given.items())


def own_files(url: str) -> tuple[str, ...]:
    """What no job may see of the service whose database is at `url`: the folder of its files, and Ray's tokens."""
    folder = Path(url.removeprefix(SQLITE)).parent if url.startswith(SQLITE) else Path("out/serve").absolute()
    names = [str(folder), str(Path.home() / ".ray"), os.environ.get(TOKEN_FILE, "")]
    return tuple(dict.fromkeys(filter(None, names)))


def said_at_start(settings: IsolationSettings) -> list[str]:
    """Lines about what holds here; raises InputError where what was asked for by name cannot be had."""
    held = holding(settings)
    if held.problem:
        raise InputError(held.problem)
    lines = [f"isolation of jobs: {held.summary}", *(f"  stronger: {line}" for line in held.missing)]
    return [*lines, *warnings(held)]


def warnings(held: Holding) -> list[str]:
    """What an operator must not overlook."""
    if held.mode != NONE:
        return []
    who = "ROOT OF THIS MACHINE" if os.getuid() == 0 else "the service's user, its database and its tokens"
    return [f"  WARNING: every user with a token to submit is as good as {who}; --isolation namespace keeps them apart"]
