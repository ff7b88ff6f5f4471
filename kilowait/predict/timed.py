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
    own_predictions: dict[str, Prediction] = {}
    for name, seconds in zip(names, model.run_times(run, [Specification.named(n) for n in names]), strict=True):
        prediction = predictions[name]
        if run.completeness != Completeness.WHOLE and prediction.runtime_s > seconds.runtime_s:
            seconds = model.around(run, name, prediction.runtime_s, seconds.sigma)
        ratio = seconds.runtime_s / prediction.runtime_s
        own_predictions[name] = replace(
            prediction,
            runtime_s=seconds.runtime_s,
            runtime_low_s=seconds.low_s,
            runtime_high_s=seconds.high_s,
            energy_kwh=prediction.energy_kwh * ratio,
            energy_low_kwh=None,
            energy_high_kwh=None,
            probe_version=f"{prediction.probe_version}+{model.version}",
            features=f"{FEATURES}+{prediction.features}",
            other={metric: value * ratio for metric, value in prediction.other.items()},
        )
    return own_predictions
