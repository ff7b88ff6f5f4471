"""The process that guards one job: `python -m kilowait.measure.ward`, started by whoever runs jobs.

It reads a `WardOrder` as one JSON line on stdin, starts the command in a session and folder of its own with only the
environment it is given, keeps what it writes, and answers with one `RunOutcome` line on stdout. The line "stop" asks
the job's process group to end (TERM), and kills it after a grace; "preempt" asks it to write a checkpoint and end, by
its own signal and within its own grace. When stdin closes or the process that started this
one ends, whoever gave the order is gone, and the job is killed at once: no job outlives its runner. Nothing that the
job started stays behind, however it detached itself; only when the guard itself is killed, what left the job's session
does. Linux only, as the launcher. What the job sees and may take is its order's `Confinement`; without one it may do
all that its user may.
"""

import contextlib
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import msgspec
from msgspec import Struct

from kilowait.core.checkpoints.checkpointing import PREEMPTED
from kilowait.measure.confinement import Confined, Confinement
from kilowait.measure.controlling_terminal import come_to_front, read_output, take_terminal
from kilowait.measure.hidden_values import HiddenValues
from kilowait.measure.joblog import JobLog
from kilowait.measure.launcher import (
    FAILURE_CHARACTERS,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    OrphanedError,
    kill_group,
    limit,
    prctl,
    sweep,
)
from kilowait.measure.outcome import RunOutcome
from kilowait.measure.step_clock import StepFile

TAIL_BYTES = 4096
READ_BYTES = 1 << 16
PREEMPT = b"preempt"


