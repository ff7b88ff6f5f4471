"""What a program needs of one GPU's memory, with an interval, and whether a type has it.

The expected need is CUDA's own share and what PyTorch's allocator holds at the worst moment of the dry run: half way
between no kernel having a workspace and each having its own, for cuDNN takes one where there is room and does without
where there is not. It cannot be less than the tensors, where no size was assumed. Nine in ten programs are meant to
need what lies between the ends; `benchmarks.memory_fits` says on which of the measured runs it is right.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kilowait.predict.assumed import FACTORS
from kilowait.predict.board_memory.board_capacity import LEAST_CONTEXT_BYTES, context_bytes, usable_bytes
from kilowait.predict.dryrun.record import Completeness, DryRun

WORKSPACE_SHARE = 0.5
"""How far the expected need lies from no workspaces at all towards one for each kernel."""
SPREAD = 1.08
"""The ends of the interval around the expected need, as a factor; chosen on half of the families of timm."""
PARTIAL_FACTOR = 2.0
"""How much more a program may need that was not seen to its end; chosen, not measured."""


class Fitting(StrEnum):
    """What becomes of a program on a type: the whole interval fits, some of it, or nothing."""

    FITS = "fits"
    CLOSE = "close"
    TOO_LARGE = "does not fit"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """Bytes on one GPU: `expected`, from `low` to `high`, of `available` ones, and what they are.

    `parts` are parameters, gradients, optimizer, activations, workspace and overhead (fragments of the allocator and
    CUDA's own share), and add up to the expected need. `partial` says that the program was not seen to its end.
    """

    low: float
    expected: float
    high: float
    available: float
    parts: Mapping[str, float]
    partial: bool = False

    @property
    def fitting(self) -> Fitting:
        """What becomes of the program there."""
        if self.high <= self.available:
            return Fitting.FITS
        return Fitting.CLOSE if self.low <= self.available else Fitting.TOO_LARGE

    @property
    def fits(self) -> bool:
        """Whether the expected need fits: the best single answer."""
        return self.expected <= self.available

    @property
    def dominant(self) -> str:
        """The largest part."""
        return max(self.parts, key=lambda name: self.parts[name])

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "fitting": str(self.fitting),
            "fits": self.fits,
            "low_bytes": round(self.low),
            "expected_bytes": round(self.expected),
            "high_bytes": round(self.high),
            "available_bytes": round(self.available),
            "dominant": self.dominant,
            "parts_bytes": {name: round(size) for name, size in self.parts.items()},
        }


def memory_need(run: DryRun, gpu_type: str, *, eager: bool = False) -> MemoryNeed:
    """What the program of a dry run needs on one GPU of a type; `eager` as `context_bytes` has it."""
    held = held_bytes(run)
    context = context_bytes(gpu_type, eager)
    expected = held + context
    varying = min(varying_bytes(run), held)
    partial = run.completeness == Completeness.PARTIAL
    spread = _spread(run)
    fixed = expected - varying
    low = fixed / SPREAD + varying / spread
    tensors = 0.0 if spread > SPREAD else run.peak_memory_bytes + LEAST_CONTEXT_BYTES
    return MemoryNeed(
        low=min(expected, max(low, tensors)),
        expected=expected,
        high=(fixed * SPREAD + varying * spread) * (PARTIAL_FACTOR if partial else 1.0),
        available=usable_bytes(gpu_type),
        parts=_parts(run, expected),
        partial=partial,
    )


def held_bytes(run: DryRun) -> float:
    """What the allocator is expected to hold; of a record without it, what the tensors take."""
    footprint = run.footprint
    if not footprint.held:
        return run.peak_memory_bytes
    return footprint.held + WORKSPACE_SHARE * (footprint.held_with_workspace - footprint.held)


def varying_bytes(run: DryRun) -> float:
    """What grows with the batch: everything that is held but parameters, their gradients and the optimizer's states."""
    footprint = run.footprint
    fixed = footprint.parameters + footprint.gradients + footprint.optimizer
    return max(0.0, held_bytes(run) - fixed)


def _spread(run: DryRun) -> float:
    """The factor for what grows with sizes that may have been assumed."""
    assumed = sum(math.log(FACTORS[how]) ** 2 for how in set(run.assumed_how) if how != "catalogue")
    return math.exp(math.sqrt(math.log(SPREAD) ** 2 + assumed))


def _parts(run: DryRun, expected: float) -> dict[str, float]:
    footprint = run.footprint
    parts = {
        "parameters": footprint.parameters,
        "gradients": footprint.gradients,
        "optimizer": footprint.optimizer,
        "activations": footprint.activations if footprint.held else run.peak_memory_bytes,
        "workspace": WORKSPACE_SHARE * footprint.workspace,
    }
    return {**parts, "overhead": max(0.0, expected - sum(parts.values()))}
