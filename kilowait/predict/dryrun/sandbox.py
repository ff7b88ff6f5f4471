"""Lock this process up before it executes a program that nobody vouches for (Linux namespaces, no extra program).

A child that calls `enter` has: no network (its own empty network namespace, and no sockets that lead out of one), a
root folder of its own that holds the Python installation read-only, a scratch folder in memory of limited size,
/dev/null and the like, and nothing else (no home, no /etc/shadow, none of the service's files) but the data that it was
given, read-only; no process but its own (its own PID namespace); no privileges it could regain (no_new_privs, no
capabilities, an unprivileged user); no system call that makes namespaces or memory which no limit counts; limits on
memory, CPU time, file sizes, processes and open files. When the process that started it dies, so does it, and with it
all it started.

Not covered: the kernel's own bugs; memory that the processes of one program, or several programs, take together; named
pipes in the data, which somebody outside may read from, and locks on its files, which others may notice.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NoReturn

from kilowait.isolation.kernel import die_with_parent, drop_privileges, end_as, exists_here, unsupported
from kilowait.isolation.namespaces import NewRoot, outermost, separate
from kilowait.isolation.python_folders import python_folders
from kilowait.isolation.refused_calls import refuse_calls

NOBODY = 65534
WALL, MOST_BUSY = 3.0, 4.0
"""A program has so many times its CPU seconds by the clock, up to so many times that where others are served too."""
SCRATCH = "/scratch"
ROOT = "home/work/job"
"""Where a program's files are in the folder that it may write to: there is a place beside them (../data) too."""
TRY = "try"
"""The word with which the child's bootstrap only tries to enter."""


@dataclass(frozen=True)
class SandboxLimits:
    """What a child may take. `memory_bytes` is address space beyond what it has when it starts.

    It may raise its own limit of CPU time by `more_cpu_s`.
    """

    cpu_s: float
    more_cpu_s: float = 0.0
    memory_bytes: int = 4 << 30
    scratch_bytes: int = 64 << 20
    processes: int = 64
    open_files: int = 256


@dataclass(frozen=True)
class VisiblePaths:
    """What of the machine is seen, read-only: host paths by the names they have inside; `hidden` is covered there."""

    paths: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()


def by_the_clock(load: float, cores: int) -> float:
    """How many times its CPU seconds a program has by the clock on a machine on which `load` processes want to run."""
    return WALL * min(MOST_BUSY, max(1.0, load / cores))


def enter(root: Path, limits: SandboxLimits, seen: VisiblePaths = VisiblePaths()) -> None:
    """Leave everything behind but the Python installation and what is `seen` besides, read-only.

    `root` is an empty folder to mount the new / on. Returns in a new process, the first of its PID namespace, with
    SCRATCH as working folder; the calling process waits for it and ends as it does. Only for a process with one thread.
    Raises OSError when the kernel refuses.
    """
    separate(network=False)
    child = os.fork()
    if child:
        _follow(child)
    _new_root(root, limits.scratch_bytes, seen)
    limit(limits)
    drop_privileges(NOBODY if os.getuid() == 0 and exists_here(NOBODY) else None)
    refuse_calls()
    die_with_parent()


def limit(limits: SandboxLimits) -> None:
    """Set the limits of resources on this process and what it starts."""
    cpu_s = max(1, int(limits.cpu_s) + 1)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    amounts = {
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_AS: limits.memory_bytes + pages * resource.getpagesize(),
        resource.RLIMIT_FSIZE: limits.scratch_bytes,
        resource.RLIMIT_NPROC: limits.processes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CORE: 0,
    }
    for kind, amount in amounts.items():
        _, hard = resource.getrlimit(kind)
        most = float("inf") if hard == resource.RLIM_INFINITY else hard
        more = int(limits.more_cpu_s) if kind == resource.RLIMIT_CPU else 0
        resource.setrlimit(kind, (int(min(amount, most)), int(min(amount + more, most))))


@cache
def sandbox_available() -> str | None:
    """None where `enter` works on this machine, else why it does not; tried in a process of its own."""
    if why := unsupported("the sandbox"):
        return why
    with tempfile.TemporaryDirectory(prefix="kilowait-") as root:
        bootstrap = str(Path(__file__).parent / "child" / "bootstrap.py")
        command = [sys.executable, "-I", "-B", bootstrap, TRY, root]
        answer = subprocess.run(command, capture_output=True, text=True, env={}, check=False).stdout.strip()
    return None if answer == "in" else (answer or "the kernel ended the process that tried to enter the sandbox")


def try_to_enter(root: str) -> None:
    """Enter, say so or why not, and end."""
    try:
        enter(Path(root), SandboxLimits(cpu_s=5))
        Path(__file__).read_bytes()
        os.write(1, b"in")
    except Exception as error:
        os.write(1, f"no sandbox of Linux namespaces here: {error}".encode())


def _follow(child: int) -> NoReturn:
    """Wait for the process inside, and end as it did."""
    die_with_parent()
    _, status = os.waitpid(child, 0)
    end_as(os.waitstatus_to_exitcode(status))


def _new_root(root: Path, scratch_bytes: int, seen: VisiblePaths) -> None:
    """Build the new / on `root`, and make it the only one."""
    new = NewRoot(root)
    installation = _installation()
    data = {name: path for name, path in seen.paths.items() if os.path.exists(path)}
    if any(name.startswith("/tmp/") for name in (*map(str, installation), *data)):  # something has to be seen in it
        new.memory("/tmp", scratch_bytes, "1777")
    else:
        new.link("/tmp", SCRATCH)
    new.system()
    new.memory(SCRATCH, scratch_bytes, "0777")
    for folder in installation:
        new.show(folder)
    for name, path in sorted(data.items()):
        _make_way(new.folder, name)
        new.show(Path(path), at=name)
    for name in seen.hidden:
        new.cover(name)
    with suppress(OSError):  # some containers forbid it, and programs can do without
        new.processes(read_only=True)
    new.enter(SCRATCH)


def _make_way(root: Path, name: str) -> None:
    """Folders on the way to what is shown below the scratch folder are the program's to write to."""
    for folder in reversed(Path(name).parents):
        if Path(SCRATCH) in folder.parents:
            place = root / str(folder)[1:]
            if not place.exists():
                place.mkdir()
                place.chmod(0o777)


def _installation() -> list[Path]:
    """Where Python's own files, the installed packages and this package lie; not the folder this package lies in."""
    package_parent = str(Path(__file__).parents[2])
    return outermost({Path(name).resolve() for name in (*python_folders(), package_parent)})
