"""GPU types: canonical names, aliases, order of power, published specifications.

Everything that needs a GPU's name or size asks this module. Not covered: partitions of a GPU (MIG), non-NVIDIA
accelerators, and sites' own measurements, which override a specification wherever they exist.

Specifications are the vendor's published dense figures (no structured sparsity) for the variant in `nvml`.
No vendor publishes idle power: `idle_w` is a typical reading of a board with no job, and `idle_provenance` says
whether a public measurement stands behind it (A100: the median-idle quarter of the AcmeTrace power
distribution; A6000: idle readings of GA102 workstation boards) or it is an estimate from boards of its class.

Multiprocessors, second-level cache and compute capability are of the chip as the board has it enabled: NVIDIA's
architecture whitepapers (Kepler GK210, P100, V100, Turing TU102/TU104, A100, GA102, Ada AD102, H100, Blackwell), and
where those describe the full chip only, the properties that CUDA reports for the board (A10G, L4, L40S, B200).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from kilowait.core.errors import InputError
from kilowait.core.jobs import Provenance

_GB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuType:
    """One GPU type with its published specification.

    `tensor_flops` is dense FP16/BF16 with FP32 accumulation on tensor cores, plain FP16 (or FP32, where FP16 is no
    faster) on boards without them. `ray` are the accelerator types Ray gives such a board, `nvml` the names
    its driver reports, `aliases` what people write. `capability` is CUDA's compute capability, which names the
    architecture. Units: bytes, FLOP/s, bytes/s, watts.
    """

    name: str
    memory_bytes: int
    tensor_flops: float
    fp32_flops: float
    bandwidth: float
    peak_w: float
    idle_w: float
    idle_provenance: Provenance = Provenance.ESTIMATED
    multiprocessors: int
    l2_bytes: int
    capability: float
    memory_kind: str
    nvml: tuple[str, ...]
    ray: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    source: str

    @property
    def tf32_flops(self) -> float:
        """Dense TF32 on tensor cores, half their FP16 rate since Ampere; plain FP32 on older boards."""
        return self.tensor_flops / 2 if self.capability >= 8 else self.fp32_flops

    @property
    def fp64_flops(self) -> float:
        """FP64 without tensor cores: half the FP32 rate on data-centre chips, else 1/32 to 1/64 (1/3 on Kepler)."""
        share = {3.7: 1 / 3, 6.0: 1 / 2, 7.0: 1 / 2, 7.5: 1 / 32, 8.0: 1 / 2, 9.0: 1 / 2, 10.0: 1 / 2}
        return self.fp32_flops * share.get(self.capability, 1 / 64)

    @property
    def power_score(self) -> float:
        """Geometric mean of tensor throughput and bandwidth: orders boards by what training gets from them."""
        return math.sqrt(self.tensor_flops * self.bandwidth)


_CHIPS = {
    # multiprocessors, L2 MiB, compute capability, memory
    "B200": (148, 126, 10.0, "HBM3e"),
    "H200": (132, 50, 9.0, "HBM3e"),
    "H100": (132, 50, 9.0, "HBM3"),
    "H100-PCIe": (114, 50, 9.0, "HBM2e"),
    "A100-80GB": (108, 40, 8.0, "HBM2e"),
    "A100": (108, 40, 8.0, "HBM2"),
    "L40S": (142, 96, 8.9, "GDDR6"),
    "RTX-6000-Ada": (142, 96, 8.9, "GDDR6"),
    "RTX-4090": (128, 72, 8.9, "GDDR6X"),
    "A30": (56, 24, 8.0, "HBM2"),
    "A6000": (84, 6, 8.6, "GDDR6"),
    "V100-32GB": (80, 6, 7.0, "HBM2"),
    "V100": (80, 6, 7.0, "HBM2"),
    "A40": (84, 6, 8.6, "GDDR6"),
    "Quadro-RTX-6000": (72, 6, 7.5, "GDDR6"),
    "RTX-A5000": (64, 6, 8.6, "GDDR6"),
    "A10": (72, 6, 8.6, "GDDR6"),
    "RTX-3090": (82, 6, 8.6, "GDDR6X"),
    "A10G": (80, 6, 8.6, "GDDR6"),
    "L4": (58, 48, 8.9, "GDDR6"),
    "T4": (40, 4, 7.5, "GDDR6"),
    "P100": (56, 4, 6.0, "HBM2"),
    "K80": (13, 1.5, 3.7, "GDDR5"),
}


def _gpu(
    name: str,
    gb: int,
    tensor_tflops: float,
    fp32_tflops: float,
    gb_per_s: float,
    peak_w: float,
    idle_w: float,
    *,
    nvml: tuple[str, ...],
    ray: tuple[str, ...],
    source: str,
    aliases: tuple[str, ...] = (),
    idle_provenance: Provenance = Provenance.ESTIMATED,
) -> GpuType:
    """A row of the table below, in the units data sheets use, with the chip's row of `_CHIPS`."""
    multiprocessors, l2_mb, capability, memory_kind = _CHIPS[name]
    return GpuType(
        name=name,
        memory_bytes=gb * _GB,
        tensor_flops=tensor_tflops * 1e12,
        fp32_flops=fp32_tflops * 1e12,
        bandwidth=gb_per_s * 1e9,
        peak_w=peak_w,
        idle_w=idle_w,
        idle_provenance=idle_provenance,
        multiprocessors=multiprocessors,
        l2_bytes=int(l2_mb * 2**20),
        capability=capability,
        memory_kind=memory_kind,
        nvml=nvml,
        ray=ray,
        aliases=aliases,
        source=source,
    )


