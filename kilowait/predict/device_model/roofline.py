"""What a specification sheet allows: seconds of each operation on a device, and of the host that launches it.

The roofline of Williams, Waterman and Patterson (2009) with three refinements that shapes give: work comes in
pieces, so that a device with more multiprocessors than pieces is not filled; what fits the second-level cache does not
go to memory again; every kernel takes a least time. More work is never faster, and neither a higher rate nor a larger
cache ever makes an operation slower.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kilowait.core.arrays import FloatArray, Mask
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.work import Work

MATRIX_SHARE, PLAIN_SHARE, MEMORY_SHARE = 0.6, 0.15, 0.8
"""Of the peak rates that typical kernels reach: where learning starts, not what it ends with."""
CACHE_BYTES_A_SECOND = 64 * 1.5e9 * 0.6
"""Of one multiprocessor from the second-level cache: 64 bytes a clock at 1.5 GHz, 60% of it reached."""
LAUNCH_S = 2e-6
"""The least time of a kernel on the device."""
NOTHING_S = 1e-12
SHARPNESS = 3.0
"""Of the corner between compute and memory: (c^3 + m^3)^(1/3)."""
PROGRAM = "program"
"""Class of the host's work that a program has once, whatever its operations."""
HOST_UNIT_S = 1e-5
_HOST_UNITS = {
    "gemm": 2.2,
    "pool_max": 2.0,
    "reduction_arg": 1.8,
    "group_norm": 2.5,
    "layer_norm": 2.5,
    "batch_norm": 3.0,
    "logsumexp": 5.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """U works as arrays (U,): what the roofline computes with."""

    works: tuple[Work, ...]
    flops: FloatArray
    bytes_moved: FloatArray
    blocks: FloatArray
    kernels: FloatArray
    matrix: Mask

    @classmethod
    def of(cls, works: Sequence[Work]) -> "Columns":
        """The works side by side."""
        return cls(
            works=tuple(works),
            flops=np.array([w.flops for w in works], dtype=np.float64),
            bytes_moved=np.array([w.bytes_moved for w in works], dtype=np.float64),
            blocks=np.array([w.blocks for w in works], dtype=np.float64),
            kernels=np.array([w.kernels for w in works], dtype=np.float64),
            matrix=np.array([w.matrix for w in works], dtype=np.bool_),
        )


def device_seconds(columns: Columns, device: Specification, *, tf32: bool = False) -> FloatArray:
    """Seconds of one call of each work on the device (U,); `tf32` lets float32 products use tensor cores."""
    compute = _compute(columns, device, tf32)
    memory = _memory(columns, device)
    seconds = (compute**SHARPNESS + memory**SHARPNESS) ** (1 / SHARPNESS) + LAUNCH_S * columns.kernels
    return np.where(columns.kernels > 0, seconds, NOTHING_S)


def compute_share(columns: Columns, device: Specification, *, tf32: bool = False) -> FloatArray:
    """How far each work is limited by arithmetic rather than memory (U,): 1 for no bytes, 0 for no FLOPs."""
    compute, memory = (part**SHARPNESS for part in (_compute(columns, device, tf32), _memory(columns, device)))
    return np.asarray(compute / (compute + memory))


def _compute(columns: Columns, device: Specification, tf32: bool) -> FloatArray:
    """FLOPs over the rate reached; half a round of pieces more, since the last round is seldom full."""
    rate = np.array(
        [
            MATRIX_SHARE * device.matrix_flops(w.dtype, tf32) if w.matrix else PLAIN_SHARE * device.plain_flops(w.dtype)
            for w in columns.works
        ]
    )
    return np.asarray(columns.flops / rate * (1 + 0.5 * device.multiprocessors / columns.blocks))


def _memory(columns: Columns, device: Specification) -> FloatArray:
    """Bytes that miss the cache over the memory's rate, and all of them over the cache's."""
    missed = 1 / (1 + (0.5 * device.cache_bytes / columns.bytes_moved) ** 2)
    unfilled = 1 + np.where(columns.matrix, 0.0, device.multiprocessors / columns.blocks)
    to_memory = columns.bytes_moved * missed / (MEMORY_SHARE * device.bandwidth)
    to_cache = columns.bytes_moved / (device.multiprocessors * CACHE_BYTES_A_SECOND)
    return np.asarray((to_memory + to_cache) * unfilled)


def host_seconds(columns: Columns, device: Specification) -> FloatArray:
    """Seconds of a typical host to launch one call of each work from Python (U,); of `PROGRAM` the device's start."""
    units = [_host_units(w.group) for w in columns.works]
    starts = np.array([w.group == PROGRAM for w in columns.works])
    return np.where(starts, device.start_s, HOST_UNIT_S * np.array(units))


def _host_units(group: str) -> float:
    if group.startswith("conv_"):
        return 3.5 if group[-1] == "d" else 1.2
    return _HOST_UNITS.get(group, 1.2)


def program_work() -> Work:
    """The work that every program has once: its host's start and end."""
    return Work(
        group=PROGRAM,
        op=PROGRAM,
        dtype="",
        matrix=False,
        flops=1.0,
        bytes_moved=1.0,
        blocks=1.0,
        kernels=0,
        shape=(0.0,) * 12,
    )
