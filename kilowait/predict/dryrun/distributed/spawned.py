"""Processes that a program starts for its ranks: the first runs here, as rank 0; the others do what it does.

`mp.spawn` runs rank 0 of as many as it is asked for. Of `Process` objects, those of one target are taken for ranks once
the first has made a process group; without one each runs here in turn, for they share what one GPU has to do.

A process that gets a pipe, a queue or an event talks to the program while it runs: it is left to be a process.
"""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.multiprocessing

from kilowait.predict.dryrun.recorder import Recorder

_TALKING = ("Queue", "SimpleQueue", "JoinableQueue", "Connection", "Event", "Semaphore", "Barrier", "Condition", "Lock")


class Spawned:
    """What `mp.spawn(join=False)` gives: everything has ended already."""

    processes: Any = ()

    def join(self, timeout: Any = None, *_: Any, **__: Any) -> bool:
        """Whether all have ended."""
        return True

    def pids(self) -> Any:
        """Of no process."""
        return [os.getpid()]


def pretend_processes(recorder: Recorder) -> None:
    """Replace what starts the processes of ranks."""

    def spawn(
        fn: Any, args: Any = (), nprocs: int = 1, join: bool = True, daemon: bool = False, start_method: str = "spawn"
    ) -> Any:
        fn(0, *args)
        return None if join else Spawned()

    torch.multiprocessing.spawn = spawn  # type: ignore[attr-defined]
    torch.nn.Module.share_memory = torch.Tensor.share_memory_ = _shared  # type: ignore[method-assign]
    _processes(recorder)


def _shared(self: Any) -> Any:
    """What has no data is shared with the ranks that run here."""
    return self


def _processes(recorder: Recorder) -> None:
    base: Any = torch.multiprocessing.Process.__mro__[1]
    start, join = base.start, base.join
    ranks: dict[Any, bool] = {}

    def started(self: Any) -> None:
        if self._target is None or type(self).run is not base.run or _talks(self):
            return start(self)  # type: ignore[no-any-return]
        self._kilowait_ran = True
        key = getattr(self._target, "__code__", self._target)
        if ranks.get(key):
            return None
        self._target(*self._args, **self._kwargs)
        ranks[key] = recorder.world > 0
        return None

    def joined(self: Any, timeout: Any = None) -> None:
        if not hasattr(self, "_kilowait_ran"):
            join(self, timeout)

    base.start, base.join = started, joined
    alive, exit_code = base.is_alive, base.exitcode
    base.is_alive = lambda self: False if hasattr(self, "_kilowait_ran") else alive(self)
    base.exitcode = property(lambda self: 0 if hasattr(self, "_kilowait_ran") else exit_code.fget(self))


def _talks(process: Any) -> bool:
    given = [*process._args, *process._kwargs.values()]
    return any(type(value).__name__ in _TALKING for value in given)
