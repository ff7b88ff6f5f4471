"""This process, made ready for a program: everything pretended and stood in for, with or without its imports.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from kilowait.predict.dryrun.child.import_time import ImportTime
from kilowait.predict.dryrun.child.variables import give_variables, watch_variables
from kilowait.predict.dryrun.distributed.world import pretend_world
from kilowait.predict.dryrun.dry_program import DryProgram, is_forward
from kilowait.predict.dryrun.forward import record_forward
from kilowait.predict.dryrun.pretend.fused_kernels import pretend_kernels
from kilowait.predict.dryrun.pretend.libraries import pretend_libraries
from kilowait.predict.dryrun.recorder import Recorder, tracing
from kilowait.predict.dryrun.script import Watched, record_script, watch_imports
from kilowait.predict.dryrun.standins.stand_in import stand_in


class ReadyProcess:
    """The one place of a program in this process: its files go below `root`, what it does into `recorder`."""

    def __init__(self, recorder: Recorder, root: Path, import_time: ImportTime) -> None:
        self.recorder, self.root, self.import_time = recorder, root, import_time
        self._files: set[str] = set()
        self._surrounded = False
        self._watched: Watched | None = None

    @contextmanager
    def importing(self, program: DryProgram, names: Iterable[str]) -> Iterator[None]:
        """Record what is inside, with these modules imported as a program like this would; one that fails is left."""
        self._surround(program)
        self._watched = watch_imports(self.recorder, self.import_time, self.root)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
        with tracing(self.recorder):
            with self.import_time.foreign():
                for name in names:
                    with suppress(BaseException):
                        import_module(name)
            gc.freeze()
            yield

    def run(self, program: DryProgram) -> None:
        """Run the program; raises whatever it raises."""
        for name, data in program.files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if not self._surrounded:
            self._surround(program)
        entrypoint = self.root / program.entrypoint
        self._files.update([program.entrypoint, entrypoint.name, *program.files])
        text = program.files[program.entrypoint].decode("utf-8-sig")
        if is_forward(text):
            self.recorder.parameters = record_forward(self.recorder, text, program.entrypoint)
        else:
            record_script(self.recorder, entrypoint, program.arguments, self.import_time, self.root, self._watched)

    def _surround(self, program: DryProgram) -> None:
        """Everything that comes before the first line of a program and does not depend on its files."""
        self._surrounded = True
        give_variables(program.environment, self.root.parents[1])
        start = self.root / program.folder
        start.mkdir(parents=True, exist_ok=True)
        os.chdir(start)
        pretend_kernels(self.recorder)
        pretend_libraries(self.recorder)
        self.import_time.install()
        watch_variables(self._files, self.recorder.unset_variable)
        pretend_world(self.recorder)
        stand_in(self.recorder, self.root)  # after the packages that are known better
