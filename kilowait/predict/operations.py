"""Run times from dry runs: a fitted device model with its intervals, as `pipelines.devices` writes them to a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np

from kilowait.core.errors import ModelError
from kilowait.core.hardware import GPU_TYPES
from kilowait.predict.assumed import is_covered, widened
from kilowait.predict.device_model import model_files
from kilowait.predict.device_model.calibration import Calibration
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dryrun.record import DryRun

SEEN = "modelled (device model; this type was measured in its training)"
UNSEEN = "modelled (specification sheet only; never measured)"

IN_BUNDLE = "operations"
"""The folder in a bundle that holds the device model of its device types, where it has one."""


def of_bundle(bundle: Path | None) -> Path | None:
    """The folder of a bundle's own device model (None: the bundle that comes with kilowait); None without one."""
    with resources.as_file(resources.files("kilowait") / "data" / "bundle") as default:
        folder = (bundle or default) / IN_BUNDLE
    return folder if folder.is_dir() else None


def labelled(folder: Path) -> tuple[str, ...]:
    """The device types that the device model of a folder has labels of; raises ModelError."""
    try:
        return tuple(model_files.read_training(folder)[1]["labels"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}: not a device model: {error!r}; fit it with kilowait lab devices") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTime:
    """Seconds, the ends of their 90% interval, and the standard deviation of their logarithm that the model expects."""

    runtime_s: float
    low_s: float
    high_s: float
    sigma: float


@dataclass(frozen=True)
class OperationsModel:
    """A fitted device model with its calibration, the version of the two, and where its run times come from."""

    model: DeviceModel
    calibration: Calibration
    version: str
    training: dict[str, Any]

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `pipelines.devices` wrote; raises ModelError naming the folder and what is wrong with it."""
        model = model_files.load(folder)
        version, training = model_files.read_training(folder)
        if "calibration" not in training:
            raise ModelError(f"{folder}: a device model without intervals; fit it with kilowait lab devices")
        calibration = Calibration.from_dict(training["calibration"])
        return cls(model=model, calibration=calibration, version=version, training=training)

    @cached_property
    def measured(self) -> frozenset[str]:
        """The device types whose run times it was fitted to."""
        return frozenset(device.name for device in self.model.devices)

    @property
    def about(self) -> dict[str, Any]:
        """Its version, and what it learnt from."""
        return {"version": self.version, **{name: self.training[name] for name in ("source", "licence", "programs")}}

    def provenance(self, device_type: str) -> str:
        """How the predictions for a type are had."""
        said, board = SEEN if device_type in self.measured else UNSEEN, GPU_TYPES.get(device_type)
        if board is None or board.host_factor is None:
            return said
        return f"{said}; factors of this site's own board {board.factor_provenance}"

    def run_times(self, run: DryRun, sheets: Sequence[Specification]) -> list[RunTime]:
        """The program of a usable dry run on one device of each type."""
        estimate = self.model.predict([run], sheets)
        pairs = zip(np.exp(estimate.log_s[0]).tolist(), estimate.sigma[0].tolist(), strict=True)
        return [
            self.around(run, sheet.name, runtime_s, sigma)
            for sheet, (runtime_s, sigma) in zip(sheets, pairs, strict=True)
        ]

    def around(self, run: DryRun, device_type: str, runtime_s: float, sigma: float) -> RunTime:
        """A run time and its interval, wider for an unmeasured type, work that was not seen, what was assumed."""
        is_new = device_type not in self.measured
        low_s, high_s = self.calibration.ends(runtime_s, sigma, new=is_new, whole=is_covered(run))
        low_s, high_s = widened(run, runtime_s, low_s, high_s)
        return RunTime(runtime_s=runtime_s, low_s=low_s, high_s=high_s, sigma=sigma)
