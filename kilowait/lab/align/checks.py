"""When a rewrite may stand for its original: it parses, has a sane size, and costs what the original costs."""

import ast
from dataclasses import dataclass
from typing import Protocol

from kilowait.core.errors import InputError, SourceError
from kilowait.lab.align.facts import differences, key_facts


class Costs(Protocol):
    """What a dry run of a source adds up to; every figure modelled."""

    @property
    def flops(self) -> float:
        """Floating-point operations of the whole run."""

    @property
    def bytes(self) -> float:
        """Bytes that its operations read and write."""

    @property
    def kernels(self) -> float:
        """Operations launched."""


class CostModel(Protocol):
    """A dry run; None where it cannot follow the source."""

    def __call__(self, source_text: str) -> Costs | None:
        """The costs of running `source_text`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteLimits:
    """How much a rewrite may depart: costs by a share of the original's, length by a factor and in bytes."""

    cost_tolerance: float = 0.02
    longest_factor: float = 3.0
    longest_bytes: int = 200_000

    def __post_init__(self) -> None:
        if not 0 <= self.cost_tolerance < 1 or self.longest_factor < 1 or self.longest_bytes < 1:
            raise InputError(f"limits must be a share below 1, a factor >= 1 and bytes >= 1, got {self!r}")


def objection(original: str, rewrite: str, limits: RewriteLimits, costs: CostModel | None = None) -> str | None:
    """Why `rewrite` may not stand for `original`; None when nothing speaks against it.

    Costs decide where a dry run follows both sources. Where it does not follow the original, or none is given, the
    key facts of both must agree; that is weaker, because it counts calls and numbers and not how they are put together.
    """
    size = len(rewrite.encode())
    if size > min(limits.longest_bytes, limits.longest_factor * len(original.encode()) + 1000):
        return f"too long: {size:,} bytes for an original of {len(original.encode()):,}"
    try:
        body = ast.parse(rewrite).body
    except (SyntaxError, ValueError, RecursionError) as error:
        return f"does not parse: {error}"
    if not body:
        return "holds no code"
    original_costs = None if costs is None else costs(original)
    if costs is None or original_costs is None:
        return _of_facts(original, rewrite)
    rewrite_costs = costs(rewrite)
    if rewrite_costs is None:
        return "the dry run does not follow it"
    return _of_costs(original_costs, rewrite_costs, limits.cost_tolerance)


def _of_costs(original: Costs, rewrite: Costs, tolerance: float) -> str | None:
    for name in ("flops", "bytes", "kernels"):
        a, b = float(getattr(original, name)), float(getattr(rewrite, name))
        if not abs(b - a) <= tolerance * max(abs(a), 1.0):  # NaN is an objection too
            return f"other work: {name} {b:.6g} against {a:.6g}, tolerance {tolerance:.1%}"
    return None


def _of_facts(original: str, rewrite: str) -> str | None:
    try:
        differing_facts = differences(key_facts(original), key_facts(rewrite))
    except SourceError as error:
        return f"its facts cannot be compared: {error}"
    return f"other facts: {'; '.join(differing_facts)}" if differing_facts else None
