"""Calls of the C library and of the kernel that Python does not wrap."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
CAPABILITIES_VERSION = 0x20080522
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
"""The number of the system call, which the C library does not wrap."""

RDONLY, NOSUID, NODEV = 1, 2, 4
"""Attributes of a mount, for `set_mount_flags`."""
_MOUNT_SETATTR, _AT_RECURSIVE, _HERE = 442, 0x8000, -100

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library that returns -1 and errno where it fails; raises OSError then."""
    if name == "pivot_root":
        result = _libc.syscall(PIVOT_ROOT[os.uname().machine], *arguments)
    else:
        result = getattr(_libc, name)(*arguments)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def unsupported(what: str) -> str | None:
    """Why `what` cannot be had on this kind of machine at all, None where it can be tried."""
    if not sys.platform.startswith("linux"):
        return f"{what} needs Linux namespaces, and this is {sys.platform}"
    if os.uname().machine not in PIVOT_ROOT:
        return f"{what} knows {', '.join(PIVOT_ROOT)}, and this is {os.uname().machine}"
    return None


def set_mount_flags(target: Path, flags: int, *, recursive: bool = True) -> None:
    """Set attributes on a mount, and on those below it; raises OSError, with ENOSYS on kernels before 5.12."""
    attributes, reach = struct.pack("4Q", flags, 0, 0, 0), _AT_RECURSIVE if recursive else 0
    if _libc.syscall(_MOUNT_SETATTR, _HERE, bytes(target), reach, attributes, len(attributes)) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"mount_setattr {target}: {os.strerror(code)}")


def die_with_parent() -> None:
    """When the process that started this one ends, so does this one, at once."""
    call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def drop_privileges(uid: int | None = None) -> None:
    """Be this user and group and no other, without any capability, and never regain one; None keeps the user.

    Raises OSError without the right to become that user.
    """
    for capability in range(64):
        _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    call("capset", header, (ctypes.c_uint32 * 6)())
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def end_as(code: int) -> NoReturn:
    """End as another process did: with its exit code, or by the same signal where it is the negative of one."""
    if code < 0:
        with suppress(OSError):  # SIGKILL and SIGSTOP cannot be set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def exists_here(uid: int) -> bool:
    """Whether that user exists in this user namespace."""
    with open("/proc/self/uid_map") as file:
        lines = [line.split() for line in file]
    return any(int(first) <= uid < int(first) + int(count) for first, _, count in lines)
