"""CPU time that a program spends importing packages that are installed, which its budget does not pay.

Time is foreign while an import is under way, and the program's own again while it executes a module of the program.
What is given is bounded, so that a program cannot buy time by importing.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

IMPORTS_S = 60.0
"""Seconds of imports that are given at most, of CPU time and by the clock."""
_TIMERS = ((signal.ITIMER_PROF, time.process_time), (signal.ITIMER_REAL, time.perf_counter))


class ImportTime:
    """Stops the timers of this process while imports are under way; `spare_s` is how long its CPU limit is above them.
    At most `imports_s` of CPU time are foreign, and `by_the_clock_s` by the clock (default: as many).

    The timers are those that run when `install` is called.
    """

    def __init__(self, spare_s: float, imports_s: float = IMPORTS_S, by_the_clock_s: float | None = None) -> None:
        self.spare_s = spare_s
        self._depth = 0
        self._collects = True
        self._allowed_s = [imports_s, imports_s if by_the_clock_s is None else by_the_clock_s]
        self._stopped: list[tuple[float, float, float]] = []

    def install(self) -> None:
        """Come between every import and what it does; there is no way back."""
        real_import, real_module = builtins.__import__, importlib.import_module

        def imported(name: str, *args: Any, **kwargs: Any) -> Any:
            if name in sys.modules:
                return real_import(name, *args, **kwargs)
            with self.foreign():
                return real_import(name, *args, **kwargs)

        def module(name: str, package: Any = None) -> Any:
            with self.foreign():
                return real_module(name, package)

        builtins.__import__ = imported
        importlib.import_module = module

    @contextmanager
    def foreign(self) -> Iterator[None]:
        """An import is under way."""
        self._depth += 1
        if self._depth == 1:
            self._stop()
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._go_on()

    @contextmanager
    def own(self) -> Iterator[None]:
        """A module of the program itself is being executed, within an import or not."""
        depth, self._depth = self._depth, 0
        if depth:
            self._go_on()
        try:
            yield
        finally:
            self._depth = depth
            if depth:
                self._stop()

    def _stop(self) -> None:
        """Put the timers off by all that is allowed; how long they had to go is kept."""
        self._collects = gc.isenabled()
        gc.disable()  # nothing that is loaded is garbage, and looking for it takes a sixth of the time
        self._stopped = []
        for (timer, clock), allowed_s in zip(_TIMERS, self._allowed_s):
            left_s, interval_s = signal.getitimer(timer)
            self._stopped.append((clock(), left_s, interval_s))
            if left_s:
                signal.setitimer(timer, left_s + allowed_s, interval_s)
        self._limit(self._stopped[0][1] + self._allowed_s[0])

    def _go_on(self) -> None:
        """Let the timers go on from where they stood; what was spent beyond what is allowed counts."""
        for part, ((timer, clock), (began_s, left_s, interval_s)) in enumerate(zip(_TIMERS, self._stopped)):
            spent_s = clock() - began_s
            given_s = min(spent_s, self._allowed_s[part])
            self._allowed_s[part] -= given_s
            if left_s and signal.getitimer(timer)[0]:
                signal.setitimer(timer, max(interval_s, left_s - (spent_s - given_s)), interval_s)
        self._limit(self._stopped[0][1])
        if self._collects:
            gc.enable()

    def _limit(self, left_s: float) -> None:
        """Move the limit of CPU time that this process may move, up to the one that it may not."""
        if not self._stopped[0][1]:  # no budget is running
            return
        soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
        if soft < hard or hard == resource.RLIM_INFINITY:
            self.leave(left_s)

    def leave(self, left_s: float) -> None:
        """Let the limit of CPU time stand so far from now, and what is to spare further, up to what is allowed."""
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        wanted = int(time.process_time() + left_s + self.spare_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
