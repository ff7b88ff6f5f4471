"""Counts of calls as a tree: the whole program, and one tally an item of a loop that is run.

What an item stands for is known when its loop has ended; then the item's counts go to its parent under that weight. A
backward pass runs after the loops of the forward pass have ended, so a call of autograd counts where the forward call
was made, under the weights between there and the tally that is still open.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from math import isclose
from typing import Any

import torch

Key = tuple[Any, ...]

_NO_FORWARD = 1 << 62
"""Nodes of autograd that gather gradients have no place in the forward pass; their numbers are above this."""


@dataclass(eq=False)
class Tally:
    """How often each call was made, optimizer steps, samples of loaders, and which leaves of autograd were read.

    `calls` is how many calls were made in earnest, nothing weighed: what the item cost this process. `backward` says
    that a backward pass was made while it was open. `weight` is None until the tally has been added to its parent.
    """

    parent: Tally | None = None
    counts: dict[Key, float] = field(default_factory=dict)
    steps: float = 0.0
    samples: float = 0.0
    calls: int = 0
    leaves: set[int] = field(default_factory=set)
    backward: bool = False
    weight: float | None = None

    def again(self, parent: Tally | None) -> Tally:
        """The same done once more below `parent`, at no cost."""
        return replace(self, parent=parent, counts=dict(self.counts), calls=0, weight=None)

    def like(self, other: Tally) -> bool:
        """Whether the two items did the same, as far as sums of weights are equal."""
        if not isclose(self.steps, other.steps) or self.counts.keys() != other.counts.keys():
            return False
        return self.counts == other.counts or all(
            isclose(count, other.counts[key]) for key, count in self.counts.items()
        )

    def work(self, cost: dict[Key, float]) -> float:
        """The sum of its calls' costs."""
        return sum(count * cost[key] for key, count in self.counts.items())


class Tallies:
    """The tree, its open end, and which numbers of autograd belong to which tally."""

    def __init__(self) -> None:
        self.root = self.open = Tally()
        self._starts: list[int] = [0]
        self._owners: list[Tally] = [self.root]

    def begin(self) -> Tally:
        """Open a tally below the one that is open."""
        self._enter(Tally(parent=self.open))
        return self.open

    def end(self, tally: Tally) -> None:
        """Close `tally` and whatever is still open below it."""
        assert tally.parent is not None
        self._enter(tally.parent)

    def settle(self, tally: Tally, weight: float) -> None:
        """Add a closed tally to its parent: it stands for `weight` items."""
        parent = tally.parent
        assert parent is not None
        if tally.weight is not None:
            raise ValueError(f"a tally is settled once; this one stands for {tally.weight:g} items already")
        tally.weight = weight
        for key, count in tally.counts.items():
            parent.counts[key] = parent.counts.get(key, 0.0) + weight * count
        parent.steps += weight * tally.steps
        parent.samples += weight * tally.samples
        parent.calls += tally.calls
        parent.leaves |= tally.leaves
        parent.backward |= tally.backward

    def count(self, key: Key) -> None:
        """Count one call where it belongs: here, or for a backward pass where its forward call was."""
        tally, weight = self._place()
        tally.counts[key] = tally.counts.get(key, 0.0) + weight
        self.open.calls += 1

    def _place(self) -> tuple[Tally, float]:
        node = torch._C._current_autograd_node()
        if node is None or (number := node._sequence_nr()) >= _NO_FORWARD:
            return self.open, 1.0
        self.open.backward = True
        tally, weight = self._owners[bisect_right(self._starts, number) - 1], 1.0
        while tally.weight is not None:
            assert tally.parent is not None
            weight *= tally.weight
            tally = tally.parent
        return tally, weight

    def _enter(self, tally: Tally) -> None:
        self.open = tally
        self._starts.append(torch._C._autograd._get_sequence_nr())
        self._owners.append(tally)