class WardOrder(Struct, frozen=True, kw_only=True):
    """One command: where it runs, what it sees, and how long it may take (None: for ever).

    `grace_s` is how long it may take to end after it was asked to; `log_bytes` bounds what is kept in `log_folder`.
    How far the command is, as it says so itself, is kept in `steps_file` ("": nowhere), read by `steps_template`.
    `hidden` are values that do not stand in its log. With a `terminal` its standard streams are that: the descriptors
    of both ends, inherited from who gives the order, the command's own the second. `preempt_signal` and
    `preempt_grace_s` are how it is preempted. All is in `whole_folder`, where that is given: nothing of it stays where
    nobody comes for it.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    log_folder: str
    log_bytes: int
    timeout_s: float | None = None
    grace_s: float = 10.0
    confinement: Confinement | None = None
    steps_file: str = ""
    steps_template: str = ""
    hidden: tuple[str, ...] = ()
    terminal: tuple[int, int] | None = None
    preempt_signal: int = signal.SIGTERM
    preempt_grace_s: float = 0.0
    whole_folder: str = ""


class _Watch:
    """A running job: its end, its output and the orders about it, in one loop."""

    def __init__(
        self, order: WardOrder, confined: Confined, pid: int, output: int, runner: int, forked_s: float
    ) -> None:
        self.order, self.confined, self.pid, self.output, self.runner = order, confined, pid, output, runner
        self.log, self.tail = JobLog(Path(order.log_folder), order.log_bytes), b""
        self.hidden = HiddenValues(order.hidden)
        self.forked_s, self.steps = forked_s, None
        if order.steps_file:
            self.steps = StepFile(Path(order.steps_file), order.steps_template, time.time())
        self.deadline_s = None if order.timeout_s is None else forked_s + order.timeout_s
        self.kill_s: float | None = None
        self.failure: str | None = None
        self.preempted = self.is_ending = False
        self.asked = b""

    def until_exit(self) -> None:
        """Return when the process has ended; raises OrphanedError when the orders or the runner end first."""
        pidfd, poller = os.pidfd_open(self.pid), select.poll()
        for fd in (pidfd, self.output, self.runner, 0):
            poller.register(fd, select.POLLIN)
        try:
            while True:
                ready = dict(poller.poll(self._patience_ms()))
                if self.output in ready and not self.drain():
                    poller.unregister(self.output)
                if pidfd in ready:
                    return
                if self.runner in ready:
                    raise OrphanedError
                if 0 in ready:
                    self._obey()
                self._enforce(time.perf_counter())
        finally:
            os.close(pidfd)

    def drain(self) -> bool:
        """Keep what the job wrote; False at the end."""
        chunk = read_output(self.output, 65536)
        shown = self.hidden.passed(chunk)
        self.log.write(shown)
        if self.steps is not None:
            self.steps.write(chunk, time.perf_counter() - self.forked_s)
        self.tail = (self.tail + shown)[-TAIL_BYTES:]
        return bool(chunk)

    def _obey(self) -> None:
        if not (asked := os.read(0, 4096)):
            raise OrphanedError
        self.ask(asked)

    def ask(self, asked: bytes) -> None:
        """Do as whole lines say of what came on stdin; a piece of one waits for the rest."""
        *lines, self.asked = (self.asked + asked).split(b"\n")
        for line in lines:
            if line != PREEMPT:
                self.ask_to_end("stopped")
            elif self.failure is None:
                self.preempted = True
                self._tell(PREEMPTED, self.order.preempt_grace_s, self.order.preempt_signal)

    def _enforce(self, now_s: float) -> None:
        if self.confined.watch_s == 0 and (reason := self.confined.outgrown(self.pid)):
            self.failure, self.kill_s = self.failure or reason, now_s
        if self.deadline_s is not None and now_s >= self.deadline_s:
            self.ask_to_end(f"timeout after {self.order.timeout_s:g} s")
        if self.kill_s is not None and now_s >= self.kill_s:
            kill_group(self.pid)

    def ask_to_end(self, reason: str) -> None:
        """Tell the job's process group to end, and give it its grace, once. One that was preempted has no longer for
        its checkpoint then."""
        if not self.is_ending:
            self.is_ending = True
            hang_up = () if self.order.terminal is None else (signal.SIGHUP,)  # which no shell ignores
            self._tell(reason, self.order.grace_s, *hang_up, signal.SIGTERM)

    def _tell(self, reason: str, grace_s: float, *numbers: int) -> None:
        """The first reason and the shortest grace count."""
        kill_s = time.perf_counter() + grace_s
        self.failure, self.deadline_s = self.failure or reason, None
        self.kill_s = kill_s if self.kill_s is None else min(kill_s, self.kill_s)
        with contextlib.suppress(ProcessLookupError):
            for number in numbers:
                os.killpg(self.pid, number)

    def _patience_ms(self) -> float | None:
        now_s = time.perf_counter()
        waits = [end - now_s for end in (self.deadline_s, self.kill_s) if end is not None]
        waits += [wait for wait in (self.confined.watch_s,) if wait is not None]
        return max(0.0, min(waits)) * 1000 + 1 if waits else None

    def why(self, code: int) -> str | None:
        """Why the job failed, None where it ended well."""
        if self.failure is not None or code == 0:
            return self.failure
        if (outgrown := self.confined.killed()) is not None:
            return outgrown
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        lines = [line.strip() for line in self.tail.decode(errors="replace").splitlines() if line.strip()]
        return f"exit code {code}: {lines[-1][:FAILURE_CHARACTERS]}" if lines else f"exit code {code}"


def guard(order: WardOrder, runner: int, *, asked: bytes = b"") -> RunOutcome:
    """Run the command to its end, and end everything it started; raises OrphanedError when stdin closes or `runner`,
    a pidfd, ends. `asked` are lines about it that came with the order."""
    with contextlib.closing(Confined(order.confinement, Path(order.folder))) as confined:
        return _guarded(order, confined, runner, asked)


def _guarded(order: WardOrder, confined: Confined, runner: int, asked: bytes) -> RunOutcome:
    output, output_w = order.terminal or os.pipe()
    confined.own(output_w)
    ready, ready_w = os.pipe()
    forked_s = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        _become(order, confined, output_w, ready_w)
    os.close(output_w)
    os.close(ready_w)
    os.read(ready, 1)  # it leads its own group now, or is gone
    os.close(ready)
    watch = _Watch(order, confined, pid, output, runner, forked_s)
    try:
        watch.ask(asked)
        watch.until_exit()
    finally:
        ended_s = time.perf_counter()
        kill_group(pid)  # before it is reaped: until then its number is its own
        _, status, usage = os.wait4(pid, 0)
        sweep()
    while watch.drain():
        continue
    watch.log.close()
    code = os.waitstatus_to_exitcode(status)
    return RunOutcome(
        exit_code=code,
        failure=watch.why(code),
        forked_s=forked_s,
        started_s=None,
        step_s=None,
        ended_s=ended_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_memory_bytes=usage.ru_maxrss * 1024,
        preempted=watch.preempted,
    )


def _become(order: WardOrder, confined: Confined, output: int, ready: int) -> NoReturn:
    """Turn this fresh fork into the job; what goes wrong is said on its output."""
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        limit(resource.RLIMIT_CORE, 0)
        with contextlib.suppress(OSError):  # when memory runs out, let the kernel choose the job
            Path("/proc/self/oom_score_adj").write_text("1000")
        if order.terminal is None:
            null_fd = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((null_fd, 0), (output, 1), (output, 2)):
                os.dup2(source, target)
        else:
            take_terminal(output)
        os.write(ready, b"1")
        os.closerange(3, 4096)
        environment = confined.enter(order.environment)
        if order.terminal is not None:
            come_to_front()
        os.execve(order.command[0], order.command, dict(environment))
    except OSError as error:
        os.write(2, f"{order.command[0]}: cannot be started: {error}\n".encode())
    finally:  # whatever happens, the fork must not fall back into the guard
        os._exit(os.EX_UNAVAILABLE)


def read_order(runner: int) -> tuple[bytes, bytes] | None:
    """The order's line from stdin, and what came right behind it; None when `runner`, a pidfd, ends first.

    Pieces are joined once: an order of any length is read in linear time.
    """
    poller, pieces = select.poll(), list[bytes]()
    for fd in (runner, 0):
        poller.register(fd, select.POLLIN)
    while 0 in dict(poller.poll()):
        if not (piece := os.read(0, READ_BYTES)):
            return None
        head, end, behind = piece.partition(b"\n")
        pieces.append(head)
        if end:
            return b"".join(pieces), behind
    return None


def main() -> None:
    """Guard the one job that stdin names, for the process whose pid is the argument; without one, for the parent."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    runner_pid = int(sys.argv[1]) if len(sys.argv) > 1 else os.getppid()
    try:
        runner = os.pidfd_open(runner_pid)
    except ProcessLookupError:
        return
    if os.getppid() != runner_pid:  # it ended before this process had begun: the pid is another's by now
        return
    if (received := read_order(runner)) is None:
        return
    line, asked = received
    order = msgspec.json.decode(line, type=WardOrder)
    try:
        sys.stdout.write(guard(order, runner, asked=asked).to_json() + "\n")
        sys.stdout.flush()
    except (OrphanedError, BrokenPipeError):  # nobody will come for these
        for folder in (order.folder, order.log_folder, *filter(None, (order.whole_folder,))):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
