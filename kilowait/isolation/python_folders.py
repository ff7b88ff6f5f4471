"""Where a Python has its files."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

ANSWERS_WITHIN_S = 60.0
"""A cold disk takes seconds to start a Python from."""


def folders_of(python: str) -> tuple[str, ...]:
    """Of another Python, by its interpreter, as that says itself; one that does not is known by where it lies.

    None for "".
    """
    if not python:
        return ()
    command = [python, "-I", "-B", __file__]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWERS_WITHIN_S, env={"PATH": "/usr/bin:/bin"}, check=True
        )
        return (*json.loads(answer.stdout), python)
    except (OSError, ValueError, subprocess.SubprocessError):
        places = (Path(python), Path(python).resolve())
        return tuple(dict.fromkeys(str(place.parents[1]) for place in places if place.parent.name == "bin"))


def python_folders() -> set[str]:
    """Of this process's Python: its own files, and the packages installed in it and in other prefixes it looks into."""
    others = {name for name in sys.path if Path(name).name in ("site-packages", "dist-packages")}
    return {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()} | others


if __name__ == "__main__":
    sys.stdout.write(json.dumps(sorted(python_folders())))
