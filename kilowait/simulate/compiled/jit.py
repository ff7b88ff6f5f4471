"""How the loops are compiled: kernels are kept on disk, with what they call.

numba looks for changes in the file of a cached function, not in what that calls from other files. So the cache lies in
a directory named after the text of the whole package, beside Python's own, or under NUMBA_CACHE_DIR where that is set.
Where that cannot be written numba takes the user's cache directory, and where that cannot either, nothing is kept.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import config

inner: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.njit(error_model="numpy")
"""For what kernels call: compiled as a part of them."""


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """For what Python calls: compiled, or read from the cache, at the first call."""
    settings = vars(config)
    given = settings["CACHE_DIR"]
    settings["CACHE_DIR"] = str(Path(given or Path(__file__).parent / "__pycache__") / _text_digest())
    try:
        compiled: Callable[..., Any] = numba.njit(error_model="numpy", cache=True)(function)
    except RuntimeError:  # no directory can be written
        compiled = numba.njit(error_model="numpy")(function)
    finally:
        settings["CACHE_DIR"] = given
    return compiled


def _text_digest() -> str:
    """Sixteen hexadecimal digits of the SHA-256 of this package's source text."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
