"""Jobs and profiles as the arrays that the compiled searches read."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from kilowait.cluster.standing import Waiting
from kilowait.core.arrays import FloatArray, IntArray
from kilowait.policies.planning.profile import Profile

Number = TypeVar("Number", bound=np.generic)


Row = tuple[Waiting, IntArray, FloatArray, FloatArray]
"""A job, and by type thousandths of GPUs, seconds and kWh; inf kWh where it may not run."""


class JobRows:
    """Jobs as arrays. The rows of those that were asked for last are kept, since most are asked for again."""

    def __init__(self) -> None:
        self._types: tuple[str, ...] = ()
        self._rows: dict[int, Row] = {}

    def arrays(
        self, jobs: Sequence[Waiting], types: tuple[str, ...], price: float
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """What the jobs (n) take on the types (T): thousandths of GPUs, seconds, and energy in seconds of waiting.

        Each is (n, T); energy is inf where a job may not run.
        """
        kept = self._rows if types == self._types else {}
        self._types = types
        self._rows = {id(job): kept.get(id(job)) or _row(job, types) for job in jobs}  # a row holds its job
        rows = [self._rows[id(job)] for job in jobs]
        priced_s = np.array([kwh for *_, kwh in rows])
        allowed = np.isfinite(priced_s)
        priced_s[allowed] *= price
        return np.array([milli for _, milli, _, _ in rows]), np.array([seconds for _, _, seconds, _ in rows]), priced_s


def _row(waiting: Waiting, types: Sequence[str]) -> Row:
    milli, runtime_s, energy_kwh = np.ones(len(types), np.int64), np.ones(len(types)), np.full(len(types), np.inf)
    for j, gpu_type in enumerate(types):
        if gpu_type in waiting.gpus:
            prediction = waiting.predictions[gpu_type]
            milli[j] = waiting.job.milli_on(gpu_type)
            runtime_s[j], energy_kwh[j] = prediction.runtime_s, prediction.energy_kwh
    return waiting, milli, runtime_s, energy_kwh


def extra(price_s: FloatArray) -> FloatArray:
    """What each type (n, T) costs above the job's cheapest, in seconds; inf where it may not run."""
    extra_s: FloatArray = price_s - price_s.min(axis=1, keepdims=True)
    return extra_s


def by_price(extra_s: FloatArray) -> IntArray:
    """The types (n, T) of each job by what they cost, ties as they come."""
    return np.argsort(extra_s, axis=1, kind="stable")


def longer(array: npt.NDArray[Number], rows: int) -> npt.NDArray[Number]:
    """The same with so many rows more, whatever is in them."""
    return np.concatenate([array, np.empty((rows, array.shape[1]), array.dtype)])


def packed(
    profile: Profile, types: Sequence[str], spare: int
) -> tuple[tuple[FloatArray, IntArray, IntArray, IntArray], float]:
    """The profile as arrays with `spare` free steps a type, and when it first changes after now, inf if never."""
    steps = [profile.steps(gpu_type) for gpu_type in types]
    counts = np.array([len(times) for times, _ in steps])
    times_s = np.full((len(types), int(counts.max()) + spare), np.inf)
    free = np.zeros(times_s.shape, np.int64)
    for j, (times, free_milli) in enumerate(steps):
        times_s[j, : counts[j]], free[j, : counts[j]] = times, free_milli
    return (times_s, free, counts, np.zeros(len(types), np.int64)), float(times_s[:, 1].min())
