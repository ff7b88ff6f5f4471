"""How alike the efficiencies of two operations on two devices are expected to be: the covariances `fit` learns with.

The logarithm of an operation's real time over its roofline is a sum of random functions, each a covariance over
operations times one over device types: what classes of operations, operators and shapes have in common
everywhere (devices: all alike), what they have in common on similar boards (devices: by their sheets), what is
a board's own, and what is in the hands of one source (versions, clocks, how it measures). The host has its own
sum, in which machines differ but sheets say nothing: what boards of one type have in common is what their hosts have,
whoever owns them, since machines are bought with their boards. A program's remainder is last: what measuring it on one
type says about another.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import InputError
from kilowait.predict.device_model.distances import cdist
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.work import BACKWARD, SCALES, Work

Across = Literal["all", "alike", "type", "own", "source"]
"""How a term's function goes over boards: one for all, by likeness of sheets, a type's, a board's own, a source's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Standard deviations of the terms (in logarithms of time), and two lengths.

    Of the device: `kin` (products, convolutions, the rest), `group`, `op`, `shape` for all types; `alike`,
    `group_alike`, `shape_alike` by likeness; `group_own` of each type. Of the host: `host`, `host_group`, `host_op`
    for all; `host_type` of a type's, `machine`, `machine_group` of each board's. `program` and `program_alike` are a
    program's remainder, `noise` that of a measurement, `host_noise` more of it where the host limits. `variant` is what
    a group's precision, memory format and pass do, `variant_shape` and `variant_alike` by shape, for all types and by
    likeness. `source` and `source_group` are a source's on the device, `host_source` and `host_source_group` on its
    hosts, `host_pass` is that of backward passes. `shape_length` is in units of `work.SCALES`, `sheet_length` in those
    of `Specification.likeness`. A model that was fitted before a term was there has 0 of it.
    """

    kin: float = 0.417
    group: float = 0.088
    op: float = 0.125
    shape: float = 0.5
    alike: float = 0.2
    group_alike: float = 0.13
    shape_alike: float = 0.56
    group_own: float = 0.015
    host: float = 0.3
    host_group: float = 0.3
    host_op: float = 0.278
    machine: float = 0.288
    machine_group: float = 0.139
    program: float = 0.059
    program_alike: float = 0.039
    noise: float = 0.05
    host_noise: float = 0.1
    shape_length: float = 2.56
    sheet_length: float = 1.5
    variant: float = 0.0
    variant_shape: float = 0.0
    variant_alike: float = 0.0
    source: float = 0.0
    source_group: float = 0.0
    host_source: float = 0.0
    host_source_group: float = 0.0
    host_pass: float = 0.0
    host_type: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (np.isfinite(value) and (value > 0 or (value == 0 and name in ABSENT))):
                raise InputError(f"terms of the device model: {name} must be > 0 and finite, got {value!r}")


ABSENT = frozenset(term.name for term in fields(Terms) if term.default == 0)
"""Terms that a model of one source and one precision has not got."""


VARIED = Terms(variant=0.25, variant_shape=0.3, variant_alike=0.3, host_pass=0.3)
"""Where records tell precision, memory format and pass: round numbers, set once."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What covariances compare works by: kin, group, op and variant as texts, shape (U, DIMENSIONS)."""

    kin: tuple[str, ...]
    group: tuple[str, ...]
    op: tuple[str, ...]
    shape: FloatArray
    variant: tuple[str, ...]

    @classmethod
    def of(cls, works: Sequence[Work]) -> "Marks":
        """The marks of works, in their order."""
        return cls(
            kin=tuple(_kin(w.group) for w in works),
            group=tuple(w.group for w in works),
            op=tuple(w.op for w in works),
            variant=tuple(w.variant for w in works),
            shape=np.array([w.shape for w in works], dtype=np.float64).reshape(len(works), len(SCALES)),
        )


def _kin(group: str) -> str:
    head = group.partition("_")[0]
    return head if head in ("conv",) else "product" if head in ("gemm", "gemv") else "other"


