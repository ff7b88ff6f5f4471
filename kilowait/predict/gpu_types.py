"""Predictions for GPU types of the catalogue from a dry run: the device model, its intervals, power and scaling.

Everything here is modelled. A type without a measurement is predicted from its specification sheet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np

from kilowait.errors import ModelError
from kilowait.hardware import CATALOGUE, GpuType
from kilowait.jobs import JOULES_PER_KWH, Prediction
from kilowait.predict.device_model import scaling, store
from kilowait.predict.device_model.calibration import Calibration
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.power import power_w
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dryrun.record import Completeness, DryRun

FEATURES = "dry-run"
"""What stands for the features in a prediction that no embedding enters."""
GRADIENT_BYTES = 4.0
"""Of one number that a program learns, as the GPUs exchange it."""
SEEN = "modelled (device model; this type was measured in its training)"
UNSEEN = "modelled (specification sheet only; never measured)"


@dataclass(frozen=True)
class GpuPredictor:
    """A fitted device model with its calibration, the version of the two, and where its run times come from."""

    model: DeviceModel
    calibration: Calibration
    version: str
    training: dict[str, Any]

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `pipelines.devices` wrote; raises ModelError naming the folder and what is wrong with it."""
        model = store.load(folder)
        version, training = store.read_training(folder)
        if "calibration" not in training:
            raise ModelError(f"{folder}: a device model without intervals; fit it with python -m pipelines.devices")
        calibration = Calibration.from_dict(training["calibration"])
        return cls(model=model, calibration=calibration, version=version, training=training)

    @classmethod
    def load_default(cls) -> Self:
        """The one that comes with kilowait; raises ModelError when this installation has none."""
        with resources.as_file(resources.files("kilowait") / "data" / "device_model") as folder:
            return cls.load(folder)

    @cached_property
    def measured(self) -> frozenset[str]:
        """The device types whose run times it was fitted to."""
        return frozenset(device.name for device in self.model.devices)

    @property
    def about(self) -> dict[str, Any]:
        """Its version, and what it learnt from."""
        return {"version": self.version, **{name: self.training[name] for name in ("source", "licence", "programs")}}

    def provenance(self, gpu_type: str) -> str:
        """How the predictions for a type are had."""
        return SEEN if gpu_type in self.measured else UNSEEN

    def predict(self, run: DryRun, gpu_types: Sequence[str], gpus: int = 1) -> dict[str, Prediction]:
        """The program of a usable dry run on `gpus` GPUs of each canonical type; energy has no interval: none is known.

        Several GPUs are data parallel (`scaling`); an interval is scaled as the run time is.
        """
        boards = [CATALOGUE[name] for name in gpu_types]
        sheets = [Specification.of(board) for board in boards]
        found, watts = self.model.predict([run], sheets), power_w(self.model, [run], sheets)[0]
        return {
            board.name: self._prediction(run, board, sheet, gpus, _Found(seconds, sigma, draw))
            for board, sheet, seconds, sigma, draw in zip(
                boards, sheets, np.exp(found.log_s[0]).tolist(), found.sigma[0].tolist(), watts.tolist(), strict=True
            )
        }

    def memory_lack(self, run: DryRun, gpu_type: str) -> str:
        """Why a program does not fit on one GPU of a type; empty where it does, as far as its dry run tells."""
        has = CATALOGUE[gpu_type].memory_bytes
        if run.peak_memory_bytes <= has:
            return ""
        least = "" if run.completeness == Completeness.WHOLE else "at least "
        return f"needs {least}{run.peak_memory_bytes / 1e9:,.0f} GB, has {has / 1e9:,.0f} GB"

    def _prediction(self, run: DryRun, board: GpuType, sheet: Specification, gpus: int, found: "_Found") -> Prediction:
        one = scaling.Step(runtime_s=found.runtime_s, steps=run.steps, gradient_bytes=GRADIENT_BYTES * run.parameters)
        link = link_of(board)
        runtime_s = scaling.parallel_runtime_s(one, gpus, link)
        energy_j = scaling.parallel_energy_j(one, found.power_w, sheet.idle_w, gpus, link)
        new, whole = board.name not in self.measured, run.completeness == Completeness.WHOLE
        low_s, high_s = self.calibration.ends(runtime_s, found.sigma, new=new, whole=whole)
        return Prediction(
            runtime_s=runtime_s,
            energy_kwh=energy_j / JOULES_PER_KWH,
            runtime_low_s=low_s,
            runtime_high_s=high_s,
            probe_version=self.version,
            features=FEATURES,
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """What the model says of one GPU."""

    runtime_s: float
    sigma: float
    power_w: float


def link_of(board: GpuType) -> scaling.Link:
    """NVLink for boards on high-bandwidth memory, which come in NVLink servers as the catalogue has them, else PCIe."""
    joined = board.memory_kind.startswith("HBM") and board.name not in ("H100-PCIe", "A30")
    return scaling.NVLINK if joined else scaling.PCIE
