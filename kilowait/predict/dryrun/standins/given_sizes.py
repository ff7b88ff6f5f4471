"""Sizes that the user gives for what is not there: `data/train.bin=600MB`, `train=1281167x3x224x224`, `10000 rows`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


@dataclass(frozen=True)
class Given:
    """One size: bytes, a shape or rows; the others are None. `text` is what the user wrote."""

    text: str
    size_bytes: int | None = None
    shape: tuple[int, ...] | None = None

    @property
    def rows(self) -> int | None:
        """The first length of the shape."""
        return None if self.shape is None else self.shape[0]

    @property
    def numbers(self) -> int | None:
        """How many numbers the shape holds."""
        return None if self.shape is None else math.prod(self.shape)


def parsed(text: str) -> Given:
    """The size that a text says; raises ValueError naming it."""
    bare = text.strip().lower().replace(",", "").replace("_", "")
    if re.fullmatch(r"\d+(x\d+)*( ?(rows|images|samples|lines|tokens))?", bare):
        return Given(text, shape=tuple(int(side) for side in re.match(r"[\dx]+", bare).group().strip("x").split("x")))
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]i?)?b(?:ytes)?", bare)
    if found is None:
        raise ValueError(f"--assume: {text!r} is no size; write bytes (600MB), a shape (50000x3x32x32) or 10000 rows")
    return Given(text, size_bytes=int(float(found.group(1)) * _UNITS[found.group(2) or ""]))


def given_for(assumed: Mapping[str, str], *names: Any) -> Given | None:
    """What the user gave for the first of these names or paths: the whole of it, its last parts, or its stem."""
    for name in names:
        parts = str(name).replace("\\", "/").strip("/").split("/") if name else []
        spellings = ["/".join(parts[start:]) for start in range(len(parts))]
        spellings += [parts[-1].partition(".")[0]] if parts else []
        for spelling in spellings:
            for key, text in assumed.items():
                if key.replace("\\", "/").strip("/").removeprefix("./") == spelling:
                    return parsed(text)
    return None
