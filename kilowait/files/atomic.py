"""Files and folders that replace what was there at once: a reader finds the old one or the new one, never half of one.

What is new is written beside its place under a hidden name that ends in `PARTIAL`, and renamed. Not covered: power
loss. Nothing is flushed to the disk but by `flush`; what must survive that is in the history.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a new path to be filled with a file, which becomes `path` when the block ends; gone when it raises."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path | str) -> Iterator[Path]:
    """As `replacing`, with a new empty folder to be filled; for an instant a reader may find no folder at all."""
    folder = Path(folder)
    new_folder, old_folder = (folder.with_name(f".{folder.name}.{os.getpid()}{end}") for end in (PARTIAL, ".old"))
    shutil.rmtree(new_folder, ignore_errors=True)
    new_folder.mkdir(parents=True)
    try:
        yield new_folder
        if folder.exists():
            folder.rename(old_folder)
        new_folder.rename(folder)
    finally:
        shutil.rmtree(new_folder, ignore_errors=True)
        shutil.rmtree(old_folder, ignore_errors=True)


def flush(path: Path | str) -> None:
    """Have what a file holds, or the names in a folder, on the disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path | str, text: str) -> None:
    """Let a UTF-8 file with this text replace what is at `path`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path | str, data: bytes) -> None:
    """Let a file with these bytes replace what is at `path`."""
    with replacing(path) as partial:
        partial.write_bytes(data)
