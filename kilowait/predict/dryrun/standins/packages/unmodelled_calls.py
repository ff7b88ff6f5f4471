"""Calls of operators whose time is not in the record, counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_NAMES = 50


class UnmodelledCalls:
    """How often each was called in this process, and as what its calls are recorded, if they are."""

    def __init__(self) -> None:
        self._calls: dict[str, tuple[str, int]] = {}

    def add(self, name: str, op: str = "") -> None:
        """One more call of `name`; `op` is what its calls are recorded as."""
        if name in self._calls or len(self._calls) < MOST_NAMES:
            self._calls[name] = (op, self._calls.get(name, (op, 0))[1] + 1)

    def lines(self, counts: Mapping[Any, float]) -> tuple[str, ...]:
        """A line for each, with how often the job runs it: `counts` are those of the recorded calls."""
        made = []
        for name, (op, calls) in self._calls.items():
            count = sum(number for key, number in counts.items() if key[0] == op) if op else calls
            made.append(f"{name}: its time is missing, ran {count or calls:,.0f} times"[:300])
        return tuple(made)
