"""A control group around one job: memory, tasks and a weight of CPU time for all its processes together.

Version 2 needs a group of one's own in which the controller `memory` is on (systemd: Delegate=yes, or root); version 1
needs root. Where neither can be had, `find_parents` gives None.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PREFIX = "kilowait-"
CONTROLLERS = ("memory", "pids", "cpu")
STALE_S = 60.0
"""A group that is older and empty was left by a guard that was killed."""
WEIGHT = 100
"""What a group of CPU time has by default, in version 2."""
SHARES = 1024
"""The same in version 1."""


@dataclass(frozen=True)
class GroupLimits:
    """What all processes of a job may take together; `cpu_weight` counts only while others want the CPU too."""

    memory_bytes: int
    tasks: int
    cpu_weight: int = WEIGHT


@dataclass(frozen=True)
class GroupParents:
    """Where groups can be made: one folder in version 2, one for each controller in version 1."""

    version: int
    folders: tuple[tuple[str, Path], ...]


class ControlGroup:
    """The group of one job, made where it can be; raises OSError where the kernel refuses."""

    def __init__(self, parents: GroupParents, name: str, limits: GroupLimits) -> None:
        self.version = parents.version
        self.folders = {controller: folder / f"{PREFIX}{name}" for controller, folder in parents.folders}
        for _, folder in parents.folders:
            _remove_stale(folder)
        try:
            for folder in set(self.folders.values()):
                folder.mkdir(exist_ok=True)
            self._limit(limits)
        except OSError:
            self.remove()
            raise

    def join(self) -> None:
        """This process, and all that it starts from now on, belongs to the group."""
        for folder in set(self.folders.values()):
            (folder / "cgroup.procs").write_text("0")

    def memory_kills(self) -> int:
        """How many of its processes were killed because the group outgrew its memory."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        with suppress(OSError):
            lines = (self.folders["memory"] / name).read_text().splitlines()
            return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
        return 0

    def peak_bytes(self) -> int | None:
        """The most memory that it had at once, None where the kernel does not say."""
        name = "memory.peak" if self.version == 2 else "memory.max_usage_in_bytes"
        with suppress(OSError, ValueError):
            return int((self.folders["memory"] / name).read_text())
        return None

    def remove(self) -> None:
        """Once its processes have ended; a group that is still in use is left to be removed as stale."""
        for folder in set(self.folders.values()):
            for _ in range(20):
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)

    def _limit(self, limits: GroupLimits) -> None:
        if self.version == 2:
            amounts = {"memory.max": limits.memory_bytes, "memory.oom.group": 1, "pids.max": limits.tasks}
            optional = {"memory.swap.max": 0, "cpu.weight": limits.cpu_weight}
        else:
            amounts = {"memory.limit_in_bytes": limits.memory_bytes, "pids.max": limits.tasks}
            optional = {
                "memory.memsw.limit_in_bytes": limits.memory_bytes,
                "cpu.shares": max(2, limits.cpu_weight * SHARES // WEIGHT),
            }
        for name, amount in amounts.items():
            (self._folder(name) / name).write_text(str(amount))
        for name, amount in optional.items():
            with suppress(OSError):
                (self._folder(name) / name).write_text(str(amount))

    def _folder(self, name: str) -> Path:
        return self.folders[name.split(".")[0]]


def find_parents() -> GroupParents | None:
    """Where this process may make groups, None for nowhere; tried with a group and a process that joins it."""
    for parents in filter(None, (_version_2(), _version_1())):
        if _works(parents):
            return parents
    return None


def _version_2() -> GroupParents | None:
    """The nearest group above this process's own in which a group with a limit of memory can be made."""
    own = _own_groups().get("")
    if own is None or not (ROOT / "cgroup.controllers").exists():
        return None
    folder = ROOT / own.lstrip("/")
    for candidate in (folder, *folder.parents):
        if ROOT not in (candidate, *candidate.parents):
            break
        with suppress(OSError):
            (candidate / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        with suppress(OSError):
            enabled = (candidate / "cgroup.subtree_control").read_text().split()
            if {"memory", "pids"} <= set(enabled) and os.access(candidate, os.W_OK):
                return GroupParents(2, tuple((controller, candidate) for controller in CONTROLLERS))
    return None


def _version_1() -> GroupParents | None:
    groups = _own_groups()
    folders = []
    for controller in CONTROLLERS:
        mount = ROOT / controller
        own = mount / groups.get(controller, "/").lstrip("/")
        folder = own if own.is_dir() else mount
        if not os.access(folder, os.W_OK) or not (folder / "cgroup.procs").exists():
            return None
        folders.append((controller, folder))
    return GroupParents(1, tuple(folders))


def _own_groups() -> dict[str, str]:
    """The path of this process in each hierarchy by controller; "" is version 2."""
    groups = {}
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def _works(parents: GroupParents) -> bool:
    """Whether a fork of this process can be put into such a group."""
    try:
        group = ControlGroup(parents, f"try-{os.getpid()}", GroupLimits(64 << 20, 16))
    except OSError:
        return False
    try:
        child = os.fork()
        if child == 0:
            try:
                group.join()
                os._exit(0)
            finally:
                os._exit(1)
        return os.waitpid(child, 0)[1] == 0
    finally:
        group.remove()


def _remove_stale(folder: Path) -> None:
    for left in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody is in it, or another guard was faster
            if time.time() - left.stat().st_mtime > STALE_S:
                left.rmdir()
