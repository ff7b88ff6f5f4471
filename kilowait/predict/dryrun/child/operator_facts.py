"""What is asked of an operator at every call, found out once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from kilowait.predict.dryrun.operators import kernels_of
from kilowait.predict.dryrun.tensors import composite

_SILENT = ("prim", "profiler")
"""Namespaces of operators that do nothing to data."""
DEVICE = torch.ops.prim.device.default


@dataclass(frozen=True)
class OperatorFacts:
    """Its `name` and that in the record (`op`), whether it is `composite`, and `counted`: whether it moves data."""

    name: str
    op: str
    composite: bool
    counted: bool


@cache
def facts_of(func: Any) -> OperatorFacts:
    """Of an overload of an operator."""
    op = func._schema.name.replace("::", ".")
    counted = bool(kernels_of(op, 1)) and not op.startswith(_SILENT)
    return OperatorFacts(name=func._schema.name, op=op, composite=composite(func), counted=counted)
