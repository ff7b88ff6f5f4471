"""The process that starts scripts and sees them end: `python -m kilowait.measure.launcher warm|cold`.

It reads one order a line on stdin and answers with one outcome a line on stdout. Warm, it has imported torch, has
run no operation and has one thread, and forks per script; cold, the fork executes a fresh Python (CUDA does not
survive a fork). When its stdin closes it kills the running script and leaves, so that no script outlives a killed
campaign. Linux only: it uses pidfd, wait4, prctl and scheduling affinity.
"""

import contextlib
import ctypes
import gc
import os
import resource
import select
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from kilowait.isolation.process_tree import children_by_parent
from kilowait.measure import guest
from kilowait.measure.outcome import Order, RunOutcome

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
STDERR_TAIL_BYTES = 4096
FAILURE_CHARACTERS = 300
MEMORY_SHARE = 0.9
"""A script may allocate this share of the machine's memory; more fails in the script, not in its neighbours."""


class OrphanedError(Exception):
    """Whoever gave the orders is gone."""


def prctl(option: int, value: int) -> None:
    """Set a property of this process, such as PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def limit(kind: int, amount: int) -> None:
    """Limit a resource of this process for good, to at most what it may have."""
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (amount if hard == resource.RLIM_INFINITY else min(amount, hard), hard))


def _become_guest(order: Order, scratch: str, marks: int, errors: int, warm: bool) -> None:
    """Turn this fresh fork into a process of its own session, with no input and its own scratch folder."""
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    limit(resource.RLIMIT_CORE, 0)
    with contextlib.suppress(OSError):  # when memory runs out, let the kernel choose the script
        Path("/proc/self/oom_score_adj").write_text("1000")
    null_fd = os.open(os.devnull, os.O_RDWR)
    for source, target in ((null_fd, 0), (null_fd, 1), (errors, 2), (marks, guest.MARKS_FD)):
        os.dup2(source, target)
    os.set_inheritable(guest.MARKS_FD, not warm)
    os.closerange(guest.MARKS_FD + 1, 256)
    os.chdir(scratch)
    os.environ.update({"TMPDIR": scratch, **order.environment})
    if order.cores:
        os.sched_setaffinity(0, order.cores)


def _play(order: Order) -> int:
    import torch

    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit(resource.RLIMIT_DATA, int(memory_bytes * MEMORY_SHARE))
    if order.threads is not None:
        torch.set_num_threads(order.threads)
        torch.set_num_interop_threads(1)
    guest.watch_first_step()
    return guest.run_as_main(order.script)


def _child(order: Order, scratch: str, marks: int, errors: int, warm: bool) -> NoReturn:
    code = os.EX_SOFTWARE
    try:
        _become_guest(order, scratch, marks, errors, warm)
        if not warm:
            command = [sys.executable, "-m", "kilowait.measure.guest", order.script]
            os.execve(sys.executable, command, dict(os.environ))
        code = _play(order)
    finally:  # whatever happens, the fork must not fall back into the launcher's loop
        os._exit(code)


class _Tail:
    """The last bytes of a pipe that is drained as it fills."""

    def __init__(self, fd: int) -> None:
        self.fd, self.data = fd, b""

    def read(self) -> bool:
        """Take what is there; False at the end."""
        chunk = os.read(self.fd, 65536)
        self.data = (self.data + chunk)[-STDERR_TAIL_BYTES:]
        return bool(chunk)

    def last_line(self) -> str:
        """The last line that is not blank, shortened."""
        lines = [line for line in self.data.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[:FAILURE_CHARACTERS] if lines else ""


def _await_exit(pid: int, tail: _Tail, deadline_s: float, orders_fd: int) -> bool:
    """Wait for the process to end; False when the deadline came first. Raises OrphanedError."""
    pidfd = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.register(tail.fd, select.POLLIN)
    poller.register(orders_fd, 0)  # only its closing is of interest
    try:
        while (left_s := deadline_s - time.perf_counter()) > 0:
            ready = dict(poller.poll(left_s * 1000 + 1))
            if pidfd in ready:
                return True
            if orders_fd in ready:
                raise OrphanedError
            if tail.fd in ready and not tail.read():
                poller.unregister(tail.fd)
        return False
    finally:
        os.close(pidfd)


def kill_group(pid: int) -> None:
    """Kill a process that leads a group, and the group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # it may not have reached setsid yet
        os.kill(pid, signal.SIGKILL)


