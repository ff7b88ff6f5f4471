"""What stands in a file that is not there: words, rows or nothing but zeros, as long as the file is taken to be."""

from __future__ import annotations

import io
import json
import os
from contextlib import suppress
from itertools import count, cycle, islice
from typing import Any

from kilowait.predict.dryrun.standins.data.absent import (
    DEFAULT_BYTES,
    DEFAULT_ROWS,
    DEFAULT_TEXT,
    DEFAULT_TOKEN_BYTES,
    IMAGES,
    TOKENS,
    Absent,
    AbsentSize,
)
from kilowait.predict.dryrun.standins.data.lengths import LENGTHS, spread

MOST_BYTES = 8_000_000
"""More than this of a text or of bytes is not made: memory is what a stand-in must not cost."""
MOST_ROWS = 200_000
LETTERS = "etaoinsrhldcumfpgwybvkxjqzETAOINSRHLDCUMFPGWYBVKXJQZ.,;:!?'-&$3\n "
WORDS_IN_A_LINE = 12
VOCABULARY = 10_000
open_here, _listdir = open, os.listdir  # the program finds others


def vocabulary_of(size: int, path: Any) -> list[str]:
    """So many different words, those of the texts beside a file before made ones."""
    known = _words_beside(path)
    made = (word for word in map(_word, count()) if word not in known)
    return [*known, *islice(made, max(0, size - len(known)))][:size]


def _words_beside(path: Any) -> dict[str, None]:
    """The words of the texts beside a file: one data set's files for training and for tests share a vocabulary."""
    folder, name = os.path.split(os.path.abspath(str(path)))
    found: dict[str, None] = {}
    with suppress(OSError):
        beside = [entry for entry in _listdir(folder) if os.path.splitext(entry)[1] == os.path.splitext(name)[1]]
        for entry in sorted(beside):
            with open_here(os.path.join(folder, entry), encoding="utf-8", errors="replace") as stream:
                found.update(dict.fromkeys(stream.read(MOST_BYTES).split()))
    return found


def _word(number: int) -> str:
    letters = ""
    while True:
        number, letter = divmod(number, 26)
        letters += LETTERS[letter]
        if not number:
            return letters


