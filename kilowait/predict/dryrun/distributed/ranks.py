"""The variables that a launcher gives each rank, for programs that were started without one.

`os.environ["LOCAL_RANK"]` then reads as in a world of one; `"LOCAL_RANK" in os.environ` stays false and `get` gives
its default, so that a program which asks whether it is distributed hears that it is not. One that asserts it, and so
cannot run without, is told that it is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

ALONE = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "NODE_RANK": "0",
    "GROUP_RANK": "0",
    "WORLD_SIZE": "1",
    "LOCAL_WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}
_missing = object()
_needed = [0]
"""Above zero while a program asserts what it needs."""


def asserted(condition: Callable[[], Any]) -> Any:
    """What an assertion asks, where a rank that nobody gave counts as given."""
    _needed[0] += 1
    try:
        return condition()
    finally:
        _needed[0] -= 1


def pretend_ranks(assume: Any) -> None:
    """Make `os.environ` answer; `assume` is told once what was taken for granted."""
    kind: Any = type(os.environ)

    class Ranks(kind):  # type: ignore[misc]
        """The environment, in which a rank that nobody gave is that of a world of one."""

        def __contains__(self, key: Any) -> bool:
            if key not in ALONE:  # whoever watches what is asked for hears of it
                return bool(super().__contains__(key))
            return _needed[0] > 0 or self._given(key)

        def _given(self, key: Any) -> bool:
            return self.encodekey(key) in self._data

        def __getitem__(self, key: Any) -> Any:
            if key in ALONE and not self._given(key):
                assume("a world of one process: no launcher set its rank")
                return ALONE[key]
            return super().__getitem__(key)

        def get(self, key: Any, default: Any = None) -> Any:
            if key in ALONE and not self._given(key):
                return self[key] if _needed[0] else default
            return super().get(key, default)

        def pop(self, key: Any, default: Any = _missing) -> Any:
            if key in ALONE and not self._given(key) and default is not _missing:
                return default
            return super().pop(key) if default is _missing else super().pop(key, default)

    os.environ.__class__ = Ranks
