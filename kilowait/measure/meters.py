"""Meters: what a run cost in energy, and how that is known.

A meter is started before a run and finished with the run's outcome, whose clock values bound the window that is
charged: the script itself, without the start of Python. Not covered: the host's own power beside a GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from kilowait.core.errors import InputError, MeterError
from kilowait.core.jobs import Provenance
from kilowait.measure.outcome import RunOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSample:
    """One look at a board: power in watts, its running energy counter in joules, memory in use in bytes."""

    at_s: float
    power_w: float
    energy_j: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """Energy of the window, mean and peak power, peak memory; None where the meter cannot know."""

    energy_j: float | None
    power_mean_w: float | None
    power_peak_w: float | None
    peak_memory_bytes: int | None
    provenance: Provenance
    meter: str


class Meter(Protocol):
    """Something that can say what a run cost."""

    def start(self) -> None:
        """Begin to watch; raises MeterError when the hardware does not answer."""

    def finish(self, outcome: RunOutcome) -> MeterReading:
        """Stop watching and charge the outcome's window; raises MeterError."""


def _between(a: PowerSample, b: PowerSample, at_s: float) -> PowerSample:
    share = (at_s - a.at_s) / (b.at_s - a.at_s)
    energy_j = None
    if a.energy_j is not None and b.energy_j is not None:
        energy_j = a.energy_j + share * (b.energy_j - a.energy_j)
    return PowerSample(at_s=at_s, power_w=a.power_w + share * (b.power_w - a.power_w), energy_j=energy_j)


def _at(samples: Sequence[PowerSample], at_s: float) -> PowerSample:
    """The trace at an instant, straight lines between samples; raises MeterError outside of it."""
    for a, b in pairwise(samples):
        if a.at_s <= at_s <= b.at_s and a.at_s < b.at_s:
            return _between(a, b, at_s)
    raise MeterError(f"no power samples around {at_s:.3f} s: the sampler stopped or started too late")


def clip(samples: Sequence[PowerSample], start_s: float, end_s: float) -> list[PowerSample]:
    """The trace within a window, with interpolated samples on both edges; raises MeterError if not covered."""
    inside = [s for s in samples if start_s < s.at_s < end_s]
    return [_at(samples, start_s), *inside, _at(samples, end_s)]


def integrate_j(samples: Sequence[PowerSample]) -> float:
    """Energy in joules under the power samples by the trapezoid rule."""
    return sum((b.at_s - a.at_s) * (a.power_w + b.power_w) / 2 for a, b in pairwise(samples))


def read_trace(
    samples: Sequence[PowerSample], start_s: float, end_s: float, *, provenance: Provenance, prefix: str
) -> MeterReading:
    """Charge a window of a trace: by the energy counter where every sample has one, else by integrating power."""
    window = clip(samples, start_s, end_s)
    first, last = window[0].energy_j, window[-1].energy_j
    has_counter = first is not None and last is not None
    energy_j = last - first if first is not None and last is not None else integrate_j(window)
    memory_readings = [s.memory_bytes for s in samples if s.memory_bytes is not None]
    return MeterReading(
        energy_j=energy_j,
        power_mean_w=energy_j / (end_s - start_s),
        power_peak_w=max(s.power_w for s in window),
        peak_memory_bytes=max(memory_readings, default=None),
        provenance=provenance,
        meter=f"{prefix}-energy-counter" if has_counter else f"{prefix}-power-sampling",
    )


def window_of(outcome: RunOutcome) -> tuple[float, float]:
    """What a meter charges: the script's first line to the exit; from the fork where it never began."""
    return (outcome.forked_s if outcome.started_s is None else outcome.started_s), outcome.ended_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantPowerMeter:
    """CPU energy as an estimate: a constant power for each core, busy or idle, times measured time.

    `watts_per_core` is an assumption, not a reading: 10 W is a nominal server part (240 W over 24 cores), and an
    idle core is taken to draw `idle_share` of it. energy = watts * (idle_share * cores * wall + (1 - idle_share) *
    CPU time). There is no peak: nothing was observed.
    """

    cores: int
    watts_per_core: float = 10.0
    idle_share: float = 0.3

    def __post_init__(self) -> None:
        if not self.watts_per_core > 0:
            raise InputError(f"watts per core must be > 0, got {self.watts_per_core!r}")

    def start(self) -> None:
        """Nothing to watch."""

    def finish(self, outcome: RunOutcome) -> MeterReading:
        """Estimate from the wall time of the script and the CPU time of its process."""
        start_s, end_s = window_of(outcome)
        wall_s = end_s - start_s
        busy_s = min(outcome.cpu_s, self.cores * wall_s)
        mean_cores = self.idle_share * self.cores * wall_s + (1 - self.idle_share) * busy_s
        energy_j = self.watts_per_core * mean_cores
        return MeterReading(
            energy_j=energy_j,
            power_mean_w=energy_j / wall_s,
            power_peak_w=None,
            peak_memory_bytes=outcome.peak_memory_bytes,
            provenance=Provenance.ESTIMATED,
            meter="cpu-constant-power",
        )
