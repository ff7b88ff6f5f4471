"""Where compiled kernels are kept; nothing here loads numba."""

import hashlib
import os
from functools import cache
from pathlib import Path


@cache
def cache_directory(package: Path) -> Path:
    """A directory named after the text of the package (a folder) that kernels are in, as no other text leads to them.

    Raises OSError for a folder that cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(package.glob("*.py")):
        digest.update(path.read_bytes())
    return Path(os.environ.get("NUMBA_CACHE_DIR") or package / "__pycache__") / digest.hexdigest()[:16]
