"""The boards that an attempt was given, and what the attempt drew from them.

Where NVML answers, each board is metered by its UUID, and the job is shown these UUIDs and no others. Where the boards
are there but no meter is (no right to ask, a board shared with others), energy is an estimate: the published peak power
of the type times the measured time, so an upper bound. Where there is no NVIDIA driver at all, the boards are a test's,
and every number is marked as pretended.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from kilowait.core.errors import MeterError
from kilowait.core.hardware import GPU_TYPES, canonical
from kilowait.core.jobs import Measurement, Provenance
from kilowait.core.submission import Ending
from kilowait.core.units import WHOLE
from kilowait.measure.board_limits import BoardLimits
from kilowait.measure.meters import Meter
from kilowait.measure.nvml import NvmlMeter, boards, device_files, load_nvml
from kilowait.measure.outcome import RunOutcome

BY_SIGNAL = 128
"""From this exit code on shells, and engines of containers, say that a signal ended what they ran."""


@dataclass(slots=True, kw_only=True)
class Allotment:
    """Boards of one type on one node; `gpu_ids` are UUIDs, or the scheduler's names where there is no driver.

    `devices` are their device files, as far as NVML tells them.
    """

    gpu_type: str
    gpu_milli: int
    gpu_ids: tuple[str, ...]
    pretended: bool
    meters: Sequence[Meter] = field(default_factory=tuple)
    watch: Callable[[], float] | None = None
    devices: tuple[str, ...] = ()
    limits: BoardLimits | None = None
    limit_w: float | None = None

    def limit(self, limit_w: float | None) -> None:
        """Limit each board to so many watts, None for its own limit; raises MeterError where that cannot be done.

        A test's boards are limited in what they say that they draw.
        """
        if self.limits is not None and self.gpu_milli == WHOLE:
            self.limits.set(limit_w)
        self.limit_w = limit_w

    def power_w(self) -> tuple[float, Provenance] | None:
        """Watts of all boards at this moment, None where they cannot be read; a test's boards draw their peak."""
        if self.pretended:
            board_w = min(_peak_w(self.gpu_type), self.limit_w or inf)
            return board_w * len(self.gpu_ids) * self.gpu_milli / WHOLE, Provenance.PRETENDED
        try:
            return (self.watch(), Provenance.MEASURED) if self.watch is not None else None
        except MeterError:
            return None

    def start(self) -> None:
        """Begin to watch; boards that do not answer are estimated."""
        try:
            for meter in self.meters:
                meter.start()
        except MeterError:
            self.meters = ()

    def ending(self, outcome: RunOutcome, job_id: str, attempt: int) -> Ending:
        """What an attempt took, charged from the start of its process to its end."""
        runtime_s = outcome.ended_s - outcome.forked_s
        energy_j, provenance, meter, memory = self._read(outcome, runtime_s)
        measurement = Measurement(
            job_id=job_id,
            attempt=attempt,
            gpu_type=self.gpu_type,
            runtime_s=runtime_s,
            energy_j=energy_j,
            runtime_provenance=Provenance.PRETENDED if self.pretended else Provenance.MEASURED,
            energy_provenance=provenance,
        )
        return Ending(
            exit_code=outcome.exit_code,
            reason=outcome.failure,
            preempted=outcome.preempted,
            checkpointed=outcome.preempted and 0 <= outcome.exit_code < BY_SIGNAL,
            measurement=measurement,
            meter=meter,
            gpu_ids=self.gpu_ids,
            peak_memory_bytes=outcome.peak_memory_bytes,
            gpu_memory_bytes=memory,
        )

    def _read(self, outcome: RunOutcome, runtime_s: float) -> tuple[float, Provenance, str, int | None]:
        """(joules, how they were had, by what, peak memory of a board)."""
        with contextlib.suppress(MeterError):  # the run happened: it is estimated instead
            readings = [meter.finish(outcome) for meter in self.meters]
            joules = [reading.energy_j for reading in readings if reading.energy_j is not None]
            if readings and len(joules) == len(readings):
                memory = max((r.peak_memory_bytes for r in readings if r.peak_memory_bytes is not None), default=None)
                return sum(joules), readings[0].provenance, readings[0].meter, memory
        watts = _peak_w(self.gpu_type) * len(self.gpu_ids) * self.gpu_milli / WHOLE
        provenance = Provenance.PRETENDED if self.pretended else Provenance.ESTIMATED
        return watts * runtime_s, provenance, "pretended" if self.pretended else "peak-power-times-time", None


def allot(gpu_type: str, gpu_milli: int, given: Sequence[str], nvml: Any = None) -> Allotment:
    """The boards behind the ids that a resource manager gave: NVML's indices or UUIDs."""
    try:
        nvml = nvml or load_nvml()
    except MeterError:
        return Allotment(gpu_type=gpu_type, gpu_milli=gpu_milli, gpu_ids=tuple(given), pretended=True)
    uuids = tuple(_uuid(nvml, name) for name in given)
    meters: list[NvmlMeter] = []
    if gpu_milli == WHOLE:  # what a shared board draws cannot be told apart
        with contextlib.suppress(MeterError):
            meters = [NvmlMeter(nvml, uuid) for uuid in uuids]
    watch = (lambda: sum(meter.sample().power_w for meter in meters)) if meters else None
    devices: tuple[str, ...] = ()
    with contextlib.suppress(MeterError):
        devices = device_files(nvml, uuids)
    return Allotment(
        gpu_type=gpu_type,
        gpu_milli=gpu_milli,
        gpu_ids=uuids,
        pretended=False,
        meters=meters,
        watch=watch,
        devices=devices,
        limits=BoardLimits(nvml, uuids),
    )


def _uuid(nvml: Any, name: str) -> str:
    """The UUID of a board; an index is NVML's, which counts by bus."""
    return boards(nvml)[int(name)].device_id if name.isdigit() else name


def _peak_w(gpu_type: str) -> float:
    return GPU_TYPES[canonical(gpu_type)].peak_w