_TYPES = (
    # name, memory GB, dense FP16 tensor TFLOP/s, FP32 TFLOP/s, GB/s, peak W, idle W
    _gpu("B200", 180, 2250, 75, 8000, 1000, 140, nvml=("NVIDIA B200",), ray=("B200",),
         source="NVIDIA DGX B200 data sheet (2024), per GPU"),
    _gpu("H200", 141, 989, 67, 4800, 700, 75, nvml=("NVIDIA H200",), ray=("H200",),
         source="NVIDIA H200 Tensor Core GPU data sheet (2024), SXM"),
    _gpu("H100", 80, 989, 67, 3350, 700, 70, nvml=("NVIDIA H100 80GB HBM3",), ray=("H100",),
         aliases=("H100-SXM", "H100-80GB"), source="NVIDIA H100 Tensor Core GPU data sheet (2023), SXM"),
    _gpu("H100-PCIe", 80, 756, 51, 2000, 350, 50, nvml=("NVIDIA H100 PCIe",), ray=("H100",),
         source="NVIDIA H100 Tensor Core GPU data sheet (2023), PCIe"),
    _gpu("A100-80GB", 80, 312, 19.5, 2039, 400, 62,
         nvml=("NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe"), ray=("A100-80G", "A100"),
         aliases=("A100-SXM4-80GB",), idle_provenance=Provenance.MEASURED,
         source="NVIDIA A100 Tensor Core GPU data sheet (2021), 80 GB SXM; idle: AcmeTrace"),
    _gpu("A100", 40, 312, 19.5, 1555, 400, 60,
         nvml=("NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB", "A100-SXM4-40GB", "A100-PCIE-40GB"),
         ray=("A100", "A100-40G"), aliases=("A100-40GB", "A100-SXM4-40GB"), idle_provenance=Provenance.MEASURED,
         source="NVIDIA A100 Tensor Core GPU data sheet (2021), 40 GB; idle: AcmeTrace"),
    _gpu("L40S", 48, 362, 91.6, 864, 350, 35, nvml=("NVIDIA L40S",), ray=("L40S",),
         source="NVIDIA L40S data sheet (2023)"),
    _gpu("RTX-6000-Ada", 48, 364, 91.1, 960, 300, 25, nvml=("NVIDIA RTX 6000 Ada Generation",), ray=("RTX-6000",),
         aliases=("RTX 6000 Ada",), source="NVIDIA RTX 6000 Ada Generation data sheet (2022)"),
    _gpu("RTX-4090", 24, 165, 82.6, 1008, 450, 22, nvml=("NVIDIA GeForce RTX 4090",), ray=("GeForce-RTX-4090",),
         aliases=("RTX 4090", "4090"), source="NVIDIA Ada GPU architecture whitepaper (2022)"),
    _gpu("A30", 24, 165, 10.3, 933, 165, 30, nvml=("NVIDIA A30",), ray=("A30",),
         source="NVIDIA A30 data sheet (2021)"),
    _gpu("A6000", 48, 154.8, 38.7, 768, 300, 25, nvml=("NVIDIA RTX A6000", "RTX A6000"), ray=("RTX-A6000",),
         aliases=("RTX A6000",), idle_provenance=Provenance.MEASURED,
         source="NVIDIA RTX A6000 data sheet (2021); tensor rate from the GA102 whitepaper; idle: 22-29 W read"),
    _gpu("V100-32GB", 32, 125, 15.7, 900, 300, 42, nvml=("Tesla V100-SXM2-32GB", "Tesla V100-PCIE-32GB"), ray=("V100",),
         aliases=("V100M32",), source="NVIDIA V100 Tensor Core GPU data sheet (2020), SXM2"),
    _gpu("V100", 16, 125, 15.7, 900, 300, 40, nvml=("Tesla V100-SXM2-16GB", "Tesla V100-PCIE-16GB"), ray=("V100",),
         aliases=("V100-16GB", "V100M16"), source="NVIDIA V100 Tensor Core GPU data sheet (2020), SXM2"),
    _gpu("A40", 48, 149.7, 37.4, 696, 300, 29, nvml=("NVIDIA A40",), ray=("A40",),
         source="NVIDIA A40 data sheet (2021)"),
    _gpu("Quadro-RTX-6000", 24, 130.5, 16.3, 672, 295, 25, nvml=("Quadro RTX 6000",), ray=("RTX-6000",),
         aliases=("RTX6000",), source="NVIDIA Turing GPU architecture whitepaper (2018)"),
    _gpu("RTX-A5000", 24, 111.1, 27.8, 768, 230, 20, nvml=("NVIDIA RTX A5000", "RTX A5000"), ray=("RTX-A5000",),
         aliases=("RTX A5000", "A5000"), source="NVIDIA RTX A5000 data sheet (2021), GA102 whitepaper"),
    _gpu("A10", 24, 125, 31.2, 600, 150, 18, nvml=("NVIDIA A10",), ray=("A10",),
         source="NVIDIA A10 data sheet (2021)"),
    _gpu("RTX-3090", 24, 71, 35.6, 936, 350, 22, nvml=("NVIDIA GeForce RTX 3090", "GeForce RTX 3090"),
         ray=("GeForce-RTX-3090",), aliases=("RTX 3090", "3090"),
         source="NVIDIA Ampere GA102 GPU architecture whitepaper (2021)"),
    _gpu("A10G", 24, 70, 35, 600, 300, 18, nvml=("NVIDIA A10G",), ray=("A10G",),
         source="NVIDIA A10G data sheet (2022), as offered by Amazon EC2 G5"),
    _gpu("L4", 24, 121, 30.3, 300, 72, 13, nvml=("NVIDIA L4",), ray=("L4",), source="NVIDIA L4 data sheet (2023)"),
    _gpu("T4", 16, 65, 8.1, 320, 70, 10, nvml=("Tesla T4", "NVIDIA T4"), ray=("T4",),
         source="NVIDIA T4 data sheet (2019)"),
    _gpu("P100", 16, 21.2, 10.6, 732, 300, 30, nvml=("Tesla P100-SXM2-16GB", "Tesla P100-PCIE-16GB"), ray=("P100",),
         source="NVIDIA Tesla P100 data sheet (2016), SXM2"),
    _gpu("K80", 12, 4.4, 4.4, 240, 150, 30, nvml=("Tesla K80",), ray=("K80",),
         source="NVIDIA Tesla K80 data sheet (2014), one of its two GPUs"),
)  # fmt: skip

