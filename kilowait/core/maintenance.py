"""A time in which a node is the operator's: jobs that would not be over by then are not started on it."""

from math import isfinite

from msgspec import Struct

from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.core.submission_limits import MAX_NAME


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


def longest_s(prediction: Prediction) -> float:
    """How long a job may take as predicted: the upper end of its interval, where it has one."""
    return max(prediction.runtime_s, prediction.runtime_high_s or 0.0)
