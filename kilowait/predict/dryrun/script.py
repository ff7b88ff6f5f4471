"""A whole training script on tensors without data, as `python entrypoint arguments` would run it.

Not covered: who runs it and in which sandbox.
"""

from __future__ import annotations

import builtins
import os
import sys
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from kilowait.predict.dryrun.child.import_time import ImportTime
from kilowait.predict.dryrun.frameworks.savers import write_nothing
from kilowait.predict.dryrun.frameworks.trainers import watch_trainers
from kilowait.predict.dryrun.local_imports import LocalImports
from kilowait.predict.dryrun.loops.loops import Loops
from kilowait.predict.dryrun.loops.rewrite import rewrite
from kilowait.predict.dryrun.loops.rewrite_calls import LOOPS
from kilowait.predict.dryrun.recorder import Recorder, tracing


def record_script(
    recorder: Recorder, path: Path, arguments: tuple[str, ...], import_time: ImportTime, root: Path
) -> None:
    """Run the file `path` as __main__ in this process and record it; `sys.exit(0)` is a normal end.

    Modules are found in its folder, in those of a PYTHONPATH in its environment, and in `root`, that of all its files.

    There is no way back: argv, the path of imports and __main__ are the script's from now on. Raises whatever the
    program raises; the recorder then holds what came before.
    """
    loops, sites = Loops(recorder), count(1)
    with import_time.foreign():
        code = compile(rewrite(path.read_bytes(), path.name, sites), path.name, "exec", dont_inherit=True)
    module = type(sys)("__main__")
    module.__dict__[LOOPS] = loops
    module.__file__ = str(path)
    sys.argv = [str(path), *arguments]
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = list(dict.fromkeys([str(path.parent), *given, str(root), *sys.path]))
    sys.modules["__main__"] = module
    LocalImports(root, loops, sites, import_time).install()
    _notice_exits(recorder)
    watch_trainers(loops, sites)
    write_nothing()
    try:
        with tracing(recorder):
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
