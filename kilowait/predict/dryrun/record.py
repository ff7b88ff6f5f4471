"""What a dry run found: the operations of a program, with the work each of them is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

_LATER = (
    *("assumptions", "assumed_how", "missing", "unset", "interpreter", "exchanges"),
    *("samples", "limit_s", "unbounded", "remedy", "gpus_needed"),
)
"""What records of older versions have not got; left out of the JSON where it is empty."""


class _Word(str, Enum):
    """A name that is written as its value (enum.StrEnum came with Python 3.11)."""

    def __str__(self) -> str:
        return str(self.value)


class Completeness(_Word):
    """How much of a program its dry run stands for."""

    WHOLE = "whole"  # every operation was seen or stands under a weight
    GUESSED = "guessed"  # it ran to its end, but what depends on values (a loop's length, a mask) was assumed
    PARTIAL = "partial"  # it ended early: the work is a lower bound
    FAILED = "failed"  # nothing usable


class Kind(_Word):
    """Classes of operations that a device serves alike."""

    GEMM = "gemm"
    CONVOLUTION = "convolution"
    ATTENTION = "attention"
    RECURRENT = "recurrent"
    ELEMENTWISE = "elementwise"
    REDUCTION = "reduction"
    SOFTMAX = "softmax"
    NORMALISATION = "normalisation"
    POOLING = "pooling"
    SCAN = "scan"
    INDEXING = "indexing"  # gather, scatter, embedding
    COPY = "copy"  # layout, concatenation, padding, fill
    TRANSFER = "transfer"  # between host and device
    RANDOM = "random"
    OTHER = "other"


HOW = ("given", "catalogue", "modelled", "default")
"""How an assumption is known: said by the user; a published fact; work told by an operator's name; nothing known."""


@dataclass(frozen=True)
class Operation:
    """Equal calls of one operator: the same shapes, types and attributes.

    `count` is how often it is called, weights of loops included (so it may be a fraction). Of one call: `flops`
    (a multiplication and an addition are two), `bytes_read` and `bytes_written` (every tensor once, no cache), and
    `kernels`, the launches on a GPU as far as the operator's name tells. `shapes` are those of the tensors in its
    arguments, in order, and `attributes` its other arguments, both as JSON; numbers with a fraction among these are the
    first call's and may differ in the others. `device` is "cuda" or "cpu". `layout` is "channels_last" where images or
    volumes among the inputs lie in memory that way, and empty otherwise. `precision` is that of products in float32:
    "tf32" or "ieee" where the program sets it, empty for PyTorch's default (convolutions and recurrences in TF32 where
    the GPU has it, matrix products not). `backward` says that autograd made the call in a backward pass, `tuned` that
    cuDNN may try its algorithms for a convolution.
    """

    op: str
    kind: str
    dtype: str
    device: str
    count: float
    flops: float
    bytes_read: float
    bytes_written: float
    kernels: int
    shapes: str = "[]"
    attributes: str = "[]"
    layout: str = ""
    precision: str = ""
    backward: bool = False
    tuned: bool = False


_WHERE_SET = ("layout", "precision", "backward", "tuned")


def _written(operation: Operation) -> dict[str, Any]:
    """The fields of an operation; those that records of older versions have not got only where they say something."""
    return {name: value for name, value in vars(operation).items() if value or name not in _WHERE_SET}


@dataclass(frozen=True)
class Exchange:
    """Equal collectives of a rank: `bytes` of one message, how often (weights of loops included), among how many ranks.

    `op` is all_reduce, all_gather, reduce_scatter, broadcast, reduce, gather, scatter, all_to_all, send, receive or
    barrier; `dtype` is "object" where Python's objects are sent.
    """

    op: str
    dtype: str
    bytes: float
    count: float
    ranks: int


@dataclass(frozen=True)
class Footprint:
    """Bytes on the device at the moment at which a program needs most, by what they are.

    `activations` are all tensors that are not `parameters`, `gradients` or made by an `optimizer`; `workspace` is what
    the operator takes that runs then. `held` is what tensors need in the segments of PyTorch's allocator, with the
    fragments that nothing else can use, `held_with_workspace` the same where every kernel gets its workspace too (where
    memory is short, cuDNN takes kernels that need less), and `cached` what the allocator would ever ask for, had the
    device no end. Not in it: CUDA's own share.
    """

    parameters: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    workspace: float = 0.0
    held: float = 0.0
    held_with_workspace: float = 0.0
    cached: float = 0.0


@dataclass(frozen=True)
class DryRun:
    """The work of one source when it runs on `target` ("cuda": one GPU of whatever type; "cpu").

    `steps` are optimizer steps (0 where there is no optimizer), `parameters` how many numbers its modules learn,
    `peak_memory_bytes` the most that lived on the target at once (no allocator overhead; `footprint` has more).
    `reason` says why a run is not whole. `seconds` is what the dry run itself took, measured.

    `assumptions` are what the record rests on, a line for the user each, and `assumed_how` says of each how
    it is known (one of `HOW`); `missing` names operators and packages whose
    time is not in it; `unset` the environment variables that the program read and did not find; `interpreter` the
    versions it ran under ("Python 3.11.7, torch 2.9.0").

    `samples` are what the loaders of its training loops gave (0: none counted); `limit_s` are seconds after which the
    program ends by itself (0: it does not). `unbounded` says why the operations are no measure of the job: nothing
    tells how often a loop runs, or it was ended outside any loop. `remedy` is what the user can do about the reason.

    `gpus_needed` are GPUs that a program asked for which then did or learnt nothing, as it has fewer (0: none).

    A distributed program is run as one rank of `world`: the work is that rank's, `exchanges` what it exchanges with the
    others.
    """

    content_hash: str
    target: str
    completeness: str
    reason: str = ""
    operations: tuple[Operation, ...] = ()
    steps: float = 0.0
    parameters: float = 0.0
    peak_memory_bytes: float = 0.0
    seconds: float = 0.0
    assumptions: tuple[str, ...] = ()
    assumed_how: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    samples: float = 0.0
    limit_s: float = 0.0
    unbounded: str = ""
    remedy: str = ""
    interpreter: str = field(default="", compare=False)  # how it was had, no part of what was found
    gpus_needed: int = 0
    world: int = 1
    exchanges: tuple[Exchange, ...] = ()
    footprint: Footprint = Footprint()

    def to_json(self) -> bytes:
        """The record as JSON; `dry_runner.read_dry_run` is its inverse."""
        fields = {name: value for name, value in vars(self).items() if value or name not in _LATER}
        fields["operations"] = [_written(operation) for operation in self.operations]
        if self.exchanges:
            fields["exchanges"] = [vars(exchange) for exchange in self.exchanges]
        if self.footprint.held:
            fields["footprint"] = vars(self.footprint)
        else:
            fields.pop("footprint", None)  # a record that was read may lack it
        if self.world == 1:
            fields.pop("world", None)  # a record that was read has not got what it did not name
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")

    @property
    def usable(self) -> bool:
        """Whether there is any work to predict from."""
        return self.completeness != Completeness.FAILED and bool(self.operations)
