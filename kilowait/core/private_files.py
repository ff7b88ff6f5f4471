"""Files that nobody but their owner may read: a history, which holds programs and hashes of tokens, and tokens."""

import logging
import os
import stat
from contextlib import suppress
from pathlib import Path

FILE, FOLDER = 0o600, 0o700
_OTHERS = 0o077


def make_private(file: Path, *beside: Path) -> None:
    """Make the file where there is none; take from group and others what they may do with it and what is beside it.

    A file of another user is left as it is and told of in the log. Whoever opens the file finds what else is wrong.
    """
    with suppress(OSError):  # never opened where it is there: closing it would drop SQLite's locks of this process
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE))
    for path in (file, *beside):
        with suppress(FileNotFoundError, NotADirectoryError):
            _close_to_others(path)


def private_folder(folder: Path) -> Path:
    """The folder, made for its owner alone where there was none; one that is there stays as its owner wants it."""
    folder.mkdir(mode=FOLDER, parents=True, exist_ok=True)
    return folder


def _close_to_others(path: Path) -> None:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if not mode & _OTHERS or not stat.S_ISREG(status.st_mode):
        return
    try:
        os.chmod(path, mode & ~_OTHERS)
    except PermissionError:
        logging.getLogger(__name__).warning(
            "%s: others may read it (mode %o), and it is not ours to change; its owner should: chmod 600", path, mode
        )
