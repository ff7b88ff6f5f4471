"""Times in which a node is the operator's, or some users': jobs of others that would not be over then stay off it."""

from math import isfinite

from msgspec import Struct

from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.core.quotas import CONTROL
from kilowait.core.submission_limits import MAX_NAME

MOST_NAMES = 1000
"""Nodes, users and projects of one reservation, each."""


class Maintenance(Struct, frozen=True, kw_only=True):
    """Of a node, from `begins_s` to `ends_s` in seconds since the epoch; one that has ended already is none.

    `stays_drained` is whether the node drained before it began, for another reason, and so drains on when it is over.
    """

    node: str
    begins_s: float
    ends_s: float
    reason: str = ""
    stays_drained: bool = False


def checked_maintenance(maintenance: Maintenance) -> Maintenance:
    """The same; raises InputError, naming the field, for a time that ends before it begins, or never."""
    begins_s, ends_s = maintenance.begins_s, maintenance.ends_s
    if not (isfinite(begins_s) and isfinite(ends_s) and begins_s <= ends_s):
        raise InputError(f"maintenance: ends_s must be finite and not before begins_s, got {begins_s!r} to {ends_s!r}")
    if len(maintenance.reason) > MAX_NAME:
        raise InputError(f"maintenance: reason has at most {MAX_NAME} characters, got {len(maintenance.reason)}")
    return maintenance


class NodeReservation(Struct, frozen=True, kw_only=True):
    """Of `nodes`, from `begins_s` to `ends_s` in seconds since the epoch; one that has ended already is none.

    It is for `users` and for the members of `projects`, by the names of their quotas. They may use the nodes at any
    time; so may others before it begins and after it has ended.
    """

    name: str
    nodes: tuple[str, ...]
    begins_s: float
    ends_s: float
    users: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    reason: str = ""


def checked_reservation(reservation: NodeReservation) -> NodeReservation:
    """The same; raises InputError, naming the field, for one that is for nobody or that ends before it begins."""
    begins_s, ends_s = reservation.begins_s, reservation.ends_s
    if not (isfinite(begins_s) and isfinite(ends_s) and begins_s <= ends_s):
        raise InputError(f"reservation: ends_s must be finite and not before begins_s, got {begins_s!r} to {ends_s!r}")
    if not reservation.nodes:
        raise InputError("reservation: it is of no node; name some")
    if not (reservation.users or reservation.projects):
        raise InputError("reservation: it is for nobody; name users or projects, or plan the node's maintenance")
    for field in ("nodes", "users", "projects"):
        if len(names := getattr(reservation, field)) > MOST_NAMES:
            raise InputError(f"reservation: at most {MOST_NAMES} {field}, got {len(names)}")
    for name in (reservation.name, *reservation.users, *reservation.projects):
        if not 0 < len(name) <= MAX_NAME or CONTROL.search(name):
            raise InputError(f"reservation: a name has 1 to {MAX_NAME} printable characters, got {name[:MAX_NAME]!r}")
    if len(reservation.reason) > MAX_NAME:
        raise InputError(f"reservation: reason has at most {MAX_NAME} characters, got {len(reservation.reason)}")
    return reservation


def longest_s(prediction: Prediction) -> float:
    """How long a job may take as predicted: the upper end of its interval, where it has one."""
    return max(prediction.runtime_s, prediction.runtime_high_s or 0.0)
