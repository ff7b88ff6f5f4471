"""What flows through kilowait: jobs, predictions and measurements."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from msgspec import Struct

from kilowait.core.errors import InputError
from kilowait.core.units import WHOLE

INTERVAL_COVERAGE = 0.9
"""How often a prediction interval holds the truth: its ends are the 5% and 95% quantiles of what is expected."""
LEAST_LIMIT_W = 100.0
"""Drivers take no lower power limit, but on boards whose own is lower."""
OVER = frozenset({"finished", "failed", "cancelled"})
"""The states that a job never leaves."""


class Provenance(StrEnum):
    """How a number was had. It travels with the number into every table and chart."""

    MEASURED = "measured"  # a meter or a clock read it
    ESTIMATED = "estimated"  # computed from a measured quantity and a constant (power times time)
    MODELLED = "modelled"  # predicted or simulated, never observed
    PRETENDED = "pretended"  # a test's stand-in
    ASKED = "asked"  # whoever asked for a job said so


class PowerLimit(Struct, frozen=True, kw_only=True, gc=False):
    """What is expected of a job whose boards are limited to `limit_w` watts each: seconds, and kWh over all of them."""

    limit_w: float
    runtime_s: float
    energy_kwh: float

    def scaled(self, seconds: float, kwh: float) -> "PowerLimit":
        """The same with both expectations times a factor."""
        return PowerLimit(limit_w=self.limit_w, runtime_s=self.runtime_s * seconds, energy_kwh=self.energy_kwh * kwh)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What is expected of one job on one GPU type (paper section 3: t_ij and e_ij).

    `energy_kwh` is the whole job over all its GPUs, in kWh because kappa and gamma are per kWh: a detour over
    joules would round, and equal values would stop being ties. The lows and highs are the ends of prediction
    intervals that cover the truth with a probability of `INTERVAL_COVERAGE`, as much missing below as above; both
    ends are None where the predictor gives no interval. `limits` is what power limits would make of it, the board's
    own first; `limit_w` is the limit that this prediction itself is of, None for no other than the board's own.
    `steps` are the optimizer steps of the whole job, and `beside` the share of its time that it spends beside them;
    both are 0 where they are not known.
    """

    runtime_s: float
    energy_kwh: float
    runtime_low_s: float | None = None
    runtime_high_s: float | None = None
    energy_low_kwh: float | None = None
    energy_high_kwh: float | None = None
    probe_version: str = ""
    features: str = ""
    other: Mapping[str, float] = field(default_factory=dict)
    limits: tuple[PowerLimit, ...] = ()
    limit_w: float | None = None
    steps: float = 0.0
    beside: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.runtime_s) and self.runtime_s > 0):
            raise InputError(f"a prediction's runtime_s must be finite and > 0, got {self.runtime_s!r}")
        if not (math.isfinite(self.energy_kwh) and self.energy_kwh >= 0):
            raise InputError(f"a prediction's energy_kwh must be finite and >= 0, got {self.energy_kwh!r}")
        _check_interval("runtime_s", self.runtime_low_s, self.runtime_s, self.runtime_high_s)
        _check_interval("energy_kwh", self.energy_low_kwh, self.energy_kwh, self.energy_high_kwh)

    def times(self, ratio: float) -> "Prediction":
        """What is expected of a job that takes `ratio` times as long, at the same power."""
        return self.scaled(ratio, ratio)

    def scaled(self, seconds: float, kwh: float) -> "Prediction":
        """The same with its times and its energies, their ends and its limits, times a factor each."""

        def more(number: float | None, factor: float) -> float | None:
            return None if number is None else number * factor

        return replace(
            self,
            runtime_s=self.runtime_s * seconds,
            energy_kwh=self.energy_kwh * kwh,
            runtime_low_s=more(self.runtime_low_s, seconds),
            runtime_high_s=more(self.runtime_high_s, seconds),
            energy_low_kwh=more(self.energy_low_kwh, kwh),
            energy_high_kwh=more(self.energy_high_kwh, kwh),
            limits=tuple(limit.scaled(seconds, kwh) for limit in self.limits),
        )

    def under(self, limit_w: float | None) -> "Prediction":
        """What is expected with boards limited to so many watts, between two known limits in proportion.

        Above the highest known limit it is that one, below the lowest the watts stay on the limit and the slow-down
        grows as they fall. None, or a prediction without `limits`, changes nothing.
        """
        if limit_w is None or not self.limits or limit_w == self.limit_w:
            return self
        runtime_s, energy_kwh = _between(self.limits, limit_w)
        ratio, joules = runtime_s / self.runtime_s, energy_kwh / self.energy_kwh if self.energy_kwh else 1.0
        told = replace(self, limits=()).scaled(ratio, joules)
        return replace(told, runtime_s=runtime_s, energy_kwh=energy_kwh, limits=self.limits, limit_w=limit_w)

    def figures_under(self, limit_w: float) -> tuple[float, float]:
        """Seconds and kWh of `under`, for whoever needs no more."""
        is_known = not self.limits or limit_w == self.limit_w
        return (self.runtime_s, self.energy_kwh) if is_known else _between(self.limits, limit_w)

    @property
    def steady_s(self) -> float:
        """Seconds that it all takes under the limit of now; `runtime_s` is of a run under several."""
        return self.runtime_s if self.limit_w is None or not self.limits else _between(self.limits, self.limit_w)[0]

    def limited_anew(self, limit_w: float | None, after_s: float) -> "Prediction":
        """What is expected of a run whose boards have another limit from `after_s` seconds on, None for their own.

        What is left then goes on at the pace and the watts of the new limit. Without `limits` it changes nothing.
        """
        if not self.limits:
            return self
        left_s, old_s = max(0.0, self.runtime_s - after_s), self.steady_s
        new_w = self.limits[0].limit_w if limit_w is None else limit_w
        new_s, new_kwh = _between(self.limits, new_w)
        runtime_s = self.runtime_s - left_s + left_s / old_s * new_s
        energy_kwh = self.energy_kwh * (1 - left_s / self.runtime_s) + left_s / old_s * new_kwh
        scaled = self.scaled(runtime_s / self.runtime_s, energy_kwh / self.energy_kwh if self.energy_kwh else 1.0)
        return replace(scaled, runtime_s=runtime_s, energy_kwh=energy_kwh, limits=self.limits, limit_w=new_w)

    def left(self, remaining: float, restart_s: float) -> "Prediction":
        """What is expected of the rest of a job: `remaining` of its work, after `restart_s` seconds of restarting.

        The power is that of the job throughout, restarting too.
        """

        def rest(seconds: float | None) -> float | None:
            return None if seconds is None else restart_s + remaining * seconds

        def share(kwh: float | None, seconds: float) -> float | None:
            return None if kwh is None else kwh * ((restart_s + remaining * seconds) / seconds)

        return replace(
            self,
            runtime_s=restart_s + remaining * self.runtime_s,
            energy_kwh=self.energy_kwh * ((restart_s + remaining * self.runtime_s) / self.runtime_s),
            runtime_low_s=rest(self.runtime_low_s),
            runtime_high_s=rest(self.runtime_high_s),
            energy_low_kwh=share(self.energy_low_kwh, self.runtime_s),
            energy_high_kwh=share(self.energy_high_kwh, self.runtime_s),
            limits=tuple(
                PowerLimit(
                    limit_w=limit.limit_w,
                    runtime_s=restart_s + remaining * limit.runtime_s,
                    energy_kwh=limit.energy_kwh * ((restart_s + remaining * limit.runtime_s) / limit.runtime_s),
                )
                for limit in self.limits
            ),
        )


