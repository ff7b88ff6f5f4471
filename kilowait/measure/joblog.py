"""What a job writes, kept in a bounded number of bytes and read by offset.

An offset counts from the first byte the job ever wrote, so a reader goes on where it was although the oldest bytes are
gone. The log is a folder of segments, each named after the offset of its first byte: one process writes, any may read.
"""

from pathlib import Path
from typing import IO

SEGMENTS = 4
"""The oldest of so many is dropped when the newest is full: at least three quarters of the bytes are always kept."""


class JobLog:
    """The writing end: at most `max_bytes` stay in `folder`."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._segment_bytes = folder, max(1, max_bytes // SEGMENTS)
        self._file: IO[bytes] | None = None
        self._written = self._room = 0

    def write(self, data: bytes) -> None:
        """Append; nothing is buffered."""
        while data:
            if self._room == 0:
                self._next_segment()
            assert self._file is not None
            piece, data = data[: self._room], data[self._room :]
            self._file.write(piece)
            self._written += len(piece)
            self._room -= len(piece)

    def close(self) -> None:
        """No more is written."""
        if self._file is not None:
            self._file.close()

    def _next_segment(self) -> None:
        self.close()
        self._file = (self._folder / f"{self._written:016d}.log").open("ab", buffering=0)
        self._room = self._segment_bytes
        for segment in _segments(self._folder)[:-SEGMENTS]:
            segment.unlink()


def add_to_log(folder: Path, data: bytes) -> None:
    """Write behind a log whose writer has ended."""
    if data:
        with (_segments(folder) or [folder / f"{0:016d}.log"])[-1].open("ab") as file:
            file.write(data)


def read_log(folder: Path, offset: int = 0, limit: int = 65536) -> tuple[int, bytes]:
    """At most `limit` bytes from `offset` on, or from the oldest that is kept; and where they begin."""
    segments = [(int(path.stem), path) for path in _segments(folder)]
    if not segments:
        return offset, b""
    begin = max(offset, segments[0][0])
    data = b""
    for segment_start, path in segments:
        position = begin + len(data) - segment_start
        if position >= 0 and len(data) < limit:
            with path.open("rb") as file:
                file.seek(position)
                data += file.read(limit - len(data))
    return begin, data


def _segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log"))