def prose(length: int, first: int = 0) -> str:
    """A text of `length` letters of words five letters long on average, as in English."""
    block = " ".join(_PROSE[(first + place) % len(_PROSE)] for place in range(min(length // 5 + 2, 2_000)))
    return (block * (length // max(1, len(block)) + 1))[:length]


_PROSE = [
    "the",
    "model",
    "reads",
    "every",
    "word",
    "of",
    "a",
    "long",
    "line",
    "and",
    "then",
    "learns",
    "what",
    "comes",
    "next",
    "from",
    "all",
    "that",
    "it",
    "has",
    "seen",
]


def text_of(absent: Absent, path: Any) -> str:
    """The contents of a text file; says what was assumed."""
    size = absent.size_of(path)
    suffix = os.path.splitext(str(path).lower())[1]
    if suffix in (".json", ".jsonl", ".ndjson"):
        rows = [json.dumps(row) for row in rows_of(absent, size)]
        return "\n".join(rows) + "\n" if suffix != ".json" else f"[{','.join(rows)}]"
    if suffix in (".csv", ".tsv"):
        return _table(absent, size, "," if suffix == ".csv" else "\t")
    facts = size.facts or {}
    if "words" in facts and "vocabulary" in facts:
        return _lines(absent, size, path)
    wanted = _bytes(size, DEFAULT_BYTES)
    length = min(wanted, MOST_BYTES)
    more = f"; {length:,} of them stand for all" if length < wanted else ""
    absent.said(size, f"{wanted:,} letters, {len(LETTERS)} of them different{more}")
    lines = [LETTERS[:-2]] + [prose(80, place) for place in range(97)]
    block = "\n".join(lines) + "\n"
    return (block * (length // len(block) + 1))[:length]


def _bytes(size: AbsentSize, default: int) -> int:
    if size.given is not None:
        return size.given.size_bytes or (size.given.numbers or 0)
    return int((size.facts or {}).get("bytes", default))


def _lines(absent: Absent, size: AbsentSize, path: Any) -> str:
    """Lines of equally many words, each of which comes again after all others."""
    facts = size.facts or {}
    lines, words = facts["lines"], facts["words"]
    absent.said(size, f"{lines:,} lines, {words:,} words of a vocabulary of {facts['vocabulary']:,}")
    endless, made, done = cycle(vocabulary_of(facts["vocabulary"], path)), [], 0
    for line in range(lines):
        until = words * (line + 1) // lines
        made.append(" ".join(islice(endless, until - done)))
        done = until
    return "\n".join(made) + "\n"


def rows_of(absent: Absent, size: AbsentSize) -> list[dict[str, Any]]:
    """The rows of a file of records; says what was assumed."""
    facts = size.facts or {}
    rows = size.given.rows if size.given is not None and size.given.rows else facts.get("rows", DEFAULT_ROWS)
    columns = facts.get("columns") or dict.fromkeys(("text", "instruction", "input", "output", "label"), "string")
    letters = int(facts.get("row_bytes", DEFAULT_TEXT * len(columns)) / len(columns))
    absent.said(size, f"{rows:,} rows of {', '.join(columns)}, {letters} letters each on average")
    made = [
        {name: 0 if name == "label" else prose(spread(letters, place)) for name in columns}
        for place in range(len(LENGTHS))
    ]
    return [made[number % len(made)] for number in range(min(rows, MOST_ROWS))]


def _table(absent: Absent, size: AbsentSize, separator: str) -> str:
    rows, columns = table_size(absent, size)
    header = separator.join([*(f"x{number}" for number in range(columns - 1)), "label"])
    line = separator.join(["0.5"] * (columns - 1) + ["0"])
    return "\n".join([header] + [line] * min(rows, MOST_ROWS)) + "\n"


def table_size(absent: Absent, size: AbsentSize) -> tuple[int, int]:
    """Rows and columns of a table; says what was assumed."""
    shape = size.given.shape if size.given is not None else None
    facts = size.facts or {}
    rows = shape[0] if shape else facts.get("rows", DEFAULT_ROWS)
    columns = shape[1] if shape is not None and len(shape) > 1 else facts.get("width", 10)
    absent.said(size, f"{rows:,} rows, {columns} columns")
    return rows, columns


class TextFile(io.StringIO):
    """A text file that is not there; `path` is what was opened."""

    def __init__(self, text: str, path: Any) -> None:
        super().__init__(text)
        self.path = self.name = str(path)
        self.mode, self.encoding_used = "r", "utf-8"

    @property
    def _kilowait_items(self) -> list[str]:
        """The lines that are left: loops go over them by number."""
        return self.read().splitlines(keepends=True)


class BinaryFile(io.BytesIO):
    """A file of zeros that is not there; `size_bytes` is how large it is taken to be, whatever it holds."""

    def __init__(self, size_bytes: int, path: Any) -> None:
        super().__init__(bytes(min(size_bytes, MOST_BYTES)))
        self.size_bytes, self.mode = size_bytes, "rb"
        self.path = self.name = str(path)


def binary_of(absent: Absent, path: Any) -> BinaryFile:
    """A file opened for its bytes; says what was assumed."""
    size = absent.size_of(path)
    suffix = os.path.splitext(str(path).lower())[1]
    size_bytes = _bytes(size, DEFAULT_TOKEN_BYTES if suffix in TOKENS else DEFAULT_BYTES)
    is_said = suffix in IMAGES
    if "vocab_size" not in (size.facts or {}) and not is_said:  # of images their folder is said
        absent.said(size, f"{size_bytes:,} bytes")
    return BinaryFile(size_bytes, path)


def size_in_bytes(absent: Absent, path: Any) -> int:
    """How many bytes a file is taken to have; says nothing."""
    suffix = os.path.splitext(str(path).lower())[1]
    return _bytes(absent.size_of(path), DEFAULT_TOKEN_BYTES if suffix in TOKENS else DEFAULT_BYTES)
