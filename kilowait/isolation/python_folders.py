"""Where a Python has its files."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path


def folders_of(python: str) -> tuple[str, ...]:
    """Of another Python, by its interpreter: its environment, and what that was made from; none for ""."""
    if not python:
        return ()
    path = Path(python)
    return tuple(dict.fromkeys(str(folder) for folder in (path.parents[1], path.resolve().parents[1])))


def python_folders() -> set[str]:
    """Of this process's Python: its own files, and the packages installed in it and in other prefixes it looks into."""
    others = {name for name in sys.path if Path(name).name in ("site-packages", "dist-packages")}
    return {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()} | others