def sweep() -> None:
    """Kill and reap whatever the script left behind, in its group or escaped from it (this is a subreaper)."""
    while True:
        try:
            reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if reaped == 0:
            for pid in children_by_parent().get(os.getpid(), ()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)


def _read_marks(fd: int) -> dict[str, float]:
    os.set_blocking(fd, False)
    try:
        text = os.read(fd, 65536).decode(errors="replace")
    except BlockingIOError:
        return {}
    pairs = (line.split(" ") for line in text.splitlines())
    return {pair[0]: float(pair[1]) for pair in pairs if len(pair) == 2}


def _failure(code: int, in_time: bool, timeout_s: float, tail: _Tail) -> str | None:
    if not in_time:
        return f"timeout after {timeout_s:g} s"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return None if code == 0 else tail.last_line() or f"exit code {code}"


def _see_through(pid: int, order: Order, marks_fd: int, tail: _Tail, forked_s: float, orders_fd: int) -> RunOutcome:
    try:
        in_time = _await_exit(pid, tail, forked_s + order.timeout_s, orders_fd)
    except OrphanedError:
        kill_group(pid)
        sweep()
        raise
    ended_s = time.perf_counter()
    kill_group(pid)  # before it is reaped: until then its number is its own
    _, status, usage = os.wait4(pid, 0)
    sweep()
    while tail.read():
        continue
    marks = _read_marks(marks_fd)
    code = os.waitstatus_to_exitcode(status)
    return RunOutcome(
        exit_code=code,
        failure=_failure(code, in_time, order.timeout_s, tail),
        forked_s=forked_s,
        started_s=marks.get(guest.STARTED),
        step_s=marks.get(guest.OPTIMIZER, marks.get(guest.FORWARD)),
        ended_s=ended_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_memory_bytes=usage.ru_maxrss * 1024,
    )


def execute(order: Order, *, warm: bool, orders_fd: int = 0) -> RunOutcome:
    """Run one order to its end, and end everything it started; raises OrphanedError when stdin closes."""
    marks, marks_w = os.pipe()
    errors, errors_w = os.pipe()
    try:
        with tempfile.TemporaryDirectory(prefix="kilowait-", ignore_cleanup_errors=True) as scratch:
            forked_s = time.perf_counter()
            pid = os.fork()
            if pid == 0:
                _child(order, scratch, marks_w, errors_w, warm)
            os.close(marks_w)
            os.close(errors_w)
            return _see_through(pid, order, marks, _Tail(errors), forked_s, orders_fd)
    finally:
        os.close(marks)
        os.close(errors)


def _step_aside(cores: tuple[int, ...], allowed: frozenset[int]) -> None:
    """Keep the launcher off the measured cores where there are others."""
    os.sched_setaffinity(0, (allowed - set(cores)) or allowed)


def main() -> None:
    """Serve orders from stdin until it closes."""
    warm = sys.argv[1:] == ["warm"]
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    if warm:
        guest.warm_up_imports()
    gc.collect()
    gc.freeze()  # a collection in the fork would touch, and so copy, every page of the imports
    allowed = frozenset(os.sched_getaffinity(0))
    with contextlib.suppress(OrphanedError, BrokenPipeError):
        print("ready", len(os.listdir("/proc/self/task")), flush=True)  # noqa: T201 - the protocol
        for line in sys.stdin:
            order = Order.from_json(line)
            _step_aside(order.cores, allowed)
            print(execute(order, warm=warm).to_json(), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
