"""Power limits for a prediction that says what a job draws: the curve of a type, at the watts that follow from it."""

from dataclasses import replace

from kilowait.core.hardware import GPU_TYPES, is_known
from kilowait.core.jobs import PowerLimit, Prediction
from kilowait.core.units import JOULES_PER_KWH
from kilowait.predict.power.limit_curve import LimitCurve, floor_w
from kilowait.predict.power.power_model import PowerModel, full_power

UNCAPPED_W = 130.0
"""A job that draws less is given no limits: on the boards that were measured nothing below changed much."""


def with_limits(prediction: Prediction, gpu_type: str, gpus: float, curve: LimitCurve) -> Prediction:
    """The same with what `curve` makes of it at the limits of the type, as far down as it was measured."""
    board, watts = GPU_TYPES[gpu_type], prediction.energy_kwh * JOULES_PER_KWH / prediction.runtime_s / gpus
    if watts < UNCAPPED_W:
        return prediction
    floor, found = floor_w(board, board.assumed_idle_w, board.peak_w), [full_power(prediction, board.peak_w)]
    whole_slow, whole_w = curve.at(board.peak_w, watts, floor, curve.arithmetic)
    for limit_w in curve.reached(board.peak_w, watts, floor):
        slowdown, drawn_w = curve.at(limit_w, watts, floor, curve.arithmetic)
        found.append(
            PowerLimit(
                limit_w=limit_w,
                runtime_s=prediction.runtime_s * slowdown / whole_slow,
                energy_kwh=prediction.energy_kwh * slowdown * drawn_w / (whole_slow * whole_w),
            )
        )
    return replace(prediction, limits=tuple(found))


def of_catalogue(prediction: Prediction, gpu_type: str, gpus: float, model: PowerModel) -> Prediction:
    """As `with_limits`, by the model's curve of the type; a type that the catalogue lacks gets none."""
    if not is_known(gpu_type):
        return prediction
    return with_limits(prediction, gpu_type, gpus, model.curves.get(gpu_type, model.pooled))
