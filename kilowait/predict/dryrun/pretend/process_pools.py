"""Pools of processes: what a program hands to one is done here, in order, and for a while only.

Each call is run until it has cost `FULL_S` CPU seconds; of the items that are left, the result of the last that was run
is taken, and said. A pool's functions make data ready (they tokenize, they measure pictures), and what stands in for
data is alike.

Not covered: pools of threads, which share the program's memory as they are.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing.pool
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kilowait.predict.dryrun.recorder import Recorder

FULL_S = 0.4
"""CPU seconds after which a call of a pool goes no further."""
FEWEST = 2
_cpu_s = time.process_time  # the program finds another clock


def pretend_pools(recorder: Recorder) -> None:
    """Replace the classes of pools; call it before any of the program's code runs."""

    def done(function: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        start_s, result, left = _cpu_s(), None, 0
        for number, item in enumerate(items):
            if number < FEWEST or _cpu_s() - start_s < FULL_S:
                result = function(item)
            else:
                left += 1
            yield result
        if left:
            recorder.assume(
                f"a pool of processes was run on {number + 1 - left:,} items; {left:,} are taken to be alike", "default"
            )

    class LocalPool(_Pool):
        each = staticmethod(done)

    class LocalExecutor(_Executor):
        each = staticmethod(done)

    multiprocessing.pool.Pool = LocalPool  # type: ignore[misc, assignment]
    executors: Any = (concurrent.futures, sys.modules.get("concurrent.futures.process"))
    for module in filter(None, executors):
        module.ProcessPoolExecutor = LocalExecutor


class Done:
    """A result that is there."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def get(self, timeout: Any = None) -> Any:
        """The result."""
        return self.value

    def wait(self, timeout: Any = None) -> None:
        """Nothing is under way."""

    def ready(self) -> bool:
        """Whether it is there."""
        return True

    successful = ready


class _Pool:
    """As `multiprocessing.Pool`, in this process."""

    each: Any

    def __init__(self, processes: Any = None, initializer: Any = None, initargs: Any = (), *_: Any, **__: Any) -> None:
        if initializer is not None:
            initializer(*initargs)

    def imap(self, func: Any, iterable: Any, chunksize: Any = 1) -> Iterator[Any]:
        """The results in order."""
        return self.each(func, iterable)  # type: ignore[no-any-return]

    imap_unordered = imap

    def map(self, func: Any, iterable: Any, chunksize: Any = None) -> list[Any]:
        """The results as a list."""
        return list(self.each(func, iterable))

    def starmap(self, func: Any, iterable: Any, chunksize: Any = None) -> list[Any]:
        """The same, with several arguments an item."""
        return list(self.each(lambda arguments: func(*arguments), iterable))

    def apply(self, func: Any, args: Any = (), kwds: Any = None) -> Any:
        """One call."""
        return func(*args, **(kwds or {}))

    def apply_async(self, func: Any, args: Any = (), kwds: Any = None, callback: Any = None, *_: Any) -> Done:
        """One call, which has ended already."""
        return _called_back(self.apply(func, args, kwds), callback)

    def map_async(self, func: Any, iterable: Any, chunksize: Any = None, callback: Any = None, *_: Any) -> Done:
        """`map`, which has ended already."""
        return _called_back(self.map(func, iterable), callback)

    def starmap_async(self, func: Any, iterable: Any, chunksize: Any = None, callback: Any = None, *_: Any) -> Done:
        """`starmap`, which has ended already."""
        return _called_back(self.starmap(func, iterable), callback)

    def close(self) -> None:
        """Nothing is open."""

    terminate = join = close

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...


def _called_back(value: Any, callback: Any) -> Done:
    if callback is not None:
        callback(value)
    return Done(value)


class _Executor(concurrent.futures.Executor):
    """As `ProcessPoolExecutor`, in this process."""

    each: Any

    def __init__(self, *_: Any, initializer: Any = None, initargs: Any = (), **__: Any) -> None:
        if initializer is not None:
            initializer(*initargs)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """One call, which has ended already."""
        future: Any = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def map(self, fn: Any, *iterables: Any, timeout: Any = None, chunksize: Any = 1, **_: Any) -> Iterator[Any]:
        """The results in order."""
        return self.each(lambda arguments: fn(*arguments), zip(*iterables))  # type: ignore[no-any-return]

    def shutdown(self, *_: Any, **__: Any) -> None:
        """Nothing is open."""
