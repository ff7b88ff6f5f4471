"""What the device model knows of a device type: its specification sheet as numbers.

GPUs have theirs in `kilowait.core.hardware`. A CPU device type of kilowait is a number of threads of one machine; its
sheet is an estimate for server cores at 2.5 GHz with 512-bit vectors: of each 160 GFLOP/s in float32, 12 GB/s of
memory, 4 MiB of cache.
"""

import math
from dataclasses import dataclass

import numpy as np

from kilowait.core import hardware
from kilowait.core.arrays import FloatArray
from kilowait.core.gpu_type import GpuType

_HALF = ("float16", "bfloat16", "complex32")
_DOUBLE = ("float64", "complex128")
TF32 = "tf32"
"""The number type of products in float32 that tensor cores may round; plain float32 where there are none for it."""
CPU = "cpu-"


def is_cpu(name: str) -> bool:
    """Whether this is a CPU device type: cpu-N for N threads."""
    threads = name.removeprefix(CPU)
    return name.startswith(CPU) and threads.isdigit() and int(threads) > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """A device type as the roofline sees it: FLOP/s by number type, bytes/s, bytes, watts.

    `multiprocessors` are the units that work is dealt to, `generation` the compute capability of the architecture (0
    for a CPU and a board of another vendor). `ahead` says that the host launches ahead while the device computes, as
    with a GPU, `start_s` what a program takes there before its first operation. `source` is who measured on it: boards
    of one type in other hands have another host, and other versions of libraries; empty for nobody in particular.
    `alone` says that its host tells nothing of others of the type: single operators were timed there, each by itself.
    `host_factor` and `device_factor` are a site's own (`GpuType`), and no part of a model.
    """

    name: str
    multiprocessors: int
    fp32_flops: float
    tf32_flops: float
    half_flops: float
    fp64_flops: float
    bandwidth: float
    cache_bytes: float
    generation: float
    peak_w: float
    idle_w: float
    ahead: bool = True
    start_s: float = 1e-5
    source: str = ""
    alone: bool = False
    host_factor: float = 1.0
    device_factor: float = 1.0

    @classmethod
    def of(cls, gpu: GpuType) -> "Specification":
        """The sheet of a GPU type of the catalogue."""
        return cls(
            name=gpu.name,
            multiprocessors=gpu.multiprocessors,
            fp32_flops=gpu.fp32_flops,
            tf32_flops=gpu.tf32_flops,
            half_flops=gpu.tensor_flops,
            fp64_flops=gpu.fp64_flops,
            bandwidth=gpu.bandwidth,
            cache_bytes=float(gpu.l2_bytes),
            generation=gpu.capability or 0.0,
            peak_w=gpu.peak_w,
            idle_w=gpu.assumed_idle_w,
            host_factor=gpu.host_factor or 1.0,
            device_factor=gpu.device_factor or 1.0,
        )

    @classmethod
    def cpu(cls, threads: int) -> "Specification":
        """The estimated sheet of `threads` threads on as many cores."""
        return cls(
            name=f"cpu-{threads}",
            multiprocessors=threads,
            fp32_flops=160e9 * threads,
            tf32_flops=160e9 * threads,
            half_flops=80e9 * threads,
            fp64_flops=80e9 * threads,
            bandwidth=12e9 * threads,
            cache_bytes=4.0 * 2**20 * threads,
            generation=0.0,
            peak_w=10.0 * threads,
            idle_w=3.0 * threads,
            ahead=False,
            start_s=0.05,
        )

    @classmethod
    def named(cls, name: str) -> "Specification":
        """The sheet of a GPU type by any of its names, or of cpu-N; raises InputError for any other."""
        if is_cpu(name):
            return cls.cpu(int(name.removeprefix(CPU)))
        return cls.of(hardware.GPU_TYPES[hardware.canonical(name)])

    @property
    def is_calibrated(self) -> bool:
        """Whether a site measured its own boards of the type."""
        return (self.host_factor, self.device_factor) != (1.0, 1.0)

    def matrix_flops(self, dtype: str, tf32: bool) -> float:
        """FLOP/s of matrix products and convolutions on numbers of `dtype`; `tf32` lets float32 use tensor cores."""
        if dtype in _HALF:
            return self.half_flops
        if dtype in _DOUBLE:
            return self.fp64_flops
        return self.tf32_flops if tf32 or dtype == TF32 else self.fp32_flops

    def plain_flops(self, dtype: str) -> float:
        """FLOP/s of everything else."""
        return self.fp64_flops if dtype in _DOUBLE else self.fp32_flops

    def likeness(self) -> FloatArray:
        """What makes two types serve operations alike (5,): ratios of the sheet, a unit apart for unlike boards.

        Bytes to FLOPs, cache to bandwidth, FLOPs of one multiprocessor, generation, watts to FLOPs.
        """
        return np.array(
            [
                (math.log(self.bandwidth / self.fp32_flops) + 3.5) / 0.7,
                (math.log(self.cache_bytes / self.bandwidth) + 10.4) / 0.8,
                (math.log(self.fp32_flops / self.multiprocessors) - 26.6) / 0.4,
                (self.generation - 8.6) / 0.7,
                (math.log(self.peak_w / self.fp32_flops) + 25.3) / 0.55,
            ]
        )
