"""What goes into a simulation and what comes out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from msgspec import Struct, structs

from kilowait.cluster.events import Event
from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import WHOLE
from kilowait.simulate.sleeping import Sleeping


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job with what it really takes (`truth`) and what a policy may see (`seen`), both by GPU type."""

    job: Job
    truth: Mapping[str, Prediction]
    seen: Mapping[str, Prediction]


class Placement(Struct, frozen=True, kw_only=True, gc=False):
    """One attempt as it went: seconds on the submissions' clock, `energy_kwh` over all its GPUs.

    `runtime_s` stands beside `end_s` because their difference would round. `served_s` is how long earlier attempts,
    which were preempted, held GPUs. `gpus` counts boards, of which it had `gpu_milli` thousandths each, limited to
    `limit_w` watts each (None: to their own limit). `ready_s` is when the jobs were over after which it runs.
    """

    job_id: str
    attempt: int
    gpu_type: str
    gpus: int
    submit_s: float
    start_s: float
    end_s: float
    runtime_s: float
    energy_kwh: float
    served_s: float = 0.0
    gpu_milli: int = WHOLE
    limit_w: float | None = None
    ready_s: float = 0.0

    @property
    def gpu_s(self) -> float:
        """GPUs times seconds, a share as a fraction."""
        return self.gpus * self.runtime_s if self.gpu_milli == WHOLE else self.gpu_milli * self.runtime_s / WHOLE

    @property
    def wait_s(self) -> float:
        """Seconds that the job has waited in all by the start of this attempt, those for other jobs' ends aside."""
        wait_s = self.start_s - (self.submit_s if self.submit_s >= self.ready_s else self.ready_s)
        return max(0.0, wait_s - self.served_s) if self.served_s else wait_s

    def cut(self, now_s: float, left_kwh: float | None) -> "Placement":
        """It gave its boards back; `left_kwh` is what it would still have used, None where its watts never changed."""
        start_s = min(self.start_s, now_s)  # its nodes may still be waking up
        held_s = now_s - start_s
        used_kwh = self.energy_kwh * (held_s / self.runtime_s) if left_kwh is None else self.energy_kwh - left_kwh
        return structs.replace(self, start_s=start_s, end_s=now_s, runtime_s=held_s, energy_kwh=used_kwh)

    def limited_anew(self, limit_w: float | None, end_s: float, more_kwh: float) -> "Placement":
        """It goes on under another limit until then, and uses so much more in all."""
        return structs.replace(
            self,
            limit_w=limit_w,
            end_s=end_s,
            runtime_s=end_s - self.start_s,
            energy_kwh=self.energy_kwh + more_kwh,
        )


@dataclass(frozen=True, kw_only=True)  # no slots: `events` is kept once it is made
class Run:
    """What a simulation did: every placement in the order decided, jobs refused (why), and the log of events.

    `log` may be read again and again, and may make its events anew each time. `sleeping` says what its nodes did where
    they were watched.
    """

    policy: str
    inventory: Mapping[str, int]
    placements: tuple[Placement, ...]
    refused: Mapping[str, str]
    log: Iterable[Event]
    sleeping: Sleeping | None = None

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """Every event taken in, in order; made when it is first asked for."""
        return tuple(self.log)
