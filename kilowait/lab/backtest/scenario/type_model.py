"""Seconds and watts of a job class on any GPU type of the catalogue; modelled, never measured.

The classes (`kilowait.lab.backtest.scenario.job_classes`) hold numbers for two types, A100 and A6000, and these are
used as they stand. For another type the class's time factor follows a power law of one published figure, fixed by the
two: factor(T) = (figure(A100) / figure(T)) ^ (ln factor(A6000) / ln (figure(A100) / figure(A6000))). The figure is the
geometric mean of tensor rate and bandwidth, or the plain fp32 rate for a class that runs faster on an A6000, whose fp32
rate is the higher one. Watts lie as high between the type's idle and peak power as the A100's do. No measurement stands
behind either for those types.
"""

import math

from kilowait.core.errors import InputError
from kilowait.core.gpu_type import GpuType
from kilowait.core.hardware import CATALOGUE, GPU_TYPES
from kilowait.lab.backtest.scenario.job_classes import JobClass

REFERENCE_TYPE = "A100"
"""The type the classes' time factors are relative to, and where a trace's seconds count as spent when it names none."""

OTHER_TYPE = "A6000"


def time_factor(job_class: JobClass, gpu_type: str) -> float:
    """Seconds on `gpu_type` over seconds on an A100; raises InputError for a type the catalogue lacks."""
    if gpu_type == OTHER_TYPE:
        return job_class.a6000_factor
    fp32 = job_class.a6000_factor < 1
    reference = _figure(CATALOGUE[REFERENCE_TYPE], fp32=fp32)
    exponent = math.log(job_class.a6000_factor) / math.log(reference / _figure(CATALOGUE[OTHER_TYPE], fp32=fp32))
    return float((reference / _figure(_known(gpu_type), fp32=fp32)) ** exponent)


def watts(job_class: JobClass, gpu_type: str) -> float:
    """Mean watts a GPU while the job runs; raises InputError for a type the catalogue lacks."""
    if gpu_type in (REFERENCE_TYPE, OTHER_TYPE):
        return job_class.a100_w if gpu_type == REFERENCE_TYPE else job_class.a6000_w
    reference, board = GPU_TYPES[REFERENCE_TYPE], _known(gpu_type)
    height = (job_class.a100_w - reference.assumed_idle_w) / (reference.peak_w - reference.assumed_idle_w)
    return board.assumed_idle_w + height * (board.peak_w - board.assumed_idle_w)


def _figure(board: GpuType, *, fp32: bool) -> float:
    return board.fp32_flops if fp32 else board.power_score


def _known(gpu_type: str) -> GpuType:
    if gpu_type not in GPU_TYPES:
        raise InputError(
            f"GPU type {gpu_type!r} is not in the catalogue, so nothing can be modelled on it; "
            f"measure every job there, or choose from {', '.join(CATALOGUE)}"
        )
    return GPU_TYPES[gpu_type]
