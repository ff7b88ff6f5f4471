"""Start the worker of dry runs under any Python: `python .../dryrun/child/bootstrap.py TARGET MODE`.

Neither kilowait nor what it needs has to be installed there: its packages are stood in for by modules that have a path
and nothing else, so that no `__init__` runs but those of the dry run.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    sys.path.pop(0)  # this folder: nothing in it may hide a module of the standard library

import gc
import os
from importlib import import_module
from types import ModuleType

PACKAGES = ("kilowait", "kilowait.predict")
"""Packages whose `__init__` is for kilowait's own interpreter."""
ROOT = os.path.abspath(__file__).rsplit(os.sep, 5)[0]
"""The folder in which the package kilowait lies."""


def stand_in() -> None:
    """Put empty packages where kilowait's own would be imported."""
    for name in PACKAGES:
        package = ModuleType(name)
        package.__path__ = [os.path.join(ROOT, *name.split("."))]
        sys.modules[name] = package


def main() -> None:
    """Serve dry runs on standard input and output until the other side goes; with "try ROOT", see if one could."""
    stand_in()
    if sys.argv[1] == "try":
        import_module("kilowait.predict.dryrun.sandbox").try_to_enter(sys.argv[2])
        return
    gc.disable()  # nothing that is loaded is garbage, and looking for it takes a sixth of the time
    import_module("kilowait.predict.dryrun.worker").main()


if __name__ == "__main__":
    main()
