"""Windows of nodes from CSV: when a simulated node is maintained, or kept for some users.

Columns are `node,begins_s,ends_s`, seconds on the clock of the jobs, and optionally `users` (names with spaces between;
none: it is for nobody, as in maintenance) and `reason`. A node may have several rows.
"""

from os import PathLike
from pathlib import Path

from kilowait.core.maintenance import NodeReservation
from kilowait.files.rows import Row, needs, read_csv

_REQUIRED, _OPTIONAL = ("node", "begins_s", "ends_s"), ("users", "reason")


def read_windows(path: str | PathLike[str]) -> list[NodeReservation]:
    """The windows of a file in its order; raises InputError naming file, line, column and value."""
    path = Path(path)
    return [_window(row) for row in read_csv(path, needs(path, _REQUIRED, _OPTIONAL))]


def _window(row: Row) -> NodeReservation:
    begins_s, ends_s = row.number("begins_s"), row.number("ends_s")
    if ends_s <= begins_s:
        raise row.wrong("ends_s", f"must be after begins_s, which is {begins_s:g}")
    return NodeReservation(
        name=f"line {row.line}",
        nodes=(row.text("node"),),
        begins_s=begins_s,
        ends_s=ends_s,
        users=tuple((row.optional("users") or "").split()),
        reason=row.optional("reason") or "",
    )
