"""How kernels are compiled: they are kept on disk, with what they call of their own package.

numba looks for changes in the file of a cached function, not in what that calls from other files; the cache lies where
`kilowait.core.kernel_cache` says because of that, and where that cannot be written nothing is kept.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import config

from kilowait.core.kernel_cache import cache_directory, can_be_written

_LEAN: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True, "nogil": True}
"""Other threads run while a kernel does. Without a wrapper for C, and `inner` without one for Python, the kernels
compile in two thirds of the time."""

_NO_PYTHON: dict[str, Any] = {"no_cpython_wrapper": True}

F = TypeVar("F", bound=Callable[..., Any])


def inner(function: F) -> F:
    """For what kernels call: compiled as a part of them."""
    compiled: F = numba.njit(**_LEAN, **_NO_PYTHON)(function)
    return compiled


def kernel(function: Callable[..., None]) -> Callable[..., None]:
    """For what Python calls: compiled, or read from the cache, at the first call."""
    directory = cache_directory(Path(function.__code__.co_filename).parent)
    settings = vars(config)
    previous_directory = settings["CACHE_DIR"]
    settings["CACHE_DIR"] = str(directory)
    try:
        compiled: Callable[..., None] = numba.njit(cache=can_be_written(directory), **_LEAN)(function)
    except RuntimeError:  # no directory can be written
        compiled = numba.njit(**_LEAN)(function)
    finally:
        settings["CACHE_DIR"] = previous_directory

    @wraps(function)
    def call(*args: Any) -> None:
        try:
            compiled(*args)
        except OSError:  # the disk is full, say: it is compiled, but could not be kept
            compiled(*args)

    return call
