"""What a tree of processes holds in memory, read from /proc: where there is no control group to limit it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from kilowait.isolation.process_tree import descendants


def held_bytes(root: int) -> int:
    """Memory of a process and its descendants; what several share is counted in parts, where the kernel tells them.

    A part that cannot be read counts as nothing: a process may end at any time.
    """
    return sum(map(_of_process, (root, *descendants({root}))))


def _of_process(pid: int) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        sizes = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
        return (int(sizes["Pss"]) + int(sizes.get("SwapPss", 0))) * 1024
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
