"""A digest of what decides a result: the settings, and the code that turns them into numbers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_DECIDING = ("core", "cluster", "policies", "simulate", "lab/backtest", "lab/study")
_SHOWING = frozenset(
    {"backtest_page", "tables", "trace_tables", "study_figures", "rates_section", "study_page", "sections"}
)
"""Folders whose sources decide what a simulation gives, and their modules that show results and make none."""


def content_digest(value: object) -> str:
    """Equal for equal settings (records, mappings, sequences, sets, arrays, numbers, text), in any process."""
    text = json.dumps(_canonical(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@cache
def code_digest() -> str:
    """Of the sources of the domain that decide what a simulation gives: state machine, policies, simulator."""
    package = Path(__file__).parents[2]
    sources = [path for folder in _DECIDING for path in (package / folder).rglob("*.py")]
    found = hashlib.sha256()
    for path in sorted(path for path in sources if path.stem not in _SHOWING):
        found.update(f"{path.relative_to(package).as_posix()}\n".encode() + path.read_bytes())
    return found.hexdigest()[:24]


def _canonical(value: object) -> Any:
    """A JSON value that stands for `value`; records carry their name, so that two kinds never look alike."""
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, {f.name: _canonical(getattr(value, f.name)) for f in fields(value)}]
    if isinstance(value, Mapping):
        return [[str(key), _canonical(inner)] for key, inner in value.items()]  # an inventory's order counts
    if isinstance(value, np.ndarray):
        return ["array", list(value.shape), hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, tuple | list | range):
        return [_canonical(inner) for inner in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return repr(float(value))
    raise TypeError(f"a {type(value).__name__} has no digest: {value!r}")
