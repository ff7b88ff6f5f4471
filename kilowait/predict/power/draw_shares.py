"""What keeps a board busy while a program runs, as the power model reads it: shares of the run time, from a dry run.

A kernel that does next to nothing takes its least time all the same and draws next to nothing, so that part of the busy
time stands apart. Recurrent layers stand apart too: their many small products keep few multiprocessors busy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.hardware import GPU_TYPES
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.roofline import LAUNCH_S, compute_share, device_seconds
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.workload import Workload
from kilowait.predict.dryrun.record import DryRun

FEATURES = 7
"""Of a program on a board: arithmetic, recurrent layers, memory, least times, waiting, and two of the board."""
DENSITY = math.log(14e12 / 250)
"""Half-precision FLOP/s a watt of the limit (logarithm) from which boards are counted: a V100 without tensor cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawShares:
    """Shares of the run time of P programs on D boards (P, D); they add up to one with what is left, waiting."""

    arithmetic: FloatArray
    recurrent: FloatArray
    memory: FloatArray
    least: FloatArray

    @classmethod
    def of(cls, model: DeviceModel, dry_runs: Sequence[DryRun], devices: Sequence[Specification]) -> "DrawShares":
        """Shares as the device model times the operations."""
        load = Workload.of(dry_runs, reading=model.reading)
        busy, columns = model.totals(load, devices).busy, load.columns
        is_recurrent = np.array([work.group.startswith("recurrent") for work in columns.works])
        parts = []
        for j, device in enumerate(devices):
            seconds = device_seconds(columns, device, tf32=model.tf32)
            least = np.where(columns.kernels > 0, LAUNCH_S * columns.kernels / seconds, 0.0)
            computing = compute_share(columns, device, tf32=model.tf32) * ~is_recurrent
            moving = np.where(is_recurrent, 0.0, 1 - computing)
            shares = (computing * (1 - least), is_recurrent * (1 - least), moving * (1 - least), least)
            parts.append([load.added(busy[:, j] * share[load.work]) for share in shares])
        arithmetic, recurrent, memory, least_time = np.moveaxis(np.array(parts), 0, 2)
        return cls(arithmetic=arithmetic, recurrent=recurrent, memory=memory, least=least_time)

    @property
    def working(self) -> FloatArray:
        """Shares of the time in which operations do something (P, D)."""
        return self.arithmetic + self.recurrent + self.memory

    def kept_from_waiting(self) -> "DrawShares":
        """The same where the host never keeps the board waiting: launches are recorded once and replayed."""
        return self._times(1 / (self.working + self.least))

    def with_bubbles(self, share: float) -> "DrawShares":
        """The same where a share of the time is spent waiting for other boards."""
        return self._times(np.full_like(self.least, 1 - share))

    def _times(self, factor: FloatArray) -> "DrawShares":
        return DrawShares(
            arithmetic=self.arithmetic * factor,
            recurrent=self.recurrent * factor,
            memory=self.memory * factor,
            least=self.least * factor,
        )

    def features(self, devices: Sequence[Specification]) -> FloatArray:
        """What the draw is a sum over (P, D, FEATURES).

        The last two: time without work on a board whose memory is GDDR, which is clocked up while a program is there,
        and work on a board by how many FLOP/s it has a watt, since dense boards run into their limit.
        """
        on_gddr = np.array([GPU_TYPES[d.name].memory_kind.startswith("GDDR") for d in devices], dtype=np.float64)
        density = np.array([math.log(d.half_flops / d.peak_w) - DENSITY for d in devices])
        waiting = 1 - self.working - self.least
        columns = [self.arithmetic, self.recurrent, self.memory, self.least, waiting]
        return np.stack([*columns, on_gddr * (1 - self.working), density * self.working], axis=2)
