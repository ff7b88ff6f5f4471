"""What a rewriter is asked, and how its answer is read; chat.py and local.py hold the two there are."""

import re
from dataclasses import dataclass
from typing import Protocol

from kilowait.core.errors import KilowaitError

_FENCE = re.compile(r"```[a-zA-Z]*\n(.*?)```", re.DOTALL)
SYSTEM = "You rewrite Python programs. You answer with one complete Python program in a code block and nothing else."


class RewriteError(KilowaitError):
    """A rewriter gave no answer: not reachable, refused, timed out, or sent something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request: the source to rewrite, a known source whose style to take, and the facts to keep, one a line."""

    source: str
    example: str
    facts: str


class Rewriter(Protocol):
    """A language model that rewrites code."""

    @property
    def name(self) -> str:
        """Which model, with its revision or address: part of the key under which rewrites are kept."""

    def rewrite(self, ask: Ask) -> str:
        """The model's whole answer; raises RewriteError."""


def prompt(ask: Ask) -> str:
    """The instruction (paper, section 3.3: same work, the style of a known program)."""
    return (
        "Rewrite PROGRAM in the style of EXAMPLE: its layout, naming, imports and comments. Keep exactly what PROGRAM "
        "computes: same layers and sizes, batch size, number of steps, optimizer, precision and device. Remove code "
        "that never runs and comments that are wrong. Keep placeholders such as REDACTED_1_ as they are.\n\n"
        f"Facts about PROGRAM that must stay true:\n{ask.facts}\n\n"
        f"EXAMPLE:\n```python\n{ask.example.strip()}\n```\n\nPROGRAM:\n```python\n{ask.source.strip()}\n```\n"
    )


def code_of(answer: str) -> str:
    """The program in an answer: the longest code block, or the whole answer where there is none."""
    blocks = _FENCE.findall(answer)
    return (max(blocks, key=len) if blocks else answer).strip("\n") + "\n"
