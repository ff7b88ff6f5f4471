"""How kernels are compiled: they are kept on disk, with what they call of their own package.

numba looks for changes in the file of a cached function, not in what that calls from other files; the cache lies where
`kilowait.core.kernel_cache` says because of that, and where that cannot be written nothing is kept.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
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
        compiled = numba.njit(cache=can_be_written(directory), **_LEAN)(function)
    except RuntimeError:  # no directory can be written
        compiled = numba.njit(**_LEAN)(function)
    finally:
        settings["CACHE_DIR"] = previous_directory

    @wraps(function)
    def call(*args: Any) -> None:
        if not compiled.overloads:
            _compile(compiled, args, directory)
        try:
            compiled(*args)
        except OSError:  # of another type of arguments: it is compiled, but could not be kept
            compiled(*args)

    return call


def _compile(compiled: Any, args: tuple[Any, ...], directory: Path) -> None:
    """By one process of a machine at a time: those that come meanwhile find in the cache what it has compiled."""
    with _locked(directory), suppress(OSError):  # the disk is full, say: it is compiled, but could not be kept
        compiled.compile(tuple(compiled.typeof_pyval(one) for one in args))


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """While nobody else holds the lock of a directory; at once where there can be none."""
    with ExitStack() as held:
        with suppress(OSError):
            lock = held.enter_context((directory / "lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system lets go of it when its holder dies
            held.callback(fcntl.flock, lock, fcntl.LOCK_UN)  # a process that was forked meanwhile has it open, too
        yield
