"""Where compiled kernels are kept; nothing here loads numba."""

import hashlib
import os
from functools import cache
from pathlib import Path


@cache
def cache_directory(package: Path) -> Path:
    """A directory named after the text of the package (a folder) that kernels are in: another text, another directory.

    It is in $NUMBA_CACHE_DIR, the package or the user's cache, the first that can be written; where none can, the last
    is named. Raises OSError for a package that cannot be read.
    """
    digest = hashlib.sha256()
    for path in (Path(__file__).with_name("jit.py"), *sorted(package.glob("*.py"))):
        digest.update(path.read_bytes())
    numba_cache, user = os.environ.get("NUMBA_CACHE_DIR"), Path(os.path.expanduser("~/.cache/kilowait"))
    places = [*([Path(numba_cache)] if numba_cache else []), package / "__pycache__", user]
    directories = [place / digest.hexdigest()[:16] for place in places]
    return next((directory for directory in directories if can_be_written(directory)), directories[-1])


def can_be_written(directory: Path) -> bool:
    """Whether files can be made in a directory, which is made."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK)