CATALOGUE: Mapping[str, GpuType] = MappingProxyType(
    {gpu.name: gpu for gpu in sorted(_TYPES, key=lambda gpu: gpu.power_score, reverse=True)}
)
"""Every known GPU type by canonical name, most powerful first."""


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "-").replace("_", "-")


def _aliases() -> dict[str, str]:
    """Alias to canonical name; a canonical name beats an alias, an alias beats a name that Ray shares out."""
    known = {_key(gpu.name): gpu.name for gpu in _TYPES}
    owned = [(name, gpu.name) for gpu in _TYPES for name in (*gpu.aliases, *gpu.nvml)]
    shared = [(name, gpu.name) for gpu in _TYPES for name in gpu.ray]
    for name, gpu_name in owned + shared:
        known.setdefault(_key(name), gpu_name)
    return known


_CANONICAL = _aliases()
_NVML = {_key(name): gpu.name for gpu in _TYPES for name in gpu.nvml}


def canonical(name: str) -> str:
    """The canonical name for any alias (Ray, NVML, the paper, people); raises InputError with near names."""
    try:
        return _CANONICAL[_key(name)]
    except KeyError:
        near = get_close_matches(_key(name), _CANONICAL, n=3)
        hint = f"did you mean {', '.join(dict.fromkeys(_CANONICAL[n] for n in near))}?" if near else ""
        hint = hint or f"known types: {', '.join(CATALOGUE)}"
        raise InputError(f"unknown GPU type {name!r}; {hint}") from None


def from_nvml(name: str) -> str:
    """The canonical name of the board that NVML calls `name`; raises InputError for an unknown board."""
    try:
        return _NVML[_key(name)]
    except KeyError:
        raise InputError(
            f"the driver reports a board {name!r} that the catalogue lacks; add it to kilowait/core/hardware.py"
        ) from None


def power_order(names: Iterable[str]) -> list[str]:
    """Canonical names of these types, most powerful first, each once."""
    wanted = {canonical(name) for name in names}
    return [name for name in CATALOGUE if name in wanted]


def idle_power_w(name: str) -> float | None:
    """Typical watts of one idle board, None when the catalogue does not know the type."""
    known = _CANONICAL.get(_key(name))
    return CATALOGUE[known].idle_w if known else None
