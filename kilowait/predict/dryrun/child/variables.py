"""The environment variables of a program, and which of them it reads and does not find.

Only what its own modules ask for is told: libraries ask for many that nobody sets.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

LONGEST_NAME = 100
_RANKS = str(Path(__file__).parents[1] / "distributed" / "ranks.py")
_BETWEEN = ("<frozen os>", "<frozen _collections_abc>", os.__file__, sys.modules["_collections_abc"].__file__, _RANKS)
"""Files of the code between a program and the variable that it asks for."""


def give_variables(environment: Mapping[str, str], home: Path) -> None:
    """Set the job's variables, in a home of its own, without the worker's PYTHONPATH."""
    home.mkdir(parents=True, exist_ok=True)
    os.environ.pop("PYTHONPATH", None)
    os.environ.update({"HOME": str(home), **environment})


def watch_variables(files: Collection[str], unset: Callable[[str], None]) -> None:
    """Call `unset` with the name of a variable that one of the program's `files` reads and that is not there."""
    found: Any = os._Environ.__getitem__

    def asked(self: Any, name: Any) -> Any:
        try:
            return found(self, name)
        except KeyError:
            if isinstance(name, str) and _asks(sys._getframe(1), files):
                unset(name[:LONGEST_NAME])
            raise

    setattr(os._Environ, "__getitem__", asked)  # noqa: B010 - the checker knows its signature otherwise


def _asks(frame: Any, files: Collection[str]) -> bool:
    """Whether a file of the program asks, directly or through os.getenv and get; setting a default is not asking."""
    while frame is not None and frame.f_code.co_filename in _BETWEEN:
        if frame.f_code.co_name in ("setdefault", "pop"):
            return False
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename in files
