"""A policy's parameters as people give them: name, unit, default, sentence, and how their text is read."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kilowait.core.errors import InputError

Reader = Callable[[str], Any]
"""Reads the text of a parameter; raises InputError showing it."""


def weight(text: str) -> float:
    """A finite number >= 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise InputError(f"{text!r} is not a finite number >= 0")
    return number


def part(text: str) -> float:
    """A share as `5%`, or as the number 0.05; it may be negative."""
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{text!r} is not a share such as 5% or 0.05")
    return number


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{text!r} is not a whole number") from None


def user_weights(text: str) -> dict[str, float]:
    """Weights > 0 by user, written `ada=2,grace=0.5`."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        user, _, number = (piece.strip() for piece in part.rpartition("="))
        value = weight(number) if user else 0.0
        if value == 0:
            raise InputError(f"{part!r} is not USER=W with a number W > 0, as in ada=2,grace=0.5")
        if user in weights:
            raise InputError(f"{user!r} stands twice; give each user once")
        weights[user] = value
    return weights


def user_groups(text: str) -> dict[str, str]:
    """Groups by user, written `ada=vision,grace=speech`."""
    groups: dict[str, str] = {}
    for part in text.split(","):
        user, _, group = (piece.strip() for piece in part.rpartition("="))
        if not (user and group):
            raise InputError(f"{part!r} is not USER=GROUP, as in ada=vision,grace=speech")
        if user in groups:
            raise InputError(f"{user!r} stands twice; give each user one group")
        groups[user] = group
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a policy: a keyword of its factory.

    `default` is what commands give where nothing is asked for, and `default_means` what that amounts to. `instead_of`
    names the parameter that this one stands for: one of the two is given. An `option` has a word on the command line;
    the others are told by name alone (the service's `policy_options`, `NAME:PARAMETER=NUMBER` of a study).
    """

    name: str
    sentence: str
    default: object = None
    unit: str = ""
    default_means: str = ""
    read: Reader = weight
    metavar: str = "X"
    instead_of: str | None = None
    option: bool = True

    @property
    def word(self) -> str:
        """The option of a command."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def shown_default(self) -> str:
        """The default as help shows it, empty where there is none."""
        if self.default is None or self.default == {}:
            return self.default_means
        number = f"{self.default:g}" if isinstance(self.default, float) else f"{self.default}"
        return f"{number}: {self.default_means}" if self.default_means else number
