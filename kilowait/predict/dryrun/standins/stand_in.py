"""Everything that stands in for what a program needs and is not there, switched on before the program runs.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

from pathlib import Path

from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.packages.kernels import stand_in_kernels
from kilowait.predict.dryrun.standins.packages.loggers import stand_in_loggers
from kilowait.predict.dryrun.standins.packages.progress import stand_in_progress


def stand_in(recorder: Recorder, folder: Path) -> None:
    """Stand in for packages, data and weights; `folder` holds the program's files."""
    hooks = ImportHooks()
    stand_in_loggers(hooks)
    stand_in_progress(hooks)
    stand_in_kernels(hooks, recorder)
    hooks.install()
