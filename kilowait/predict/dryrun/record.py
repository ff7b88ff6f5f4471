"""What a dry run found: the operations of a program, with the work each of them is."""

from enum import StrEnum
from typing import Self

import msgspec
from msgspec import Struct


class Completeness(StrEnum):
    """How much of a program its dry run stands for."""

    WHOLE = "whole"  # every operation was seen or stands under a weight
    GUESSED = "guessed"  # it ran to its end, but what depends on values (a loop's length, a mask) was assumed
    PARTIAL = "partial"  # it ended early: the work is a lower bound
    FAILED = "failed"  # nothing usable


class Kind(StrEnum):
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


class Operation(Struct, frozen=True, kw_only=True, gc=False):
    """Equal calls of one operator: the same shapes, types and attributes.

    `count` is how often it is called, weights of loops included (so it may be a fraction). Of one call: `flops`
    (a multiplication and an addition are two), `bytes_read` and `bytes_written` (every tensor once, no cache), and
    `kernels`, the launches on a GPU as far as the operator's name tells. `shapes` are those of the tensors in its
    arguments, in order, and `attributes` its other arguments, both as JSON; numbers with a fraction among these are the
    first call's and may differ in the others. `device` is "cuda" or "cpu".
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


class DryRun(Struct, frozen=True, kw_only=True):
    """The work of one source when it runs on `target` ("cuda": one GPU of whatever type; "cpu").

    `steps` are optimizer steps (0 where there is no optimizer), `parameters` how many numbers its modules learn,
    `peak_memory_bytes` the most that lived on the target at once (no allocator overhead). `reason` says why a run is
    not whole. `seconds` is what the dry run itself took, measured.
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

    def to_json(self) -> bytes:
        """The record as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """The inverse of `to_json`; raises msgspec.ValidationError on anything else."""
        return msgspec.json.decode(data, type=cls)

    @property
    def usable(self) -> bool:
        """Whether there is any work to predict from."""
        return self.completeness != Completeness.FAILED and bool(self.operations)
