"""How many GPUs a program asks for before it does anything: `if torch.cuda.device_count() < 2: sys.exit()`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

MOST = 64
"""More GPUs than this no single program is given."""
_ABOVE = {"gt": 1, "ge": 0, "eq": 0, "ne": 0, "lt": 0, "le": 1}
"""By comparison, how far above what it is compared with the count must be to have another answer."""


class GpuCount(int):
    """The number of GPUs, which tells `need` of a larger one that it is compared with."""

    need: Callable[[int], None]

    def __hash__(self) -> int:
        return int.__hash__(self)


def _comparing(name: str) -> Any:
    compare = getattr(operator, name)

    def ask(self: GpuCount, other: Any) -> Any:
        if type(other) is int and int(self) < other + _ABOVE[name] <= MOST:
            self.need(other + _ABOVE[name])
        return compare(int(self), other)

    return ask


for _name in _ABOVE:
    setattr(GpuCount, f"__{_name}__", _comparing(_name))


def gpu_count(count: int, need: Callable[[int], None]) -> GpuCount:
    """`count` GPUs; `need` is called with how many the program asks for beyond them."""
    made = GpuCount(count)
    made.need = need
    return made
