"""A whole training script on tensors without data, as `python entrypoint arguments` would run it.

Not covered: who runs it and in which sandbox.
"""

from __future__ import annotations

import builtins
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from kilowait.predict.dryrun.child.import_time import ImportTime
from kilowait.predict.dryrun.frameworks.savers import write_nothing
from kilowait.predict.dryrun.frameworks.trainers import watch_trainers
from kilowait.predict.dryrun.local_imports import LocalImports
from kilowait.predict.dryrun.loops.loops import Loops
from kilowait.predict.dryrun.loops.rewrite import Sites, rewrite
from kilowait.predict.dryrun.loops.rewrite_calls import LOOPS
from kilowait.predict.dryrun.recorder import Recorder, tracing


@dataclass(frozen=True)
class Watched:
    """What the rewritten loops of a program call, and what numbers them."""

    loops: Loops
    sites: Sites


def watch_imports(recorder: Recorder, import_time: ImportTime, root: Path) -> Watched:
    """From now on loops are rewritten in whatever is imported; the files of the program will lie below `root`."""
    watched = Watched(Loops(recorder), count(1))
    LocalImports(root, watched.loops, watched.sites, import_time).install()
    _notice_exits(recorder)
    watch_trainers(watched.loops, watched.sites)
    write_nothing()
    return watched


def record_script(
    recorder: Recorder,
    path: Path,
    arguments: tuple[str, ...],
    import_time: ImportTime,
    root: Path,
    watched: Watched | None = None,
) -> None:
    """Run the file `path` as __main__ in this process and record it; `sys.exit(0)` is a normal end.

    Modules are found in its folder, in those of a PYTHONPATH in its environment, and in `root`, that of all its files.
    Where imports are `watched` already, what is executed is being recorded already, too.

    There is no way back: argv, the path of imports and __main__ are the script's from now on. Raises whatever the
    program raises; the recorder then holds what came before.
    """
    recording: AbstractContextManager[object] = tracing(recorder) if watched is None else nullcontext()
    watched = watched or watch_imports(recorder, import_time, root)
    loops, sites = watched.loops, watched.sites
    with import_time.foreign():
        code = compile(rewrite(path.read_bytes(), path.name, sites), path.name, "exec", dont_inherit=True)
    module = type(sys)("__main__")
    module.__dict__[LOOPS] = loops
    module.__file__ = str(path)
    sys.argv = [str(path), *arguments]
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = list(dict.fromkeys([str(path.parent), *given, str(root), *sys.path]))
    sys.modules["__main__"] = module
    try:
        with recording:
            exec(code, module.__dict__)
    except SystemExit as end:
        if end.code not in (None, 0):
            raise RuntimeError(f"{path.name} ended with exit status {end.code}") from end


def _notice_exits(recorder: Recorder) -> None:
    """A program that ends itself well leaves its loops on purpose."""
    leave = sys.exit

    def leaving(code: Any = None, /) -> NoReturn:
        recorder.ends.exiting = recorder.ends.exiting or code in (None, 0)
        leave(code)

    sys.exit = leaving
    for name in ("exit", "quit"):
        setattr(builtins, name, leaving)