def _same(a: Sequence[str], b: Sequence[str]) -> FloatArray:
    codes = {text: i for i, text in enumerate({*a, *b})}
    left, right = np.array([codes[t] for t in a]), np.array([codes[t] for t in b])
    return np.asarray(left[:, None] == right[None, :], dtype=np.float64)


def device_terms(terms: Terms, a: Marks, b: Marks) -> dict[Across, FloatArray]:
    """Covariances (A, B) of the device part, by how they go over device types."""
    group = _same(a.group, b.group)
    variant = group * _same(a.variant, b.variant)
    distance = cdist(a.shape / SCALES, b.shape / SCALES, "sqeuclidean")
    near = 1 / (1 + distance / (2 * terms.shape_length**2))  # rational quadratic: near and far both tell
    return {
        "all": terms.kin**2 * _same(a.kin, b.kin)
        + terms.group**2 * group
        + terms.op**2 * _same(a.op, b.op)
        + terms.variant**2 * variant
        + (terms.shape**2 * group + terms.variant_shape**2 * variant) * near,
        "alike": terms.alike**2
        + terms.group_alike**2 * group
        + (terms.shape_alike**2 * group + terms.variant_alike**2 * variant) * near,
        "own": terms.group_own**2 * group,
        "source": terms.source**2 + terms.source_group**2 * group,
    }


def host_terms(terms: Terms, a: Marks, b: Marks) -> dict[Across, FloatArray]:
    """Covariances (A, B) of the host part."""
    group = _same(a.group, b.group)
    back = _same([_back(v) for v in a.variant], [_back(v) for v in b.variant])
    of_type: dict[Across, FloatArray] = {"type": np.full(group.shape, terms.host_type**2)} if terms.host_type else {}
    return of_type | {
        "all": terms.host**2
        + terms.host_group**2 * group
        + terms.host_op**2 * _same(a.op, b.op)
        + terms.host_pass**2 * back,
        "own": terms.machine**2 + terms.machine_group**2 * group,
        "source": terms.host_source**2 + terms.host_source_group**2 * group,
    }


def _back(variant: str) -> str:
    return variant[-len(BACKWARD) :] if variant.endswith(BACKWARD) else ""


def most_device(terms: Terms) -> float:
    """Variance of the device part that all types share."""
    varied = terms.variant**2 + terms.variant_shape**2
    return terms.kin**2 + terms.group**2 + terms.op**2 + terms.shape**2 + varied


def most_host(terms: Terms) -> float:
    """Variance of the host part that all types share."""
    return terms.host**2 + terms.host_group**2 + terms.host_op**2 + terms.host_pass**2


def over_devices(terms: Terms, a: Sequence[Specification], b: Sequence[Specification]) -> dict[Across, FloatArray]:
    """Covariances (A, B) over boards, of variance 1."""
    left, right = (np.array([d.likeness() for d in side]).reshape(len(side), -1) for side in (a, b))
    distance = cdist(left, right, "sqeuclidean") if len(a) and len(b) else np.zeros((len(a), len(b)))
    return {
        "all": np.ones((len(a), len(b))),
        "alike": np.exp(distance / (-2 * terms.sheet_length**2)),
        "type": _same([_hosts(d) for d in a], [_hosts(d) for d in b]),
        "own": _same([f"{d.name}@{d.source}" for d in a], [f"{d.name}@{d.source}" for d in b]),
        "source": _same([d.source for d in a], [d.source for d in b]) * np.array([[d.source != ""] for d in a]),
    }


def _hosts(device: Specification) -> str:
    """Whose hosts are alike: those of a type, but for boards that stand alone."""
    return f"{device.name}@{device.source}" if device.alone else device.name


def program_terms(terms: Terms, over: dict[Across, FloatArray]) -> FloatArray:
    """Covariance (A, B) over device types of one program's remainder."""
    return terms.program**2 * over["all"] + terms.program_alike**2 * over["alike"]
