"""What one run looked like over time: the queue and the busy GPUs, as step functions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from kilowait.core.units import WHOLE
from kilowait.simulate.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePath:
    """From `time_s[k]` until `time_s[k+1]`, `queued[k]` jobs wait and `busy[type][k]` GPUs run, shares as fractions."""

    time_s: tuple[float, ...]
    queued: tuple[int, ...]
    busy: Mapping[str, tuple[float, ...]]


def sample_path(run: Run) -> SamplePath:
    """The steps of a run; a job that starts when it is submitted never queues."""
    times = np.unique([t for p in run.placements for t in (p.submit_s, p.start_s, p.end_s)])
    queued_s: dict[str, float] = {}
    queued = np.zeros(len(times) + 1, dtype=int)
    busy = {gpu_type: np.zeros(len(times) + 1, dtype=int) for gpu_type in run.inventory}
    for p in run.placements:
        since_s = queued_s.get(p.job_id, p.submit_s)
        queued_s[p.job_id] = p.end_s  # until there, unless a later attempt says that it was preempted
        since, start, end = np.searchsorted(times, [since_s, p.start_s, p.end_s])
        queued[since] += 1
        queued[start] -= 1
        busy[p.gpu_type][start] += p.gpus * p.gpu_milli
        busy[p.gpu_type][end] -= p.gpus * p.gpu_milli
    return SamplePath(
        time_s=tuple(times.tolist()),
        queued=tuple(np.cumsum(queued)[:-1].tolist()),
        busy={gpu_type: _gpus(np.cumsum(steps)[:-1].tolist()) for gpu_type, steps in busy.items()},
    )


def _gpus(milli: Iterable[int]) -> tuple[float, ...]:
    """Thousandths as GPUs, whole ones as whole numbers."""
    return tuple(m / WHOLE if m % WHOLE else m // WHOLE for m in milli)
