"""Which modules of installed packages a program has imported, for the next run of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection

MOST_NAMES, MOST_LETTERS = 10_000, 200
"""Of modules that are told, and of a name."""
_INSTALLED = re.compile(r"[/\\](site|dist)-packages[/\\]")


def installed_modules(before: Collection[str]) -> list[str]:
    """Modules of installed packages that were imported since, in the order in which that began."""
    found = []
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__dict__", {}).get("__spec__")
        origin = getattr(spec, "origin", None)
        if name in before or getattr(spec, "name", None) != name or not isinstance(origin, str):
            continue
        if _INSTALLED.search(origin) and len(name) <= MOST_LETTERS:
            found.append(name)
    return found[:MOST_NAMES]
