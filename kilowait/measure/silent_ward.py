"""The end of a guard that neither answers nor ends: it is killed with all that it started; the attempt has failed."""

import contextlib
import os
import signal
import time

from kilowait.isolation.process_tree import descendants
from kilowait.measure.outcome import RunOutcome

REASON = "the guard of the job neither answered nor ended in its time, and was killed"


def silenced(began_s: float) -> RunOutcome:
    """How a run went whose guard was killed; `began_s` as in `RunOutcome`. What the job took beside time is unknown."""
    return RunOutcome(
        exit_code=-signal.SIGKILL,
        failure=REASON,
        forked_s=began_s,
        started_s=None,
        step_s=None,
        ended_s=time.perf_counter(),
        cpu_s=0.0,
        peak_memory_bytes=0,
    )


def end_tree(pid: int) -> None:
    """Kill a process and all that descends from it, stopped processes too; the root first, so that it starts no more.

    What is started by a descendant meanwhile is found at the next look, until there is nothing left.
    """
    found = [pid, *descendants({pid})]
    killed: set[int] = set()
    while found:
        for one in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        killed.update(found)
        found = [one for one in descendants(killed) if one not in killed]
