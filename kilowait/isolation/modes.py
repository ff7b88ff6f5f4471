"""How jobs are kept apart, as an operator asks for it, and what of it holds on this machine: tried, not assumed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kilowait.isolation.cgroup import find_parents
from kilowait.isolation.job_room import JobRoom, enter_room
from kilowait.isolation.kernel import unsupported

AUTO, NONE, USER, NAMESPACE, CONTAINER = "auto", "none", "user", "namespace", "container"
MODES = (AUTO, NONE, USER, NAMESPACE, CONTAINER)
ENGINES = ("podman", "docker")
APPTAINER = "apptainer"
"""Runs the image that a job asks for where none of these is there; it limits no memory itself."""
FIRST_UID, UIDS = 2_000_000, 50_000
"""Users of jobs, where the service is root: nobody's on a usual machine."""
TRY_S = 60.0
IN, GROUPS = "in", "groups"
"""What the process that tries says."""
ROOM_NEEDS = "a kernel that lets this user make user namespaces (or root), and /proc that a container does not cover"
GROUP_NEEDS = "a group of its own with the controllers memory and pids (systemd: Delegate=yes), or root"


@dataclass(frozen=True)
class Mount:
    """A path that jobs see besides their own: of the owners in `owners`, all where it is empty."""

    path: str
    writable: bool = False
    owners: tuple[str, ...] = ()


@dataclass(frozen=True)
class IsolationSettings:
    """What an operator chose. `memory_per_gpu_bytes` None is a GPU's share of the node's memory."""

    mode: str = AUTO
    memory_per_gpu_bytes: int | None = None
    mounts: tuple[Mount, ...] = ()
    image: str = ""
    images: tuple[str, ...] = ()
    """Images that jobs may choose by themselves, * for any text in a name; whatever the mode, such a job is in one."""
    hidden: tuple[str, ...] = ()
    """Paths of the service itself, covered wherever a job would see them."""
    owner_uids: tuple[tuple[str, int], ...] = ()
    """Owners whose jobs run as a user of the machine, as which files of theirs elsewhere are; others' as one a job."""

    def uid_for(self, owner: str | None, number: int) -> int:
        """The user of the job of this number, where the service is root."""
        return dict(self.owner_uids).get(owner or "", uid_of(number))

    def mounts_of(self, owner: str | None) -> tuple[Mount, ...]:
        """What jobs of this owner see besides their own."""
        return tuple(mount for mount in self.mounts if not mount.owners or owner in mount.owners)


@dataclass(frozen=True)
class Holding:
    """What holds on one machine. `mode` is never "auto"; `memory` is "limited" or "watched"; `missing` says what else
    could hold and what it needs. `problem` says why what was asked for cannot be had."""

    mode: str
    user: str
    memory: str
    missing: tuple[str, ...] = ()
    problem: str = ""

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.problem:
            return self.problem
        sees = {
            NAMESPACE: "a room of its own",
            CONTAINER: "its container",
            USER: "what any user of the machine sees",
            NONE: "all that the service sees and may",
        }
        return f"{self.mode}: {sees[self.mode]}, as {self.user}, memory {self.memory}"


def holding(settings: IsolationSettings) -> Holding:
    """What holds here of what an operator chose."""
    is_limited = limited()
    memory = "limited" if is_limited else "watched"
    missing = () if is_limited else (f"a hard limit of memory and tasks needs {GROUP_NEEDS}",)
    mode, refusal = _chosen(settings)
    if mode != NAMESPACE and settings.mode == AUTO:
        missing = (f"isolation namespace needs {ROOM_NEEDS}: {room_refusal()}", *missing)
    return Holding(mode=mode, user=_user(mode), memory=memory, missing=missing, problem=refusal)


def _chosen(settings: IsolationSettings) -> tuple[str, str]:
    """The mode, and why it cannot be had where it was asked for by name."""
    if settings.mode == AUTO:
        if room_refusal() is None:
            return NAMESPACE, ""
        return (USER, "") if os.getuid() == 0 else (NONE, "")
    if settings.mode == NAMESPACE and (why := room_refusal()):
        return NAMESPACE, f"isolation namespace cannot be had: {why}; it needs {ROOM_NEEDS}"
    if settings.mode == USER and os.getuid() != 0:
        return USER, "isolation user needs a service that runs as root, which alone may become other users"
    if settings.mode == CONTAINER and not (engine() and settings.image):
        return CONTAINER, f"isolation container needs {' or '.join(ENGINES)} on the path, and an image"
    return settings.mode, ""


def engine() -> str | None:
    """The program that runs containers."""
    return next(filter(None, map(shutil.which, ENGINES)), None)


def image_engine() -> str | None:
    """The program that runs the image of a job: the one of all containers, else apptainer."""
    return engine() or shutil.which(APPTAINER)


def uid_of(number: int) -> int:
    """A user that no other job has, by the number of the job."""
    return FIRST_UID + number % UIDS


def _user(mode: str) -> str:
    if mode == CONTAINER:
        return "the image's user"
    if os.getuid() != 0:
        return f"the service's user ({os.getuid()})" + (" without any privilege" if mode == NAMESPACE else "")
    return "root" if mode == NONE else f"a user of its own (from {FIRST_UID})"


def room_refusal() -> str | None:
    """None where `enter_room` works on this machine, else why it does not."""
    return _found()[0]


def limited() -> bool:
    """Whether the memory of jobs can be limited here, or only watched."""
    return _found()[1]


@cache
def _found() -> tuple[str | None, bool]:
    """(why no room can be entered, whether groups can be made): tried once, in a process of its own with one thread."""
    if why := unsupported("it"):
        return why, False
    with tempfile.TemporaryDirectory(prefix="kilowait-") as folder:
        for name in ("root", "job", "tmp"):
            Path(folder, name).mkdir()
        command = [sys.executable, "-c", f"from {__name__} import _try; _try({folder!r})"]
        environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
        try:
            said = subprocess.run(
                command, capture_output=True, text=True, env=environment, check=False, timeout=TRY_S
            ).stdout
        except subprocess.TimeoutExpired:
            return f"no answer within {TRY_S:g} s", False
    groups, _, room = said.partition("\n")
    return (None if room == IN else room or "the kernel ended the process that tried"), groups == GROUPS


def _try(folder: str) -> None:
    """Say whether groups can be made, enter a room, say so or why not, and end."""
    os.write(1, f"{GROUPS if find_parents() else 'none'}\n".encode())
    try:
        room = JobRoom(folder=f"{folder}/job", temporary=f"{folder}/tmp", uid=uid_of(0))
        enter_room(room, Path(folder, "root"))
        os.write(1, IN.encode())
    except Exception as error:
        os.write(1, str(error).encode())
