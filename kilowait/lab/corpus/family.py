"""What a family of programs is made of; `render.py` turns it into a script in one of several styles.

The code of a family is plain Python with two conventions: `H.name` is a hyperparameter and `S.name` is state that
lives across steps (model, optimiser, data). A style replaces both: constants and locals, function arguments,
attributes of a class, fields of a configuration object or of parsed arguments.
"""

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Value = int | float | str
Hyperparameters = Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of program.

    `draw` picks hyperparameters for one CPU core; `enlarge` turns them into the same program with 100 to 1,000
    times the work, for a GPU; `seconds` estimates the run time on one CPU core, for choosing, never as a label.
    `definitions` are classes and functions that take everything through arguments (no H, no S). `setup` may use
    H, `device` and assigns S; `step` is one iteration: it may use H, S, `device` and the index `step`, and
    assigns the local `loss` (a scalar tensor or float); `H.steps` iterations are run. `report` runs once at the
    end and assigns `summary` (a float). The imports (`import torch`, ...) are listed one statement a line.
    """

    name: str
    summary: str
    imports: str
    definitions: str
    setup: str
    step: str
    report: str
    draw: Callable[[random.Random], dict[str, Value]]
    enlarge: Callable[[Hyperparameters], dict[str, Value]]
    seconds: Callable[[Hyperparameters], float]


class Cost(NamedTuple):
    """One step's rough work: matrix-multiply FLOPs, elements read or written by other operators, torch calls.

    `once` counts the elements made before the first step (data, large tables).
    """

    flops: float
    elements: float
    calls: float
    once: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """Draws hyperparameters and estimates the time they take; its methods are a family's draw, enlarge and seconds.

    `cost` is one step's work. `scale` corrects the generic rates below to this family, measured over a few draws
    on one core. `choices` are the values that a draw mixes, `steps` the bounds of `H.steps`, typical of the family.
    `growth` lists (name, factor, largest value) in the order in which `enlarge` applies them, again and again.
    `moves_data` makes the elements instead of the FLOPs the measure of work, for programs whose time is not in
    products. `launches_s` is how long the enlarged run's calls may take at 10 us each before it grows by more than
    steps.
    """

    cost: Callable[[Hyperparameters], Cost]
    scale: float
    choices: Mapping[str, Sequence[Value]]
    steps: tuple[int, int]
    growth: Sequence[tuple[str, int, int]]
    moves_data: bool = False
    launches_s: float = 40.0
    shortest_s: float = 0.085
    longest_s: float = 4.3

    def seconds(self, h: Hyperparameters) -> float:
        """Estimated seconds on one CPU core: a sum over FLOPs, moved elements and calls, times `scale`."""
        flops, elements, calls, once = self.cost(h)
        step_s = flops / 80e9 + elements / 1e9 + calls * 4e-6
        return self.scale * (once / 1e9 + float(h["steps"]) * step_s)

    def draw(self, rng: random.Random) -> dict[str, Value]:
        """Draw every hyperparameter by itself, the middle of its list more often, until the time is in bounds.

        Steps do not make up for width: a script's time follows from what it is and how large it is, as in programs
        that people write.
        """
        for _ in range(10_000):
            h = {name: values[_near_middle(rng, len(values))] for name, values in self.choices.items()}
            steps = _two_digits(math.exp(rng.uniform(math.log(self.steps[0]), math.log(self.steps[1]))))
            if self.shortest_s <= self.seconds({**h, "steps": steps}) <= self.longest_s:
                return {**h, "steps": steps}
        bounds = f"{self.shortest_s} to {self.longest_s} s within {self.steps} steps"
        raise ValueError(f"no mix of {', '.join(self.choices)} takes {bounds}")

    def work(self, h: Hyperparameters) -> float:
        """The whole run's FLOPs, or elements moved where `moves_data`."""
        cost = self.cost(h)
        return float(h["steps"]) * (cost.elements if self.moves_data else cost.flops)

    def enlarge(self, h: Hyperparameters) -> dict[str, Value]:
        """500 times the work: grow until the launches alone take under `launches_s`, the rest in steps."""
        work = 500 * self.work(h)
        big = {**h, "steps": 1}
        caps = {name: cap for name, _, cap in self.growth}
        for name, factor, cap in itertools.cycle(self.growth):
            steps = work / self.work(big)
            if steps * self.cost(big).calls * 10e-6 < self.launches_s or all(int(big[n]) >= caps[n] for n in caps):
                return {**big, "steps": max(1, _two_digits(steps))}
            big[name] = max(int(big[name]), min(cap, int(big[name]) * factor))
        raise ValueError("growth must name at least one hyperparameter")


def sizes(h: Hyperparameters, *names: str) -> tuple[float, ...]:
    """The named hyperparameters as floats, for a cost formula."""
    return tuple(float(h[name]) for name in names)


def _near_middle(rng: random.Random, count: int) -> int:
    """An index below count: the mean of two draws."""
    return (rng.randrange(count) + rng.randrange(count)) // 2


def _two_digits(value: float) -> int:
    """Round as a person would write it: 7, 43, 120, 3500."""
    unit: int = 10 ** max(0, math.floor(math.log10(max(value, 1))) - 1)
    return round(value / unit) * unit
