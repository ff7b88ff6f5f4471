"""Predictions of probes with the run times that a device model tells."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from kilowait.core.jobs import Prediction
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dry_runs import FEATURES
from kilowait.predict.dryrun.record import Completeness, DryRun

if TYPE_CHECKING:
    from kilowait.predict.operations import OperationsModel


def timed(model: "OperationsModel", run: DryRun, predictions: Mapping[str, Prediction]) -> dict[str, Prediction]:
    """Predictions of probes with the run times of `model`, for the device types that it was fitted to.

    Other metrics keep their rate: what the probes expect of energy in a second is multiplied by other seconds. The
    work of a dry run that ended early is less than the program's: there the larger of the two run times stands.
    """
    names = [name for name in predictions if name in model.measured]
    found: dict[str, Prediction] = {}
    for name, seconds in zip(names, model.run_times(run, [Specification.named(n) for n in names]), strict=True):
        before = predictions[name]
        if run.completeness != Completeness.WHOLE and before.runtime_s > seconds.runtime_s:
            seconds = model.around(run, name, before.runtime_s, seconds.sigma)
        longer = seconds.runtime_s / before.runtime_s
        found[name] = replace(
            before,
            runtime_s=seconds.runtime_s,
            runtime_low_s=seconds.low_s,
            runtime_high_s=seconds.high_s,
            energy_kwh=before.energy_kwh * longer,
            energy_low_kwh=None,
            energy_high_kwh=None,
            probe_version=f"{before.probe_version}+{model.version}",
            features=f"{FEATURES}+{before.features}",
            other={metric: value * longer for metric, value in before.other.items()},
        )
    return found
