"""What is to be run dry: files, an entrypoint, arguments; and whether it is a forward program or a script."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

NAMES = ("Model", "get_inputs", "get_init_inputs")
"""What a forward program defines (the convention of KernelBench)."""


@dataclass(frozen=True)
class DryProgram:
    """Files by relative path, the one that is run, and the arguments it gets.

    `content_hash` names the program in the result; whoever makes it says how files and arguments enter it.
    `environment` are the job's variables, `folder` is where it starts (relative to its files' root), `assumed` the
    sizes that the user gave, by name and as they were written, and `data` the folders and files of this machine that it
    may read; `here` are others by the relative names under which it finds them, and `hidden` is covered wherever it
    would be seen. `place` says where it lies on the machine of whoever asks: what one run imported is made ready for
    the next from the same place alone, and for none where it is empty.
    """

    files: Mapping[str, bytes]
    entrypoint: str
    content_hash: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "."
    assumed: Mapping[str, str] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    here: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    place: str = ""


def is_forward(text: str) -> bool:
    """Whether the text defines `NAMES` and does nothing when it runs as a script."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, RecursionError, MemoryError):  # the last two: nested deeper than the parser goes
        return False
    defined = {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return set(NAMES) <= defined and not any(isinstance(node, ast.If) and _asks_for_main(node) for node in body)


def _asks_for_main(node: ast.If) -> bool:
    return any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test))


def in_forward() -> bool:
    """Whether the innermost function of the program that is running is a module's forward pass."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and any(folder in frame.f_code.co_filename for folder in _NOT_OF_THE_PROGRAM):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == "forward"


def by_the_program() -> bool:
    """Whether it is the program's own code that asks, not that of an installed package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (_OWN in frame.f_code.co_filename or f"{_TORCH}_tensor.py" in frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and not any(folder in frame.f_code.co_filename for folder in _INSTALLED)


_OWN, _TORCH = str(Path(__file__).parent), "torch/"
_INSTALLED = ("site-packages", "dist-packages")
_NOT_OF_THE_PROGRAM = ("site-packages", _OWN)
