"""Everything that stands in for what a program needs and is not there, switched on before the program runs.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.standins.data.absent import Absent
from kilowait.predict.dryrun.standins.data.stand_in_data import stand_in_data
from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.packages.data_pipelines import stand_in_pipelines
from kilowait.predict.dryrun.standins.packages.kernels import stand_in_kernels
from kilowait.predict.dryrun.standins.packages.loggers import stand_in_loggers
from kilowait.predict.dryrun.standins.packages.message_passing import stand_in_message_passing
from kilowait.predict.dryrun.standins.packages.progress import stand_in_progress
from kilowait.predict.dryrun.standins.weights.stand_in_weights import stand_in_weights


def stand_in(recorder: Recorder, folder: Path) -> None:
    """Stand in for packages, data and weights; `folder` holds the program's files."""
    tempfile.tempdir = str(folder)
    hooks = ImportHooks()
    stand_in_loggers(hooks)
    stand_in_progress(hooks)
    stand_in_message_passing(hooks, recorder.assume)
    stand_in_pipelines(hooks)
    stand_in_kernels(hooks, recorder)
    absent = Absent(recorder, folder)
    stand_in_data(hooks, absent)
    stand_in_weights(hooks, absent)
    hooks.install()
