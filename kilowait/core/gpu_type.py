"""A GPU type: its specification, and the shares of it that MIG makes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kilowait.core.jobs import Provenance

IDLE_SHARE = 0.11
"""Idle watts over peak watts: the median of the types that have both. A model's assumption for a type without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigLayout:
    """How a board is cut: into so many slices of its multiprocessors and of its memory, and the profiles there are.

    A profile is written as the driver does, `1g.5gb`: slices of the multiprocessors, and gigabytes.
    """

    slices: int
    memory_slices: int
    profiles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuType:
    """One GPU type with its published specification, or a share of one.

    `tensor_flops` is dense FP16/BF16 with FP32 accumulation on tensor cores, plain FP16 (or FP32, where FP16 is no
    faster) on boards without them. `ray` are the accelerator types Ray gives such a board, `nvml` the names
    its driver reports, `aliases` what people write. `capability` is CUDA's compute capability, which names the
    architecture, None for boards of other vendors. `idle_w` is None where nobody knows it. A site may give
    `price_per_hour` in its currency, and `host_w`, what a GPU's share of its host draws while it works.
    `host_factor` and `device_factor` are seconds of a site's own boards over those that the device model expects, of
    launching operations and of the operations, where `kilowait calibrate` measured (or pretended) them.
    `slice_of` is the board that a MIG slice is a share of. Units: bytes, FLOP/s, bytes/s, watts.
    """

    name: str
    memory_bytes: int
    tensor_flops: float
    fp32_flops: float
    bandwidth: float
    peak_w: float
    idle_w: float | None
    idle_provenance: Provenance = Provenance.ESTIMATED
    multiprocessors: int
    l2_bytes: int
    capability: float | None
    memory_kind: str
    nvml: tuple[str, ...]
    ray: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    source: str
    published_tf32_flops: float | None = None
    published_fp64_flops: float | None = None
    price_per_hour: float | None = None
    currency: str | None = None
    host_w: float | None = None
    host_factor: float | None = None
    device_factor: float | None = None
    factor_provenance: Provenance = Provenance.MEASURED
    mig: MigLayout | None = None
    slice_of: str | None = None

    @property
    def tf32_flops(self) -> float:
        """Dense TF32 on tensor cores, half their FP16 rate since Ampere; plain FP32 on boards without it."""
        if self.published_tf32_flops is not None:
            return self.published_tf32_flops
        return self.tensor_flops / 2 if self.capability is not None and self.capability >= 8 else self.fp32_flops

    @property
    def fp64_flops(self) -> float:
        """FP64 without tensor cores: half the FP32 rate on data-centre chips, else 1/32 to 1/64 (1/3 on Kepler)."""
        if self.published_fp64_flops is not None:
            return self.published_fp64_flops
        share = {3.7: 1 / 3, 6.0: 1 / 2, 7.0: 1 / 2, 7.5: 1 / 32, 8.0: 1 / 2, 9.0: 1 / 2, 10.0: 1 / 2}
        return self.fp32_flops * share.get(self.capability or 0.0, 1 / 64)

    @property
    def power_score(self) -> float:
        """Geometric mean of tensor throughput and bandwidth: orders boards by what training gets from them."""
        return math.sqrt(self.tensor_flops * self.bandwidth)

    @property
    def assumed_idle_w(self) -> float:
        """Idle watts for a model: those known, else `IDLE_SHARE` of the peak."""
        return IDLE_SHARE * self.peak_w if self.idle_w is None else self.idle_w

    def mig_slices(self) -> Iterator["GpuType"]:
        """The MIG slices of this board, each a type of its own.

        Arithmetic, multiprocessors (rounded down) and watts are in proportion to the profile's slices of them, memory,
        bandwidth and cache to its slices of memory, as NVIDIA's MIG user guide gives the fractions. What a chip loses
        by being cut at all (10 of an A100's 108 multiprocessors) is not taken off. Nobody meters a slice: its watts
        are an estimate.
        """
        if self.mig is None:
            return
        for profile in self.mig.profiles:
            compute, gigabytes = (int(part.rstrip("gb")) for part in profile.split("."))
            memory_slices = round(gigabytes * self.mig.memory_slices / (self.memory_bytes / 10**9))
            whole = compute == self.mig.slices
            memory = 1.0 if whole else memory_slices / self.mig.memory_slices
            yield self._share(profile, compute / self.mig.slices, memory)

    def _share(self, profile: str, compute: float, memory: float) -> "GpuType":
        def of(figure: float | None) -> float | None:
            return None if figure is None else figure * compute

        return replace(
            self,
            name=f"{self.name}-{profile}",
            memory_bytes=int(self.memory_bytes * memory),
            tensor_flops=self.tensor_flops * compute,
            fp32_flops=self.fp32_flops * compute,
            bandwidth=self.bandwidth * memory,
            peak_w=self.peak_w * compute,
            idle_w=of(self.idle_w),
            idle_provenance=Provenance.ESTIMATED,
            multiprocessors=int(self.multiprocessors * compute),
            l2_bytes=int(self.l2_bytes * memory),
            nvml=tuple(f"{name} MIG {profile}" for name in self.nvml),
            ray=(),
            aliases=(f"{self.name} MIG {profile}",),
            source=f"{self.source}; share of a board as the MIG user guide has it",
            published_tf32_flops=of(self.published_tf32_flops),
            published_fp64_flops=of(self.published_fp64_flops),
            price_per_hour=of(self.price_per_hour),
            host_w=of(self.host_w),
            mig=None,
            slice_of=self.name,
        )
