"""What a policy may decide, and the checks its parameters share."""

import math
from collections.abc import Callable

from msgspec import Struct

from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.core.jobs import Held


class Place(Struct, frozen=True, kw_only=True, gc=False):
    """Start this waiting job now, on its number of GPUs of this type.

    `where` names the boards, for a policy that keeps others for somebody else; () leaves that to `Cluster.locate`.
    `limit_w` is the power limit of each board, None for its own.
    """

    job_id: str
    gpu_type: str
    where: tuple[Held, ...] = ()
    limit_w: float | None = None


class Preempt(Struct, frozen=True, kw_only=True, gc=False):
    """Take this running job's GPUs back at a checkpoint, now; placing it again in the same round is a migration."""

    job_id: str


class SetLimit(Struct, frozen=True, kw_only=True, gc=False):
    """Limit each board of this running job to so many watts from now on, None for its own limit."""

    job_id: str
    limit_w: float | None


Decision = Place | Preempt | SetLimit
"""Everything a policy may decide."""

Policy = Callable[[Cluster], list[Decision]]
"""A policy with its parameters bound: reads the cluster, returns decisions to carry out in this order."""


def checked_weight(name: str, weight: float) -> float:
    """`weight` itself; raises InputError, naming the parameter, unless it is finite and >= 0."""
    if not (math.isfinite(weight) and weight >= 0):
        raise InputError(f"{name} must be finite and >= 0, got {weight!r}")
    return weight


def checked_count(name: str, count: int) -> int:
    """`count` itself; raises InputError, naming the parameter, unless it is >= 1."""
    if count < 1:
        raise InputError(f"{name} must be >= 1, got {count!r}")
    return count