def time_provenance(prediction: Prediction) -> Provenance:
    """How the run time of a prediction was had: that of a shell is what was asked for, and no model said it."""
    return Provenance.ASKED if prediction.features == Provenance.ASKED else Provenance.MODELLED


def _between(limits: Sequence[PowerLimit], limit_w: float) -> tuple[float, float]:
    """Seconds and kWh at a limit of a curve whose limits fall."""
    above = limits[0]
    if limit_w >= above.limit_w:
        return above.runtime_s, above.energy_kwh
    for below in limits[1:]:
        if limit_w >= below.limit_w:
            part = (above.limit_w - limit_w) / (above.limit_w - below.limit_w)
            runtime_s = above.runtime_s + part * (below.runtime_s - above.runtime_s)
            return runtime_s, above.energy_kwh + part * (below.energy_kwh - above.energy_kwh)
        above = below
    return above.runtime_s * above.limit_w / limit_w, above.energy_kwh


def _check_interval(name: str, low: float | None, point: float, high: float | None) -> None:
    """Raises InputError unless both ends are missing or 0 < low <= point <= high < infinity."""
    if low is None and high is None:
        return
    if low is None or high is None:
        raise InputError(f"a prediction's interval of {name} needs both ends or none, got {low!r} and {high!r}")
    if not (0 < low <= point <= high < math.inf):
        raise InputError(
            f"a prediction's interval of {name} must be finite, > 0 and around {point!r}, got {low!r} to {high!r}"
        )


