"""The power limits that a job may get, and what each makes of it while it is kept."""

import math
from collections.abc import Iterable
from dataclasses import replace

from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import LEAST_LIMIT_W, Job, PowerLimit, Prediction
from kilowait.core.units import JOULES_PER_KWH

MARGIN = 1.1
"""How far above its average draw a job's limit is set where there is room: its peaks are above its average."""

URGENT_MARGIN = 1.25
"""As `MARGIN`, of jobs of a priority above 0: one that draws more than is predicted is to be slowed hardly ever."""

HARMLESS = 1.002
"""How much longer an urgent job may be by its limit, as far as that is known, where there are watts enough."""


def limit_choices(prediction: Prediction, job: Job, gpu_type: str) -> list[float]:
    """The limits that a job may get, the highest first: what it draws and some more, and those known below that."""
    top = top_limit_w(prediction, job, gpu_type)
    return [top, *(limit.limit_w for limit in prediction.limits if limit.limit_w < top)]


def top_limit_w(prediction: Prediction, job: Job, gpu_type: str) -> float:
    """The highest limit that a job may get: a little above what it draws."""
    full = prediction.limits[0] if prediction.limits else prediction
    watts = full.energy_kwh * JOULES_PER_KWH / full.runtime_s / job.gpus_on(gpu_type)
    margin, least_w = (URGENT_MARGIN, _harmless_w(prediction)) if job.priority > 0 else (MARGIN, LEAST_LIMIT_W)
    return min(GPU_TYPES[gpu_type].peak_w, max(least_w, LEAST_LIMIT_W, 5 * math.ceil(round(margin * watts / 5, 6))))


def _harmless_w(prediction: Prediction) -> float:
    """The lowest limit that is known to make a job hardly longer, 0 where none is known."""
    whole_s = prediction.limits[0].runtime_s if prediction.limits else 0.0
    return min((one.limit_w for one in prediction.limits if one.runtime_s <= HARMLESS * whole_s), default=0.0)


def held(prediction: Prediction, limit_w: float, gpus: int) -> Prediction:
    """What is expected under a limit that is kept: slower by as much as the watts would be above it."""
    told = prediction.under(limit_w)
    runtime_s = _held_s(told.runtime_s, told.energy_kwh, limit_w, gpus)
    if runtime_s == told.runtime_s:
        return told
    return replace(told, runtime_s=runtime_s, runtime_low_s=None, runtime_high_s=None)


def curve_of(prediction: Prediction, limits: Iterable[float], gpus: int) -> list[PowerLimit]:
    """What each of these limits makes of a job on so many boards, while it is kept."""
    curve = []
    for limit_w in limits:
        told_s, energy_kwh = prediction.figures_under(limit_w)
        runtime_s = _held_s(told_s, energy_kwh, limit_w, gpus)
        curve.append(PowerLimit(limit_w=limit_w, runtime_s=runtime_s, energy_kwh=energy_kwh))
    return curve


def held_choices(prediction: Prediction, job: Job, gpu_type: str) -> list[PowerLimit]:
    """What is expected of a job under each limit that it may get, kept, the highest first."""
    return curve_of(prediction, limit_choices(prediction, job, gpu_type), job.gpus_on(gpu_type))


def _held_s(runtime_s: float, energy_kwh: float, limit_w: float, gpus: int) -> float:
    watts = energy_kwh * JOULES_PER_KWH / runtime_s / gpus
    return runtime_s if watts <= limit_w else runtime_s * watts / limit_w
