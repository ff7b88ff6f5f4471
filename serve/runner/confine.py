"""How one attempt is kept apart on this node: what the operator chose, made concrete for its boards and its owner."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.core.submission import Attempt
from kilowait.core.units import WHOLE
from kilowait.isolation.cgroup import WEIGHT, GroupLimits
from kilowait.isolation.container import ContainerRun, write_variables
from kilowait.isolation.job_room import HOME, JobRoom
from kilowait.isolation.modes import CONTAINER, ENGINES, NAMESPACE, USER, IsolationSettings, holding, image_engine
from kilowait.isolation.python_folders import folders_of, python_folders
from kilowait.measure.allotment import Allotment
from kilowait.measure.confinement import Confinement

LEAST_MEMORY_BYTES = 2 << 30
MEMORY_SHARE = 0.95
"""Of the machine's memory, what jobs may have together; the rest is the service's and the system's."""
TASKS_PER_GPU = 4096
ALL_BOARDS = tuple(f"/dev/nvidia{minor}" for minor in range(64))


@dataclass(frozen=True, kw_only=True)
class JobFiles:
    """Where a job's files are: `scratch` it works in, `temporary` is its /tmp; `home` is what it calls `scratch`."""

    scratch: Path
    temporary: Path
    home: str
    temporary_name: str
    container: ContainerRun | None = None

    def command(
        self, words: Sequence[str], environment: Mapping[str, str], python: str = "", *, terminal: bool = False
    ) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """What is executed to run a Python program with its arguments, and in which environment."""
        if self.container is None:
            return (python or sys.executable, *words), environment
        volume = write_variables(self.scratch.parent / "environment.json", environment)
        run = replace(self.container, volumes=(*self.container.volumes, volume), terminal=terminal)
        names = ("PATH", "HOME", "XDG_RUNTIME_DIR", *(("TERM",) if terminal else ()))
        return run.words(("python3", *words)), {name: os.environ[name] for name in names if name in os.environ}


def confine(
    settings: IsolationSettings,
    attempt: Attempt,
    allotment: Allotment,
    folder: Path,
    *,
    node_gpus: float,
    python: str = "",
    built: bool = False,
    image: str = "",
) -> tuple[Confinement, JobFiles]:
    """The confinement of an attempt whose files lie in `folder`; raises InputError where what was chosen cannot be had.

    `node_gpus` is how many GPUs the node has: its memory is shared among them. A `python` that was `built` of what a
    user asked for is never started out here, not even to say where its files are. With an `image` it is a container of
    that, whatever the mode.
    """
    if image:
        settings = replace(settings, mode=CONTAINER, image=image)
        if image_engine() is None:
            raise InputError(f"image {image}: no podman, docker or apptainer is on this node")
    held = holding(settings)
    if held.problem and not image:
        raise InputError(held.problem)
    scratch, temporary = folder / "scratch", folder / "tmp"
    scratch.mkdir(mode=0o700, exist_ok=True)
    temporary.mkdir(mode=0o700, exist_ok=True)
    number, name = int.from_bytes(attempt.job_id.encode(), "little"), f"{attempt.job_id}-{attempt.attempt}"
    limits = _limits(settings, attempt, allotment, node_gpus)
    inside = JobFiles(scratch=scratch, temporary=temporary, home=HOME, temporary_name="/tmp")
    outside = JobFiles(scratch=scratch, temporary=temporary, home=str(scratch), temporary_name=str(temporary))
    if held.mode == NAMESPACE:
        room = _room(settings, attempt, allotment, inside, settings.uid_for(attempt.owner, number), limits)
        folders = (str(Path(python).parents[1]),) if built else folders_of(python)
        room = replace(room, readable=(*room.readable, *folders))
        return Confinement(name=name, room=room, limits=limits), inside
    if held.mode == USER:
        folder.chmod(0o711)  # its own folders are in it, which are closed to all but the job's user
        return Confinement(name=name, uid=settings.uid_for(attempt.owner, number), limits=limits), outside
    if held.mode == CONTAINER:
        if built:
            raise InputError("requirements cannot be had where jobs run in containers: their packages are the image's")
        run = _container(settings, attempt, allotment, inside, limits)
        own_limits = None if run.removal else limits
        return Confinement(name=name, after=run.removal, limits=own_limits), replace(inside, container=run)
    return Confinement(name=name, limits=limits), outside


def _room(
    settings: IsolationSettings, attempt: Attempt, allotment: Allotment, place: JobFiles, uid: int, limits: GroupLimits
) -> JobRoom:
    mounts = settings.mounts_of(attempt.owner)
    return JobRoom(
        folder=str(place.scratch),
        temporary=str(place.temporary),
        uid=uid,
        readable=(*sorted(python_folders()), *(mount.path for mount in mounts if not mount.writable)),
        writable=tuple(mount.path for mount in mounts if mount.writable),
        hidden=settings.hidden,
        devices=() if allotment.pretended else allotment.devices or ALL_BOARDS,
        shm_bytes=limits.memory_bytes // 2,
    )


def _container(
    settings: IsolationSettings, attempt: Attempt, allotment: Allotment, place: JobFiles, limits: GroupLimits
) -> ContainerRun:
    mounts = [(mount.path, mount.path, "rw" if mount.writable else "ro") for mount in settings.mounts_of(attempt.owner)]
    return ContainerRun(
        engine=image_engine() or ENGINES[0],
        image=settings.image,
        name=f"kilowait-{attempt.job_id}-{attempt.attempt}",
        volumes=((str(place.scratch), HOME, "rw"), (str(place.temporary), "/tmp", "rw"), *mounts),
        limits=limits,
        gpu_ids=() if allotment.pretended else allotment.gpu_ids,
    )


def _limits(settings: IsolationSettings, attempt: Attempt, allotment: Allotment, node_gpus: float) -> GroupLimits:
    """By the part of the node's GPUs that the attempt holds here."""
    gpus = max(1, len(allotment.gpu_ids)) * attempt.gpu_milli / WHOLE
    per_gpu = settings.memory_per_gpu_bytes
    if per_gpu is None:
        per_gpu = int(machine_memory_bytes() * MEMORY_SHARE / max(node_gpus, gpus, 1))
    return GroupLimits(
        memory_bytes=int(max(per_gpu * gpus, LEAST_MEMORY_BYTES if settings.memory_per_gpu_bytes is None else 0)),
        tasks=int(TASKS_PER_GPU * max(1, gpus)),
        cpu_weight=max(1, min(10_000, round(WEIGHT * gpus))),
    )


def machine_memory_bytes() -> int:
    """What this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
