"""Predictions for GPU types of the catalogue from a dry run: the device model, its intervals, power and scaling.

Everything here is modelled. A type without a measurement is predicted from its specification sheet.
"""

from collections.abc import Sequence
from importlib import resources
from typing import Self

from kilowait.core.gpu_type import GpuType
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import Prediction
from kilowait.core.units import JOULES_PER_KWH
from kilowait.predict.device_model import scaling
from kilowait.predict.device_model.power import power_w
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dry_runs import FEATURES
from kilowait.predict.dryrun.record import Completeness, DryRun
from kilowait.predict.evaluations import evaluation_share
from kilowait.predict.operations import OperationsModel, RunTime

GRADIENT_BYTES = 4.0
"""Of one number that a program learns, as the GPUs exchange it."""


COUNTED = (Completeness.WHOLE, Completeness.GUESSED)
"""Dry runs whose number of steps is that of the program."""


class GpuPredictor(OperationsModel):
    """The device model for types of the catalogue: run time, energy, several GPUs."""

    @classmethod
    def load_default(cls) -> Self:
        """The one that comes with kilowait; raises ModelError when this installation has none."""
        with resources.as_file(resources.files("kilowait") / "data" / "device_model") as folder:
            return cls.load(folder)

    def predict(self, run: DryRun, gpu_types: Sequence[str], gpus: int = 1) -> dict[str, Prediction]:
        """The program of a usable dry run on `gpus` GPUs of each canonical type; energy has no interval: none is known.

        Several GPUs are data parallel (`scaling`); an interval is scaled as the run time is. A program that was run dry
        as one rank of several takes as many GPUs as it has ranks, whatever `gpus` says.
        """
        boards = [GPU_TYPES[name] for name in gpu_types]
        sheets = [Specification.of(board) for board in boards]
        watts = power_w(self.model, [run], sheets)[0].tolist()
        return {
            board.name: self._prediction(run, board, sheet, gpus, run_time, draw)
            for board, sheet, run_time, draw in zip(boards, sheets, self.run_times(run, sheets), watts, strict=True)
        }

    def _prediction(
        self, run: DryRun, board: GpuType, sheet: Specification, gpus: int, run_time: RunTime, draw_w: float
    ) -> Prediction:
        single_gpu = scaling.SingleGpuRun(
            runtime_s=run_time.runtime_s, steps=run.steps, gradient_bytes=GRADIENT_BYTES * run.parameters
        )
        link = link_of(board)
        if run.world > 1:
            return self._of_a_rank(run, board, sheet, run_time, draw_w)
        seconds = self.around(run, board.name, scaling.parallel_runtime_s(single_gpu, gpus, link), run_time.sigma)
        energy_j = scaling.parallel_energy_j(single_gpu, draw_w, sheet.idle_w, gpus, link)
        return self._told(run, sheet, seconds, energy_j)

    def _of_a_rank(
        self, run: DryRun, board: GpuType, sheet: Specification, run_time: RunTime, draw_w: float
    ) -> Prediction:
        """A distributed program, run dry as one rank: its own work and exchanges, and the energy of all ranks."""
        link = link_of(board)
        messages = [scaling.Message(op=e.op, bytes=e.bytes, count=e.count, ranks=e.ranks) for e in run.exchanges]
        waiting_s = scaling.waiting_s(messages, run_time.runtime_s, link)
        seconds = self.around(run, board.name, run_time.runtime_s + waiting_s, run_time.sigma)
        energy_j = run.world * (draw_w * run_time.runtime_s + sheet.idle_w * waiting_s)
        return self._told(run, sheet, seconds, energy_j)

    def _told(self, run: DryRun, sheet: Specification, seconds: RunTime, energy_j: float) -> Prediction:
        return Prediction(
            runtime_s=seconds.runtime_s,
            energy_kwh=energy_j / JOULES_PER_KWH,
            runtime_low_s=seconds.low_s,
            runtime_high_s=seconds.high_s,
            probe_version=self.version,
            features=FEATURES,
            steps=run.steps if run.completeness in COUNTED else 0.0,
            beside=evaluation_share(run, sheet),
        )


def link_of(board: GpuType) -> scaling.Link:
    """NVLink for boards on high-bandwidth memory, which come in NVLink servers as the catalogue has them, else PCIe.

    AMD's Infinity Fabric counts as NVLink; MIG slices reach each other over PCIe at best.
    """
    cards = ("H100-PCIe", "A30", "MI100", "MI210")
    has_nvlink = board.memory_kind.startswith("HBM") and board.name not in cards and board.slice_of is None
    return scaling.NVLINK if has_nvlink else scaling.PCIE