class ArrayTask(Struct, frozen=True, kw_only=True, gc=False):
    """The task of this number of a job array, of which at most `at_once` tasks run at a time, None for any number."""

    array_id: str
    task: int
    at_once: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as submitted.

    `gpus` is how many GPUs it takes, `gpus_by_type` the types where that differs (a_ij). `allowed` names the GPU types
    it may use, None for any that it has a prediction for. `memory_bytes` is what it needs on each GPU, None when
    unknown. `gpu_milli` is the share of its one board that it takes, in thousandths; only a job of one GPU may take
    less than a whole one. With `one_node` all its GPUs come from one node. `user` is whose job it is, None when nobody
    is named; of two jobs the one of the larger `priority` is the more urgent, for policies that look at it.
    `checkpoint_s` is how many seconds it takes to go on from a checkpoint, None for a job that cannot be preempted.
    `array` says of which job array it is a task, None for a job by itself.
    `slack_s` is for how long after its submission it may be kept waiting for cheaper hours, `deadline_s` when it shall
    be done; None where nothing is said. It runs once the jobs `after` have ended well, with `after_any` in any way.
    """

    job_id: str
    submit_s: float
    gpus: int = 1
    gpus_by_type: Mapping[str, int] = field(default_factory=dict)
    allowed: frozenset[str] | None = None
    memory_bytes: int | None = None
    gpu_milli: int = WHOLE
    one_node: bool = False
    content_hash: str = ""
    user: str | None = None
    priority: int = 0
    checkpoint_s: float | None = None
    array: ArrayTask | None = None
    slack_s: float | None = None
    deadline_s: float | None = None
    after: tuple[str, ...] = ()
    after_any: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.submit_s) and self.submit_s >= 0):
            raise InputError(f"{self._named}: submit_s must be finite and >= 0, got {self.submit_s!r}")
        for name, count in (("gpus", self.gpus), *self.gpus_by_type.items()):
            if count < 1:
                raise InputError(f"{self._named}: {name} must be >= 1, got {count!r}")
        if self.gpu_milli != WHOLE:
            self._check_share()
        if self.memory_bytes is not None and self.memory_bytes < 0:
            raise InputError(f"{self._named}: memory_bytes must be >= 0, got {self.memory_bytes!r}")
        for name in ("checkpoint_s", "slack_s", "deadline_s"):
            if (seconds := getattr(self, name)) is not None and not 0 <= seconds < math.inf:
                raise InputError(f"{self._named}: {name} must be finite and >= 0, got {seconds!r}")

    @property
    def _named(self) -> str:
        """What a message calls it: one that has not been accepted has no id."""
        return f"job {self.job_id}" if self.job_id else "the job"

    def gpus_on(self, gpu_type: str) -> int:
        """The boards on which this job runs on `gpu_type`: a share counts as one."""
        return self.gpus_by_type.get(gpu_type, self.gpus)

    def milli_on(self, gpu_type: str) -> int:
        """Thousandths of GPUs that this job takes on `gpu_type`."""
        return self.gpu_milli * self.gpus_by_type.get(gpu_type, self.gpus)

    def amount_on(self, gpu_type: str) -> float:
        """a_ij: the GPUs this job takes on `gpu_type`, a share as a fraction."""
        if self.gpu_milli == WHOLE:
            return self.gpus_by_type.get(gpu_type, self.gpus)
        return self.gpu_milli / WHOLE

    def _check_share(self) -> None:
        if not 1 <= self.gpu_milli <= WHOLE:
            raise InputError(f"{self._named}: gpu_milli must be from 1 to {WHOLE}, got {self.gpu_milli!r}")
        for name, count in (("gpus", self.gpus), *self.gpus_by_type.items()):
            if count != 1:
                raise InputError(f"{self._named}: gpu_milli {self.gpu_milli} is of one GPU, but {name} is {count}")


class Held(Struct, frozen=True, kw_only=True, gc=False):
    """`gpus` whole boards of a node, or, with `board`, a share of that node's shared board of that number."""

    node: str
    gpus: int = 1
    board: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one finished attempt of a job really took, and how each number was had."""

    job_id: str
    attempt: int
    gpu_type: str
    runtime_s: float
    energy_j: float
    runtime_provenance: Provenance
    energy_provenance: Provenance
