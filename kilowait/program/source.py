"""The text that a predictor reads: checked once, known by its content hash everywhere.

A job of several files, or with arguments, becomes one such text in `kilowait.program`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from kilowait.core.errors import SourceError
from kilowait.core.submission_limits import MAX_LINE_CHARACTERS

MAX_SOURCE_BYTES = 1_000_000
"""Above this a file is data or generated code, not a job someone wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The text of a job and the SHA-256 of its bytes (hex, 64 characters)."""

    name: str
    text: str
    content_hash: str


def content_hash(data: bytes) -> str:
    """SHA-256 of the bytes as 64 hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


def source_from_bytes(name: str, data: bytes, *, max_bytes: int = MAX_SOURCE_BYTES) -> Source:
    """Check `data` and name it; raises SourceError for empty, binary, undecodable or oversized input."""
    text = text_of(name, data, max_bytes=max_bytes)
    if not text.strip():
        raise SourceError(f"{name}: the file is empty; nothing to predict from")
    return Source(name=name, text=text, content_hash=content_hash(data))


def text_of(name: str, data: bytes, *, max_bytes: int = MAX_SOURCE_BYTES) -> str:
    """`data` as text, without a byte order mark; raises SourceError for binary, undecodable or oversized input."""
    if len(data) > max_bytes:
        raise SourceError(f"{name}: {len(data):,} bytes of source; the limit is {max_bytes:,}")
    if b"\0" in data:
        raise SourceError(f"{name}: a binary file (NUL byte at offset {data.index(0)}); give the program's source")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{name}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error


def check_lines(name: str, text: str) -> None:
    """Raises SourceError for a line of more characters than a submission may have."""
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > MAX_LINE_CHARACTERS:
            raise SourceError(
                f"{name}: line {number} has {len(line):,} characters, the limit is {MAX_LINE_CHARACTERS:,}; "
                "break it, or read data from a file"
            )


def read_source(path: Path | str, *, max_bytes: int = MAX_SOURCE_BYTES) -> Source:
    """Read a source file; raises SourceError, naming the path, when it cannot be read or used."""
    return source_from_bytes(str(path), read_data(path, max_bytes=max_bytes), max_bytes=max_bytes)


def read_data(path: Path | str, *, max_bytes: int = MAX_SOURCE_BYTES) -> bytes:
    """A file's bytes; raises SourceError, naming the path, when it cannot be read or is too large."""
    path = Path(path)
    try:
        if path.stat().st_size > max_bytes:
            raise SourceError(f"{path}: {path.stat().st_size:,} bytes of source; the limit is {max_bytes:,}")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
