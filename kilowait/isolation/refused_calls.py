"""System calls that a locked-up process may not make, as a seccomp filter.

Refused are those by which a program takes memory that no limit of its address space counts (memfd, System V shared
memory), makes user namespaces of its own (in which it may mount and trace), or reaches parts of the kernel that no
training program needs and that had holes (BPF, key rings, userfaultfd, io_uring, modules, tracing). A program without
network has no sockets either but those of its own empty network: one of the machine that lies in a folder it may read,
or of the machine's host (vsock), would be a way out.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Sequence

from kilowait.isolation.kernel import CLONE_NEWUSER, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, call

FILTER = 2
"""SECCOMP_MODE_FILTER."""
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
_LOAD, _EQUAL, _ANY, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
"""Where `struct seccomp_data` has them; the low half of an argument comes first on these machines."""
X32 = 0x40000000
"""From here on x86-64 counts its calls a second time, for 32-bit pointers."""

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CALLS = {
    "x86_64": {
        "clone": 56, "clone3": 435, "unshare": 272, "setns": 308, "memfd_create": 319, "memfd_secret": 447,
        "shmget": 29, "ptrace": 101, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "add_key": 248,
        "request_key": 249, "keyctl": 250, "io_uring_setup": 425, "mount": 165, "umount2": 166, "pivot_root": 155,
        "open_tree": 428, "move_mount": 429, "fsopen": 430, "kexec_load": 246, "init_module": 175,
        "finit_module": 313, "open_by_handle_at": 304, "process_vm_readv": 310, "process_vm_writev": 311,
        "socket": 41, "socketpair": 53,
    },
    "aarch64": {
        "clone": 220, "clone3": 435, "unshare": 97, "setns": 268, "memfd_create": 279, "memfd_secret": 447,
        "shmget": 194, "ptrace": 117, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "add_key": 217,
        "request_key": 218, "keyctl": 219, "io_uring_setup": 425, "mount": 40, "umount2": 39, "pivot_root": 41,
        "open_tree": 428, "move_mount": 429, "fsopen": 430, "kexec_load": 104, "init_module": 105,
        "finit_module": 273, "open_by_handle_at": 265, "process_vm_readv": 270, "process_vm_writev": 271,
        "socket": 198, "socketpair": 199,
    },
}  # fmt: skip
NEW_USER = ("clone", "unshare")
"""Refused only where they would make a user namespace."""
UNSEEN_MEMORY = ("memfd_create", "memfd_secret", "shmget")
"""Memory beyond the limits of a process; a cgroup counts it, and jobs with one may have it."""
ABSENT = ("clone3", "io_uring_setup")
"""Answered as by an old kernel, on which programs do without; the arguments of clone3 cannot be looked at."""
NEVER = (
    "setns", "ptrace", "bpf", "perf_event_open", "userfaultfd", "add_key", "request_key", "keyctl", "mount", "umount2",
    "pivot_root", "open_tree", "move_mount", "fsopen", "kexec_load", "init_module", "finit_module",
    "open_by_handle_at", "process_vm_readv", "process_vm_writev",
)  # fmt: skip


OWN_NETWORK = (socket.AF_INET, socket.AF_INET6, 16)
"""Families whose sockets stay within a network namespace; 16 is netlink, by which the C library lists interfaces."""
CONNECTED = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
"""Kinds of pairs of sockets that reach each other alone."""
_KIND = 0xF


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("count", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_calls(*, unseen_memory: bool = True, tracing: bool = False, other_sockets: bool = True) -> None:
    """From now on this process and all it starts are refused these calls, for good; raises OSError.

    `unseen_memory` refuses memory that only a cgroup counts; `tracing` lets debuggers and profilers trace;
    `other_sockets` refuses sockets that lead out of a network namespace.
    """
    machine = os.uname().machine
    if machine not in _CALLS:
        raise OSError(ENOSYS, f"no filter of system calls for {machine}, only for {', '.join(_CALLS)}")
    never = [name for name in NEVER if not (tracing and name in ("ptrace", "process_vm_readv", "process_vm_writev"))]
    refused = [*never, *(UNSEEN_MEMORY if unseen_memory else ())]
    instructions = _instructions(machine, refused, other_sockets)
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = _Program(len(instructions) // 8, instructions)
    call("prctl", PR_SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0)


def _instructions(machine: str, refused: list[str], other_sockets: bool) -> bytes:
    """The filter in classic BPF: each test leads to the next, or to an answer right behind it."""
    numbers = _CALLS[machine]
    parts = [
        _op(_LOAD, _ARCHITECTURE),
        _op(_EQUAL, _MACHINES[machine], yes=1),
        _op(_RETURN, KILL),
        _op(_LOAD, _NUMBER),
        _op(_AT_LEAST, X32, no=1),
        _op(_RETURN, ERRNO | ENOSYS),
    ]
    for name in refused:
        parts += [_op(_EQUAL, numbers[name], no=1), _op(_RETURN, ERRNO | EPERM)]
    for name in ABSENT:
        parts += [_op(_EQUAL, numbers[name], no=1), _op(_RETURN, ERRNO | ENOSYS)]
    if other_sockets:
        parts += _only(numbers["socket"], [_op(_LOAD, _FIRST_ARGUMENT)], OWN_NETWORK)
        parts += _only(numbers["socketpair"], [_op(_LOAD, _SECOND_ARGUMENT), _op(_AND, _KIND)], CONNECTED)
    for name in NEW_USER:
        parts += [
            _op(_EQUAL, numbers[name], no=4),
            _op(_LOAD, _FIRST_ARGUMENT),
            _op(_ANY, CLONE_NEWUSER, no=1),
            _op(_RETURN, ERRNO | EPERM),
            _op(_RETURN, ALLOW),
        ]
    return b"".join([*parts, _op(_RETURN, ALLOW)])


def _only(number: int, read: list[bytes], allowed: Sequence[int]) -> list[bytes]:
    """A call is refused unless the argument that `read` gets is one of those allowed."""
    tests = [_op(_EQUAL, value, yes=len(allowed) - place) for place, value in enumerate(allowed)]
    answers = [_op(_RETURN, ERRNO | EAFNOSUPPORT), _op(_RETURN, ALLOW)]
    return [_op(_EQUAL, number, no=len(read) + len(tests) + len(answers)), *read, *tests, *answers]


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """One `struct sock_filter`: `yes` and `no` are instructions to leap over."""
    return struct.pack("HBBI", code, yes, no, value)
