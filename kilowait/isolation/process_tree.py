"""Which processes descend from which, read from /proc."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def descendants(roots: Iterable[int]) -> list[int]:
    """The living processes under `roots`, parents before children; one that ends meanwhile may be missing."""
    children = children_by_parent()
    found: list[int] = []
    pending = list(roots)
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def children_by_parent() -> dict[int, list[int]]:
    """The living processes of the machine by their parent's number; those that wait to be reaped are none."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    return children
