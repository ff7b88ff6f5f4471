"""What a family of programs is made of; `render.py` turns it into a script in one of several styles.

The code of a family is plain Python with two conventions: `H.name` is a hyperparameter and `S.name` is state that
lives across steps (model, optimiser, data). A style replaces both: constants and locals, function arguments,
attributes of a class, fields of a configuration object or of parsed arguments.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
