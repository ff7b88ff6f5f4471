"""The room of one job: what it sees of the machine, and as whom.

Programs and libraries read-only, its own folder as /job (its working folder and HOME), a /tmp and a /dev/shm of its
own, its GPUs, its own processes, and what an operator named; the network is the machine's. Nothing of the service:
not its database, its tokens, its logs, other jobs or Ray.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from kilowait.isolation.kernel import PR_SET_DUMPABLE, call, die_with_parent, drop_privileges, end_as, exists_here
from kilowait.isolation.namespaces import NewRoot, outermost, separate
from kilowait.isolation.refused_calls import refuse_calls

HOME = "/job"
ETC = (
    "alternatives", "bash.bashrc", "ca-certificates", "ca-certificates.conf", "fonts", "host.conf", "hostname",
    "hosts", "inputrc", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "locale.conf", "localtime",
    "machine-id", "magic", "mime.types", "nsswitch.conf", "nvidia", "OpenCL", "os-release", "pki", "profile",
    "protocols", "resolv.conf", "services", "ssl/certs", "ssl/openssl.cnf", "timezone", "vulkan",
)  # fmt: skip
"""What programs look up; the rest of /etc may hold secrets."""
USER = "job"
"""What a job's user is called: programs ask for the name of theirs, and some end where there is none."""
SEEN = ("/opt", "/sys", "/run/nvidia-persistenced")
EXTRA_DEVICES = (
    *("/dev/infiniband", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-caps"),
    "/dev/tty",
)
"""Shown where they are: what all boards of NVIDIA share, fast networks, and the terminal of who has one."""
WRITABLE = 0o1777
PASSED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
"""By which a program may be asked to end, or to write a checkpoint."""


@dataclass(frozen=True)
class JobRoom:
    """One job's room: host paths unless said otherwise.

    `folder` is shown as /job and `temporary` as /tmp; `readable` and `writable` under their own names; `hidden` is
    covered where something else would show it, but for folders in it that are named themselves. `uid` is whom the job
    runs as where the guard is root; `shm_bytes` bounds /dev/shm.
    """

    folder: str
    temporary: str
    uid: int
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    shm_bytes: int = 64 << 20


def enter_room(room: JobRoom, root: Path) -> None:
    """Go in: returns in a new process that leads a group of its own, in /job.

    `root` is an empty folder for the new / to stand on. The calling process waits for it and ends as it does; it is
    killed with all that is inside when its own parent ends, and what its group is asked by (PASSED_ON) is passed on to
    the job's. Only for a process with one thread. Raises OSError when the kernel refuses.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until there is somebody to pass it on
    separate(network=True)
    ending, ending_w = os.pipe()
    inside = os.fork()
    if inside:
        os.close(ending_w)
        _follow(inside, ending)
    os.close(ending)
    die_with_parent()
    _build(room, root)
    job = os.fork()
    if job:
        _look_after(job, ending_w)
    os.close(ending_w)
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    drop_privileges(room.uid if os.getuid() == 0 and exists_here(room.uid) else None)
    refuse_calls(unseen_memory=False, tracing=True, other_sockets=False)


def _build(room: JobRoom, root: Path) -> None:
    """Put the room together: its own folders first, for what else is shown may lie under /tmp."""
    new = NewRoot(root)
    for source, name in ((room.folder, HOME), (room.temporary, "/tmp"), (room.temporary, "/var/tmp")):
        new.show(Path(source), at=name, writable=True)
    inner = {name for name in (*room.readable, *room.writable) if _within(name, room.hidden)}
    for folder in outermost({Path(name).resolve() for name in room.readable if name not in inner}):
        new.show(folder)
    new.system()
    for name in room.readable:
        if name not in inner and not new.has(name) and Path(name).exists():  # a link to what is shown
            new.link(name, str(Path(name).resolve()))
    for name in (*(f"/etc/{name}" for name in ETC), *SEEN):
        if Path(name).exists():
            new.show(Path(name))
    for file, line in (("/etc/passwd", "{user}:x:{uid}:{uid}::{home}:/bin/sh"), ("/etc/group", "{user}:x:{uid}:")):
        new.write(file, _with_own(file, line.format(user=USER, uid=room.uid, home=HOME)))
    for name in (*EXTRA_DEVICES, *room.devices):
        if Path(name).exists():
            new.show(Path(name), writable=True)
    for name in room.writable:
        if name not in inner:
            new.show(Path(name), writable=True)
    for name in room.hidden:
        new.cover(name)
    for name in sorted(inner):
        new.show(Path(name), writable=name in room.writable)
    new.memory("/dev/shm", room.shm_bytes, "1777")
    new.link("/dev/fd", "/proc/self/fd")
    new.processes(read_only=False)
    new.enter(HOME)


def _with_own(file: str, line: str) -> str:
    """The machine's list of users or groups, and the job's own."""
    listed = Path(file).read_text(errors="replace").rstrip("\n") if Path(file).exists() else ""
    return f"{listed}\n{line}\n".lstrip("\n")


def _within(name: str, hidden: tuple[str, ...]) -> bool:
    """Whether a folder was named that lies in one that is hidden: it is shown, and what is beside it is not."""
    path = Path(name).resolve()
    return path.is_dir() and any(Path(other).resolve() in path.parents for other in hidden)


def _follow(inside: int, ending: int) -> NoReturn:
    """Wait for the first process inside, and end as the job did."""
    for number in PASSED_ON:  # the first process inside is of the same group, and hears it too
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    die_with_parent()
    status = os.read(ending, 16)  # nothing when all of it was killed
    _, own = os.waitpid(inside, 0)
    end_as(os.waitstatus_to_exitcode(int(status) if status else own))


def _look_after(job: int, ending: int) -> NoReturn:
    """Be the first process inside: reap what loses its parent, pass signals on, and end when the job does."""
    try:
        call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
        with suppress(OSError):  # it has done so itself, and is another program already
            os.setpgid(job, job)
        for asked in PASSED_ON:
            signal.signal(asked, lambda number, _: _tell(-job, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        os.closerange(0, ending)
        os.closerange(ending + 1, 4096)
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == job:
                os.write(ending, str(status).encode())
                break
    finally:
        os._exit(0)


def _tell(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
