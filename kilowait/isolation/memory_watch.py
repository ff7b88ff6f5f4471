"""What a tree of processes holds in memory, read from /proc: where there is no control group to limit it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def held_bytes(root: int) -> int:
    """Memory of a process and its descendants; what several share is counted in parts, where the kernel tells them.

    A part that cannot be read counts as nothing: a process may end at any time.
    """
    return sum(map(_of_process, _tree(root)))


def _tree(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            after_name = stat.read_text(errors="replace").rpartition(")")[2].split()
            parents.setdefault(int(after_name[1]), []).append(int(stat.parent.name))
    found, new = [], [root]
    while new:
        found += new
        new = [child for parent in new for child in parents.get(parent, ())]
    return found


def _of_process(pid: int) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        sizes = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
        return (int(sizes["Pss"]) + int(sizes.get("SwapPss", 0))) * 1024
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
