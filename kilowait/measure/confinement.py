"""What keeps one job apart from everything else: its room or its user, and the memory that it may not outgrow."""

import contextlib
import os
import resource
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from subprocess import DEVNULL

from msgspec import Struct

from kilowait.isolation.cgroup import ControlGroup, GroupLimits, find_parents
from kilowait.isolation.job_room import JobRoom, enter_room
from kilowait.isolation.kernel import drop_privileges
from kilowait.isolation.memory_watch import held_bytes

AFTER_S = 60.0
WATCH_S = 1.0
"""How often the memory of a job is looked at, where no control group limits it."""


class Confinement(Struct, frozen=True, kw_only=True):
    """How one job is kept apart. `name` is its control group's; no `limits`: it takes what there is.

    With a `room` it sees that alone, and starts in its folder. With a `uid` and no room it runs as that user.
    """

    name: str
    room: JobRoom | None = None
    uid: int | None = None
    limits: GroupLimits | None = None
    after: tuple[str, ...] = ()
    """A command that ends what the job's own process leaves running elsewhere: a container."""


class Confined:
    """A job under its confinement, seen from its guard: made before the job is forked, closed after its end."""

    def __init__(self, confinement: Confinement | None, folder: Path) -> None:
        self._confinement = confinement or Confinement(name="")
        self._folder, self._root = folder, folder.parent / f"{folder.name}-root"
        self._group: ControlGroup | None = None
        self._looked_s = time.perf_counter()
        limits, parents = self._confinement.limits, find_parents() if self._confinement.limits else None
        if limits is not None and parents is not None:
            self._group = ControlGroup(parents, self._confinement.name, limits)
        if self._confinement.room is not None:
            self._root.mkdir(exist_ok=True)
        self._give_folders()

    def enter(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        """In the job's own fork, before it executes anything; returns its environment. Raises OSError."""
        if self._group is not None:
            self._group.join()
        elif self._confinement.limits is not None:
            tasks = self._confinement.limits.tasks
            if os.getuid() == 0 and self._uid is not None:  # root's own processes do not count against it
                resource.setrlimit(resource.RLIMIT_NPROC, (tasks, tasks))
        if self._confinement.room is not None:
            enter_room(self._confinement.room, self._root)
        else:
            os.chdir(self._folder)
            if self._confinement.uid is not None:
                drop_privileges(self._confinement.uid)
        return environment

    def own(self, fd: int) -> None:
        """What is open there belongs to the job's user, where the guard may say so: of its terminal, so that it can be
        opened by its name."""
        if self._uid is not None and os.getuid() == 0 and os.isatty(fd):
            os.fchown(fd, self._uid, -1)

    @property
    def watch_s(self) -> float | None:
        """In how many seconds the job's memory must be looked at; None where the kernel limits it, or nobody does."""
        if self._group is not None or self._confinement.limits is None:
            return None
        return max(0.0, self._looked_s + WATCH_S - time.perf_counter())

    def outgrown(self, pid: int) -> str | None:
        """Why the job must end now for the memory that it holds; to be asked every `watch_s`."""
        self._looked_s = time.perf_counter()
        limits = self._confinement.limits
        if limits is None or held_bytes(pid) <= limits.memory_bytes:
            return None
        return self._words(limits)

    def killed(self) -> str | None:
        """Why the kernel killed the job for its memory; None where it did not."""
        limits = self._confinement.limits
        return self._words(limits) if limits is not None and self._group and self._group.memory_kills() else None

    def close(self) -> None:
        """Once the job's own processes have ended."""
        end_elsewhere(self._confinement)
        if self._group is not None:
            self._group.remove()
        with contextlib.suppress(OSError):
            self._root.rmdir()

    @property
    def _uid(self) -> int | None:
        room = self._confinement.room
        return room.uid if room is not None else self._confinement.uid

    def _give_folders(self) -> None:
        """The job's folders belong to the job's user, where the guard may say so."""
        if self._uid is None or os.getuid() != 0:
            return
        room = self._confinement.room
        for top in (self._folder, *([Path(room.temporary)] if room is not None else [])):
            for folder, _, names in os.walk(top):
                for name in (folder, *(os.path.join(folder, name) for name in names)):
                    os.chown(name, self._uid, self._uid, follow_symlinks=False)

    def _words(self, limits: GroupLimits) -> str:
        return f"out of memory: all its processes together may hold {limits.memory_bytes / 1e9:.3g} GB here"


def end_elsewhere(confinement: Confinement | None) -> None:
    """End what a job left running that is no process under its guard: also where the guard was killed."""
    if confinement is None or not confinement.after:
        return
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # the engine is gone, or does not answer
        subprocess.run(confinement.after, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, check=False, timeout=AFTER_S)
