"""A job's log in pieces: no piece cuts a character, and where bytes are no longer kept the log says so.

Only the newest bytes of a long log are kept, so the oldest may begin in the middle of a line, and of a character.
"""

import codecs
from typing import NamedTuple

WHOLE_BYTES = 4
"""The longest character of UTF-8: a piece that may hold so many has at least one whole."""


class Read(NamedTuple):
    """Text from byte `offset` up to byte `next`, behind `missing` bytes that are no longer kept."""

    offset: int
    next: int
    text: str
    missing: int


def read_piece(asked: int, begin: int, data: bytes, *, last: bool) -> Read:
    """What was read from byte `begin` where byte `asked` was asked for; unless it is the `last`, whole characters."""
    missing = max(0, begin - asked)
    begin, data = _from_a_character(begin, data) if missing else (begin, data)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, final=last)
    rest = 0 if last else len(decoder.getstate()[0])
    return Read(offset=begin, next=begin + len(data) - rest, text=text, missing=missing)


def stream_piece(asked: int, begin: int, data: bytes) -> tuple[int, bytes]:
    """Where the stream goes on, and the next bytes of it: behind a line that says so where some are missing."""
    if begin <= asked:
        return begin + len(data), data
    kept_from, kept = _from_a_character(begin, data)
    return kept_from + len(kept), f"{missing_words(begin - asked)}\n".encode() + kept


def missing_words(missing: int) -> str:
    """What stands in the place of bytes that are no longer kept."""
    return f"[kilowait: {missing:,} bytes before this are no longer kept; it may begin in the middle of a line]"


def _from_a_character(begin: int, data: bytes) -> tuple[int, bytes]:
    """Without the end of a character whose beginning is gone."""
    cut = next((n for n, byte in enumerate(data[: WHOLE_BYTES - 1]) if byte & 0xC0 != 0x80), WHOLE_BYTES - 1)
    return begin + len(data[:cut]), data[cut:]
