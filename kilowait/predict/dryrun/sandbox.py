"""Lock this process up before it executes a program that nobody vouches for (Linux namespaces, no extra program).

A child that calls `enter` has: no network (its own empty network namespace), a root folder of its own that holds the
Python installation read-only, a scratch folder in memory of limited size, /dev/null and the like, and nothing else (no
home, no /etc/shadow, none of the service's files); no process but its own (its own PID namespace); no privileges it
could regain (no_new_privs, no capabilities, an unprivileged user); limits on memory, CPU time, file sizes, processes
and open files. When the process that started it dies, so does it, and with it all it started.

Not covered: the kernel's own bugs (no seccomp filter), and memory that the programs of several runners take together.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 1, 38, 24
CAPABILITIES_VERSION = 0x20080522
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
"""The number of the system call, which the C library does not wrap."""
NOBODY = 65534
WALL = 3.0
"""A program that waits, or a machine that is busy, has so many times its CPU seconds by the clock."""
SCRATCH = "/scratch"
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin")
_DEVICES = ("null", "zero", "urandom", "random")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class SandboxLimits:
    """What a child may take. `memory_bytes` is address space beyond what it has when it starts."""

    cpu_s: float
    memory_bytes: int = 4 << 30
    scratch_bytes: int = 64 << 20
    processes: int = 64
    open_files: int = 256


def enter(root: Path, limits: SandboxLimits) -> None:
    """Leave everything behind but the Python installation; `root` is an empty folder to mount the new / on.

    Returns in a new process, the first of its PID namespace, with SCRATCH as working folder; the calling process waits
    for it and ends as it does. Only for a process with one thread. Raises OSError when the kernel refuses.
    """
    _separate()
    child = os.fork()
    if child:
        _follow(child)
    _new_root(root, limits.scratch_bytes)
    limit(limits)
    _drop_privileges()
    _die_with_parent()


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
        amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(kind, (amount, amount))


@cache
def sandbox_available() -> str | None:
    """None where `enter` works on this machine, else why it does not; tried in a process of its own."""
    if not sys.platform.startswith("linux"):
        return f"the sandbox needs Linux namespaces, and this is {sys.platform}"
    if os.uname().machine not in PIVOT_ROOT:
        return f"the sandbox knows {', '.join(PIVOT_ROOT)}, and this is {os.uname().machine}"
    with tempfile.TemporaryDirectory(prefix="kilowait-") as root:
        command = [sys.executable, "-I", "-B", __file__, root]
        answer = subprocess.run(command, capture_output=True, text=True, env={}, check=False).stdout.strip()
    return None if answer == "in" else (answer or "the kernel ended the process that tried to enter the sandbox")


def _try(root: str) -> None:
    """Enter, say so or why not, and end."""
    try:
        enter(Path(root), SandboxLimits(cpu_s=5))
        Path(__file__).read_bytes()
        os.write(1, b"in")
    except Exception as error:
        os.write(1, f"no sandbox of Linux namespaces here: {error}".encode())


def _separate() -> None:
    """New namespaces for this process and its children: as root at once, else with a user namespace of its own."""
    kinds = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        with suppress(PermissionError):
            return _call("unshare", kinds)
    _call("unshare", kinds | CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    return None


def _follow(child: int) -> None:
    """Wait for the process inside, and end as it did."""
    _die_with_parent()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def _new_root(root: Path, scratch_bytes: int) -> None:
    """Build the new / on `root`, and make it the only one."""
    _call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
    _mount_memory(root, 1 << 20, "0755")
    for folder in _folders():
        _bind(folder, root)
    for name in _SYSTEM:
        if Path(name).is_symlink():
            (root / name[1:]).symlink_to(os.readlink(name))
        elif Path(name).is_dir():
            _bind(Path(name), root)
    for name in _DEVICES:
        _bind(Path("/dev") / name, root, writable=True)
    for name in ("proc", "old", SCRATCH[1:]):
        (root / name).mkdir()
    if not (root / "tmp").exists():  # there is one where Python or this package lies under /tmp
        (root / "tmp").symlink_to(SCRATCH)
    _mount_memory(root / SCRATCH[1:], scratch_bytes, "0777")
    with suppress(OSError):  # some containers forbid it, and programs can do without
        _call("mount", b"proc", bytes(root / "proc"), b"proc", MS_NOSUID | MS_NODEV | MS_RDONLY, None)
    os.chdir(root)
    _call("pivot_root", b".", b"old")
    os.chdir("/")
    _call("umount2", b"/old", MNT_DETACH)
    _call("mount", None, b"/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, None)
    os.chdir(SCRATCH)


def _folders() -> list[Path]:
    """Where Python's own files, the installed packages and this package lie; not the folder this package lies in."""
    installed = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()}
    installed |= {
        name for name in sys.path if Path(name).name in ("site-packages", "dist-packages")
    }  # of other prefixes
    package_parent = str(Path(__file__).parents[2])
    paths = sorted(path for path in {Path(name).resolve() for name in (*installed, package_parent)} if path.is_dir())
    inside = [path for path in paths if not any(other != path and other in path.parents for other in paths)]
    return [path for path in inside if not any(str(path).startswith(f"{name}/") for name in _SYSTEM)]


def _bind(source: Path, root: Path, *, writable: bool = False) -> None:
    """Show `source` under the same name in the new root."""
    target = root / str(source)[1:]
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    _call("mount", bytes(source), bytes(target), None, MS_BIND | MS_REC, None)
    if not writable:
        _call("mount", None, bytes(target), None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, None)


def _mount_memory(target: Path, size: int, mode: str) -> None:
    options = f"size={size},mode={mode},nr_inodes=20000".encode()
    _call("mount", b"tmpfs", bytes(target), b"tmpfs", MS_NOSUID | MS_NODEV, options)


def _drop_privileges() -> None:
    """Become an ordinary user without any capability, for good."""
    for capability in range(64):
        _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if os.getuid() == 0 and _becomes_nobody():
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _becomes_nobody() -> bool:
    """Whether that user exists in this user namespace."""
    lines = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return any(int(first) <= NOBODY < int(first) + int(count) for first, _, count in lines)


def _die_with_parent() -> None:
    _call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _call(name: str, *arguments: object) -> None:
    """Call a function of the C library that returns -1 and errno where it fails; raises OSError then."""
    if name == "pivot_root":
        result = _libc.syscall(PIVOT_ROOT[os.uname().machine], *arguments)
    else:
        result = getattr(_libc, name)(*arguments)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


if __name__ == "__main__":
    _try(sys.argv[1])
