"""Predictions for GPU types of the catalogue from a dry run: the device model, its intervals, power and scaling.

Everything here is modelled. A type without a measurement is predicted from its specification sheet.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from typing import Self

from kilowait.core.gpu_type import GpuType
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import Prediction
from kilowait.core.units import JOULES_PER_KWH
from kilowait.predict.device_model import scaling
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dry_runs import FEATURES
from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.evaluations import COUNTED, evaluation_share
from kilowait.predict.operations import OperationsModel, RunTime
from kilowait.predict.power.draw_shares import DrawShares
from kilowait.predict.power.power_model import PowerModel

GRADIENT_BYTES = 4.0
"""Of one number that a program learns, as the GPUs exchange it."""


class GpuPredictor(OperationsModel):
    """The device model for types of the catalogue: run time, energy, several GPUs."""

    @classmethod
    def load_default(cls) -> Self:
        """The one that comes with kilowait; raises ModelError when this installation has none."""
        with resources.as_file(resources.files("kilowait") / "data" / "device_model") as folder:
            return cls.load(folder)

    def predict(self, run: DryRun, gpu_types: Sequence[str], gpus: int = 1) -> dict[str, Prediction]:
        """The program of a usable dry run on `gpus` GPUs of each canonical type, with intervals and power limits.

        Several GPUs are data parallel (`scaling`); an interval is scaled as the run time is. A program that was run dry
        as one rank of several takes as many GPUs as it has ranks, whatever `gpus` says.
        """
        boards = [GPU_TYPES[name] for name in gpu_types]
        sheets = [Specification.of(board) for board in boards]
        shares, power = DrawShares.of(self.model, [run], sheets), PowerModel.load_default()
        watts = power.watts(shares.features(sheets), sheets)[0].tolist()
        computing = (shares.arithmetic + shares.recurrent)[0].tolist()
        found = dict[str, Prediction]()
        columns = zip(boards, sheets, self.run_times(run, sheets), watts, computing, strict=True)
        for board, sheet, run_time, draw_w, arithmetic in columns:
            seconds, energy_j = self._expected(run, board, sheet, gpus, run_time, draw_w)
            told = self._told(power, board.name, seconds, energy_j)
            found[board.name] = replace(
                told,
                limits=power.limits(told, sheet, draw_w, arithmetic),
                steps=run.steps if run.completeness in COUNTED else 0.0,
                beside=evaluation_share(run, sheet),
            )
        return found

    def _expected(
        self, run: DryRun, board: GpuType, sheet: Specification, gpus: int, run_time: RunTime, draw_w: float
    ) -> tuple[RunTime, float]:
        """Seconds, and joules of all GPUs."""
        link = link_of(board)
        if run.world > 1:
            return self._of_a_rank(run, board, sheet, run_time, draw_w)
        single_gpu = scaling.SingleGpuRun(
            runtime_s=run_time.runtime_s, steps=run.steps, gradient_bytes=GRADIENT_BYTES * run.parameters
        )
        seconds = self.around(run, board.name, scaling.parallel_runtime_s(single_gpu, gpus, link), run_time.sigma)
        return seconds, scaling.parallel_energy_j(single_gpu, draw_w, sheet.idle_w, gpus, link)

    def _of_a_rank(
        self, run: DryRun, board: GpuType, sheet: Specification, run_time: RunTime, draw_w: float
    ) -> tuple[RunTime, float]:
        """A distributed program, run dry as one rank: its own work and exchanges, and the energy of all ranks."""
        link = link_of(board)
        messages = [scaling.Message(op=e.op, bytes=e.bytes, count=e.count, ranks=e.ranks) for e in run.exchanges]
        waiting_s = scaling.waiting_s(messages, run_time.runtime_s, link)
        seconds = self.around(run, board.name, run_time.runtime_s + waiting_s, run_time.sigma)
        return seconds, run.world * (draw_w * run_time.runtime_s + sheet.idle_w * waiting_s)

    def _told(self, power: PowerModel, gpu_type: str, seconds: RunTime, energy_j: float) -> Prediction:
        """The interval of the energy: that of the run time and that of the power, with the correlation of the two."""
        energy_kwh = energy_j / JOULES_PER_KWH
        below = power.half_width(gpu_type, math.log(seconds.runtime_s / seconds.low_s))
        above = power.half_width(gpu_type, math.log(seconds.high_s / seconds.runtime_s))
        return Prediction(
            runtime_s=seconds.runtime_s,
            energy_kwh=energy_kwh,
            runtime_low_s=seconds.low_s,
            runtime_high_s=seconds.high_s,
            energy_low_kwh=energy_kwh * math.exp(-below),
            energy_high_kwh=energy_kwh * math.exp(above),
            probe_version=self.version,
            features=FEATURES,
        )


def link_of(board: GpuType) -> scaling.Link:
    """NVLink for boards on high-bandwidth memory, which come in NVLink servers as the catalogue has them, else PCIe.

    AMD's Infinity Fabric counts as NVLink; MIG slices reach each other over PCIe at best.
    """
    cards = ("H100-PCIe", "A30", "MI100", "MI210")
    has_nvlink = board.memory_kind.startswith("HBM") and board.name not in cards and board.slice_of is None
    return scaling.NVLINK if has_nvlink else scaling.PCIE
