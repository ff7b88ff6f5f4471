"""What tells how long a program goes on, and where it was when it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class LoopEnds:
    """What is known of the ends of a program's loops, and of its own.

    `clocks` are seconds that the program compared the time with, and `limit_s` those after which it ends by itself (0:
    it does not). `unbounded` says of which loops nothing tells how often they run, and `interrupted` in which items the
    program was when it was ended. `gpus_needed` are GPUs that it asked for beyond those there are (0: it did not), and
    `ranks_needed` the processes that its error asks for, alone as it is. While it is `exiting` it ends as it wishes;
    `closers` settle what is open at the end.
    """

    clocks: list[float] = field(default_factory=list)
    limit_s: float = 0.0
    unbounded: dict[str, None] = field(default_factory=dict)
    interrupted: list[str] = field(default_factory=list)
    gpus_needed: int = 0
    ranks_needed: int = 0
    exiting: bool = False
    closers: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        """The program is over: settle what it left open."""
        for closer in self.closers:
            closer()


def note_endless(loop: Any) -> None:
    """Nothing tells how often a loop runs: after all training, and where it trains nothing, it is taken as it was seen.

    So is a last game that is played to its end.
    """
    recorder, trains = loop.recorder, any(tally.steps for tally in loop.tallies.values())
    why = "only the clock ends the loop" if loop.limited else "nothing says how often the loop runs"
    if loop.depth or loop.limited or trains or not recorder.tallies.root.steps:
        recorder.ends.unbounded[f"{loop.line}: {why}"] = None
        return
    text = f"{loop.line}: {why}; it trains nothing, and {loop.item + 1} of its items were taken"
    recorder.guess(text)
    recorder.assume(text, "default")
