"""Free GPUs over time as the predictions have it: what backfilling reserves in.

Source: Mu'alem and Feitelson, "Utilization, predictability, workloads, and user runtime estimates in scheduling the
IBM SP2 with backfilling", IEEE TPDS 12(6), 2001, on conservative backfilling: a list of intervals with the free
processors in each. Here there is one such list a GPU type.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from kilowait.cluster.standing import Active, Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.ends import comes_back
from kilowait.core.jobs import Held
from kilowait.core.units import WHOLE
from kilowait.policies.planning.floors import Floors


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Thousandths of GPUs of one type for one job from `start_s` to its predicted end.

    `where` says which boards, in a plan that tells them apart.
    """

    job_id: str
    gpu_type: str
    milli: int
    start_s: float
    end_s: float
    where: tuple[Held, ...] = ()


class Profile:
    """A step function of free GPUs a type, in thousandths, from now on; without reservations it only rises.

    `end_s` says when a running job ends, by default as `kilowait.cluster.overrun` has it. It counts, and does not say
    which boards are free: a share is planned as its thousandths, and where they or GPUs of one node are scattered a job
    cannot start as early as that. `kilowait.policies.planning.floors` knows the boards.
    """

    def __init__(self, cluster: Cluster, end_s: Callable[[Active], float] | None = None) -> None:
        self._cluster, room = cluster, cluster.room()
        self._steps: dict[str, tuple[list[float], list[int]]] = {
            gpu_type: ([cluster.now_s], [room.milli(gpu_type)]) for gpu_type in cluster.total
        }
        ends = cluster.predicted_ends()  # by any rule: whoever plans decides again when an estimate has passed
        if end_s is not None:
            ends = ends_by_type(cluster, end_s)
        for gpu_type, (times, free) in self._steps.items():
            for ends_s, milli in ends[gpu_type]:
                if ends_s <= times[-1]:
                    free[-1] += milli
                else:
                    times.append(ends_s)
                    free.append(free[-1] + milli)

    def free_at(self, gpu_type: str, time_s: float) -> int:
        """Free thousandths of a type at `time_s`, which must not lie before now."""
        times, free = self._steps[gpu_type]
        return free[bisect_right(times, time_s) - 1]

    def gpus_at(self, gpu_type: str, time_s: float) -> float:
        """As `free_at`, in GPUs."""
        return self.free_at(gpu_type, time_s) / WHOLE

    def moments(self, gpu_type: str) -> tuple[float, ...]:
        """When the number of free GPUs of a type changes, now first."""
        return tuple(self._steps[gpu_type][0])

    def steps(self, gpu_type: str) -> tuple[Sequence[float], Sequence[int]]:
        """The moments of a type, and the thousandths free from each on; they are the profile's own: change nothing."""
        return self._steps[gpu_type]

    def soonest(self, waiting: Waiting, floors: Floors | None = None) -> Reservation:
        """Where the job would end first: its earliest start on each type it may use, then the least predicted end.

        Equal ends go to the more powerful type. The job may have to wait for its type while another is free. With
        `floors` a start is when the boards are there, not scattered.
        """
        best: Reservation | None = None
        for gpu_type in self._cluster.options(waiting):
            choice = self.earliest(waiting, gpu_type)
            if best is not None and choice.end_s >= best.end_s:
                continue
            if floors is not None:
                choice = _with_boards(choice, waiting, floors)
            if best is None or choice.end_s < best.end_s:
                best = choice
        assert best is not None  # a job that waits may use some type
        return best

    def earliest(self, waiting: Waiting, gpu_type: str) -> Reservation:
        """The earliest start on `gpu_type` with enough GPUs for the whole predicted run."""
        milli, runtime_s = waiting.job.milli_on(gpu_type), waiting.predictions[gpu_type].runtime_s
        start_s = self.earliest_s(gpu_type, milli, runtime_s)
        return Reservation(
            job_id=waiting.job.job_id, gpu_type=gpu_type, milli=milli, start_s=start_s, end_s=start_s + runtime_s
        )

    def earliest_s(self, gpu_type: str, milli: int, runtime_s: float, from_s: float = 0.0) -> float:
        """The first time, not before `from_s`, from which so many thousandths of a type are free for `runtime_s`.

        It is inf where they never are: others than jobs hold some, and nobody knows until when.
        """
        times, free = self._steps[gpu_type]
        step, start_s = 0, times[0]
        if from_s > start_s:
            step, start_s = bisect_right(times, from_s) - 1, from_s
        end_s, steps = start_s + runtime_s, len(times)
        while step < steps and times[step] < end_s:
            if free[step] < milli:
                if step + 1 == steps:
                    return math.inf
                start_s = times[step + 1]
                end_s = start_s + runtime_s
            step += 1
        return start_s

    def copy(self) -> "Profile":
        """A profile with the same steps, whose reservations leave this one as it is."""
        profile = Profile.__new__(Profile)
        profile._cluster = self._cluster
        profile._steps = {gpu_type: (times[:], free[:]) for gpu_type, (times, free) in self._steps.items()}
        return profile

    def has_room_now(self, waiting: Waiting, gpu_type: str) -> bool:
        """Whether the job could run from now on to its predicted end on `gpu_type`."""
        times, free = self._steps[gpu_type]
        milli, end_s = waiting.job.milli_on(gpu_type), times[0] + waiting.predictions[gpu_type].runtime_s
        return all(free_milli >= milli for free_milli in free[: bisect_left(times, end_s)])

    def reserve(self, taken: Reservation) -> None:
        """Take the GPUs of a reservation out of the profile."""
        self.take(taken.gpu_type, taken.milli, taken.start_s, taken.end_s)

    def take(self, gpu_type: str, milli: int, start_s: float, end_s: float) -> None:
        """Take thousandths of a type out of the profile from `start_s` to `end_s`; nothing where that is never."""
        if start_s == math.inf:
            return
        times, free = self._steps[gpu_type]
        first = _cut(times, free, start_s)
        for step in range(first, _cut(times, free, end_s)):
            free[step] -= milli


def _with_boards(choice: Reservation, waiting: Waiting, floors: Floors) -> Reservation:
    """The same type from when the boards are there."""
    start_s, where = floors.soonest(waiting, choice.gpu_type, choice.start_s)
    end_s = start_s + waiting.predictions[choice.gpu_type].runtime_s
    return replace(choice, start_s=start_s, end_s=end_s, where=where)


def ends_by_type(cluster: Cluster, end_s: Callable[[Active], float]) -> Mapping[str, Sequence[tuple[float, int]]]:
    """As `Cluster.predicted_ends`, by another rule."""
    ends: dict[str, list[tuple[float, int]]] = {gpu_type: [] for gpu_type in cluster.total}
    for active in cluster.active.values():
        ends[active.gpu_type].append((end_s(active), comes_back(active, cluster.draining)))
    return {gpu_type: sorted(type_ends) for gpu_type, type_ends in ends.items()}


def _cut(times: list[float], free: list[int], time_s: float) -> int:
    """Let a step begin at `time_s`; returns its position."""
    position = bisect_left(times, time_s)
    if position == len(times) or times[position] != time_s:
        times.insert(position, time_s)
        free.insert(position, free[position - 1])
    return position
